"""Media: chips and other carriers of cards, a projection of the journal like `card` and `account`."""

from alembic import op

from cardapi.store.schema import run

revision = "0003"
down_revision = "0002"

SQLITE = (
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


POSTGRES = (
    """CREATE TABLE medium (
        partition integer NOT NULL,
        medium text COLLATE "C" NOT NULL CHECK (medium ~ '^[^:]+:.' AND length(medium) <= 128),
        account_id bigint NOT NULL,
        card text COLLATE "C" NOT NULL CHECK (card <> ''),
        profile text NOT NULL,
        state text NOT NULL CHECK (state IN ('active', 'retired', 'blocked')),
        keys bytea NOT NULL CHECK (length(keys) > 0),
        purse integer NOT NULL CHECK (purse BETWEEN 0 AND 2),
        online_counter bigint NOT NULL CHECK (online_counter BETWEEN 0 AND 65535),
        offline_counter bigint NOT NULL CHECK (offline_counter BETWEEN 0 AND 4294967295),
        balance_fen bigint NOT NULL CHECK (balance_fen BETWEEN 0 AND 4294967295),
        in_flight bigint NOT NULL CHECK (in_flight >= 0),
        changed_at bigint NOT NULL CHECK (changed_at > 0),
        PRIMARY KEY (partition, medium),
        FOREIGN KEY (partition, account_id) REFERENCES account (partition, account_id) DEFERRABLE INITIALLY DEFERRED
    )""",
    # A chip is presented by its own name: it is found, and is unique, in all partitions (K9).
    "CREATE UNIQUE INDEX medium_name ON medium (medium)",
    "CREATE INDEX medium_account ON medium (partition, account_id)",
    "CREATE INDEX medium_in_flight ON medium (in_flight) WHERE in_flight > 0",
)


def upgrade() -> None:
    run(SQLITE, POSTGRES)


def downgrade() -> None:
    op.execute("DROP TABLE medium")
