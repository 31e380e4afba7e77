"""What the page of people shows and sets: last uses, where sessions came from, groups that change, settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns, and the table of settings."""
    op.add_column("tokens", sa.Column("used_at", sa.BigInteger))
    op.add_column("accounts", sa.Column("signed_in_at", sa.BigInteger))
    op.add_column("sessions", sa.Column("address", sa.String(64), nullable=False, server_default=""))
    op.add_column("machines", sa.Column("enrolled_group", sa.String(90)))
    op.create_table(
        "settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.String(128), nullable=False),
    )
