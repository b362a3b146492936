"""Off-line clearing: what each uploaded record came to. Cases and batches are records (0004).

`clearing_record.key` is what may come once, for ever (K2); records of one terminal stand beside each other in it. There is no index
by card: uploads come by terminal, so it would touch another page for nearly every record, and only reports ask in that order.
"""

from alembic import op

from cardapi.store.schema import run

revision = "0005"
down_revision = "0004"

SQLITE = (
    """CREATE TABLE clearing_record (
        key BLOB PRIMARY KEY CHECK (length(key) IN (28, 44)),
        card BLOB NOT NULL CHECK (length(card) IN (0, 17)),
        digest BLOB NOT NULL CHECK (length(digest) = 16),
        outcome INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 255),
        account_id INTEGER NOT NULL CHECK (account_id >= 0),
        amount_fen INTEGER NOT NULL CHECK (amount_fen BETWEEN 0 AND 4294967295),
        balance_fen INTEGER NOT NULL,
        counter INTEGER NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
        at INTEGER NOT NULL,
        entry INTEGER NOT NULL CHECK (entry & 0xffffffffffff > 0),
        place INTEGER NOT NULL CHECK (place >= 0)
    ) STRICT, WITHOUT ROWID""",
)

POSTGRES = (
    """CREATE TABLE clearing_record (
        partition integer NOT NULL DEFAULT 0 CHECK (partition = 0),
        key bytea NOT NULL CHECK (length(key) IN (28, 44)),
        card bytea NOT NULL CHECK (length(card) IN (0, 17)),
        digest bytea NOT NULL CHECK (length(digest) = 16),
        outcome bigint NOT NULL CHECK (outcome BETWEEN 0 AND 255),
        account_id bigint NOT NULL CHECK (account_id >= 0),
        amount_fen bigint NOT NULL CHECK (amount_fen BETWEEN 0 AND 4294967295),
        balance_fen bigint NOT NULL,
        counter bigint NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
        at bigint NOT NULL,
        entry bigint NOT NULL CHECK (entry & 281474976710655 > 0),
        place bigint NOT NULL CHECK (place >= 0),
        PRIMARY KEY (partition, key)
    )""",
)


def upgrade() -> None:
    run(SQLITE, POSTGRES)


def downgrade() -> None:
    op.execute("DROP TABLE clearing_record")
