"""PostgreSQL: the form in which entries arrive, many as one parameter (`postgres_arrays`).

A type of its own and not the table's row, so that a column more in a later release does not change what this one sends.
"""

from cardapi.store.schema import run

revision = "0007"
down_revision = "0006"

POSTGRES = (
    """CREATE TYPE entry_row AS (
        partition integer, position bigint, at_us bigint, verb text, outcome text, code text, account_id bigint, card text, client text,
        client_key text, fingerprint bytea, unit text, terminal text, operator text, approver text, reason text, ref bigint, prior bigint,
        further bytea, liability_fen bigint, body bytea, mac bytea
    )""",
)


def upgrade() -> None:
    run((), POSTGRES)
