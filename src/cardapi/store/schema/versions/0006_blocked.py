"""Find what is out of use: the list of blocked cards for stations off line is made from it, among millions of cards in use."""

from alembic import op

from cardapi.store.schema import run

revision = "0006"
down_revision = "0005"

BLOCKED = (
    "CREATE INDEX card_out_of_use ON card (number) WHERE state NOT IN ('active', 'stock', 'issued')",
    "CREATE INDEX medium_out_of_use ON medium (medium) WHERE state <> 'active'",
)


def upgrade() -> None:
    run(BLOCKED, BLOCKED)


def downgrade() -> None:
    op.execute("DROP INDEX medium_out_of_use")
    op.execute("DROP INDEX card_out_of_use")
