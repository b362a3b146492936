"""Find the cards of an account: a refund touches the further accounts of its ticket by account, not by number."""

from alembic import op

from cardapi.store.schema import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run(
        ("CREATE INDEX card_account ON card (account_id, changed_at)",),
        ("CREATE INDEX card_account ON card (partition, account_id, changed_at)",),
    )


def downgrade() -> None:
    op.execute("DROP INDEX card_account")
