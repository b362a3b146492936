"""Find what came at one counter of a chip: two purchases there are the mark of a copied card. Purses prove no counter and are left out."""

from alembic import op

from cardapi.store.schema import run

revision = "0008"
down_revision = "0007"

CHIP = "length(card) = 17 AND substr(card, 17)"


def upgrade() -> None:
    run(
        (f"CREATE INDEX clearing_chip ON clearing_record (card, counter) WHERE {CHIP} = x'00'",),
        (f"CREATE INDEX clearing_chip ON clearing_record (partition, card, counter) WHERE {CHIP} = '\\x00'::bytea",),
    )


def downgrade() -> None:
    op.execute("DROP INDEX clearing_chip")
