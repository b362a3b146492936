"""Media: chips and other carriers of cards, a projection of the journal like `card` and `account`."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """CREATE TABLE medium (
        medium TEXT PRIMARY KEY CHECK (medium GLOB '?*:?*' AND length(medium) <= 128),
        account_id INTEGER NOT NULL REFERENCES account (account_id) DEFERRABLE INITIALLY DEFERRED,
        card TEXT NOT NULL CHECK (card <> ''),
        profile TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'retired', 'blocked')),
        keys BLOB NOT NULL CHECK (length(keys) > 0),
        purse INTEGER NOT NULL CHECK (purse BETWEEN 0 AND 2),
        online_counter INTEGER NOT NULL CHECK (online_counter BETWEEN 0 AND 65535),
        offline_counter INTEGER NOT NULL CHECK (offline_counter BETWEEN 0 AND 4294967295),
        balance_fen INTEGER NOT NULL CHECK (balance_fen BETWEEN 0 AND 4294967295),
        in_flight INTEGER NOT NULL CHECK (in_flight >= 0),
        changed_at INTEGER NOT NULL CHECK (changed_at > 0)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX medium_account ON medium (account_id)",
    "CREATE INDEX medium_in_flight ON medium (in_flight) WHERE in_flight > 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE medium")
