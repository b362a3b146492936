"""PostgreSQL: what every entry of the journal has to be is asked by row security, which is forced, instead of by constraints.

A CHECK is kept as the text of a parse tree, which the server takes apart anew in every statement: fifteen of them were a tenth of what
a commit of eight entries costs it. The condition of a policy is part of the statement's plan, which is made once. It binds whoever
serves and the owner of the table alike; a superuser could take constraints away as well.
"""

from alembic import op

from cardapi.store.schema import run

revision = "0010"
down_revision = "0009"

NAMES = (
    "partition", "position", "at_us", "verb", "outcome", "account_id", "client", "client_key", "fingerprint", "ref", "further",
    "liability_fen", "mac",
)  # fmt: skip
CONSTRAINTS = (*(f"entry_{name}_check" for name in NAMES), "entry_check", "entry_check1")

SOUND = """
    partition BETWEEN 0 AND 255 AND position > 0 AND at_us > 0 AND verb <> ''
    AND outcome IN ('applied', 'refused') AND (code = '') = (outcome = 'applied')
    AND account_id >= 0 AND client <> '' AND length(client_key) BETWEEN 1 AND 255 AND length(fingerprint) = 16
    AND ref >= 0 AND prior BETWEEN 0 AND position - 1 AND length(further) % 16 = 0 AND liability_fen >= 0 AND length(mac) = 32
"""

POSTGRES = (
    # Restrictive: no other policy allows what this one refuses, and the refusal names it.
    f"CREATE POLICY entry_sound ON entry AS RESTRICTIVE FOR INSERT WITH CHECK ({SOUND})",
    "ALTER TABLE entry " + ", ".join(f"DROP CONSTRAINT IF EXISTS {name}" for name in CONSTRAINTS),
)


def upgrade() -> None:
    run((), POSTGRES)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE entry ADD CONSTRAINT entry_check CHECK ({SOUND})")
        op.execute("DROP POLICY entry_sound ON entry")
