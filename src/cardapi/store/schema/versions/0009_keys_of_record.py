"""Find the keys of a record: SQLite looks for them whenever a record goes, in the whole table where no index leads there."""

from alembic import op

from cardapi.store.schema import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run(("CREATE INDEX record_key_record ON record_key (kind, id)",), ())  # PostgreSQL has had it since 0004


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP INDEX record_key_record")
