"""Records: rows of many kinds found by id and by declared keys; members are the first of them."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
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


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE record_key")
    op.execute("DROP TABLE record")
