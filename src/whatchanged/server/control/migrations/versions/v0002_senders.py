"""Senders: programs that are no machines of ours, and the rule that each may send records to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and let tokens name one of it."""
    op.create_table(
        "senders",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("rule_id", sa.String(36), nullable=False),
        sa.Column("machine_group", sa.String(90), sa.ForeignKey("machine_groups.name"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("rule_id", "name", name="senders_by_rule"),
    )
    op.add_column("tokens", sa.Column("sender", sa.String(36)))
