"""Find the cards of an account: a refund touches the further accounts of its ticket by account, not by number."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("CREATE INDEX card_account ON card (account_id, changed_at)")


def downgrade() -> None:
    op.execute("DROP INDEX card_account")
