"""Records: rows of many kinds found by id and by declared keys; members are the first of them."""

from alembic import op

from cardapi.store.schema import run

revision = "0004"
down_revision = "0003"

SQLITE = (
    """CREATE TABLE record (
        kind TEXT NOT NULL CHECK (kind <> ''),
        id TEXT NOT NULL CHECK (id <> ''),
        body BLOB NOT NULL CHECK (length(body) > 0),
        keys TEXT NOT NULL,
        changed_at INTEGER NOT NULL CHECK (changed_at >= 0),
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE record_key (
        kind TEXT NOT NULL,
        name TEXT NOT NULL CHECK (name <> ''),
        value TEXT NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (kind, name, value, id),
        FOREIGN KEY (kind, id) REFERENCES record (kind, id) DEFERRABLE INITIALLY DEFERRED
    ) STRICT, WITHOUT ROWID""",
)


# Journaled in the registry's partition, beside its documents: what makes a person one person is known in one place.
POSTGRES = (
    """CREATE TABLE record (
        partition integer NOT NULL DEFAULT 0 CHECK (partition = 0),
        kind text COLLATE "C" NOT NULL CHECK (kind <> ''),
        id text COLLATE "C" NOT NULL CHECK (id <> ''),
        body bytea NOT NULL CHECK (length(body) > 0),
        keys text NOT NULL,
        changed_at bigint NOT NULL CHECK (changed_at >= 0),
        PRIMARY KEY (partition, kind, id)
    )""",
    """CREATE TABLE record_key (
        partition integer NOT NULL DEFAULT 0 CHECK (partition = 0),
        kind text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL CHECK (name <> ''),
        value text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        PRIMARY KEY (partition, kind, name, value, id),
        FOREIGN KEY (partition, kind, id) REFERENCES record (partition, kind, id) DEFERRABLE INITIALLY DEFERRED
    )""",
    "CREATE INDEX record_key_record ON record_key (partition, kind, id)",
)


def upgrade() -> None:
    run(SQLITE, POSTGRES)


def downgrade() -> None:
    op.execute("DROP TABLE record_key")
    op.execute("DROP TABLE record")
