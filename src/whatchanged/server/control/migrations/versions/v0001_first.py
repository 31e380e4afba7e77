"""The first shape of the control plane."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "installation", sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("machine_groups", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("expires_at", sa.BigInteger),
    )
    op.create_table(
        "machine_groups",
        sa.Column("name", sa.String(90), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "machines",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("machine_group", sa.String(90), sa.ForeignKey("machine_groups.name"), nullable=False),
        sa.Column("computer", sa.String(256), nullable=False),
        sa.Column("os_type", sa.String(16), nullable=False),
        sa.Column("os_name", sa.String(256), nullable=False),
        sa.Column("vm_uuid", sa.String(64), nullable=False),
        sa.Column("agent_version", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger, nullable=False),
        sa.Column("last_contact", sa.BigInteger, nullable=False),
        sa.Column("silent_since", sa.BigInteger),
        sa.Column("instance", sa.String(36)),
        sa.Column("instance_since", sa.BigInteger),
    )
    op.create_index("machines_by_name", "machines", ["machine_group", "name"])
    op.create_table(
        "credentials",
        sa.Column("machine_id", sa.String(36), sa.ForeignKey("machines.id"), primary_key=True),
        sa.Column("slot", sa.String(8), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "instances",
        sa.Column("machine_id", sa.String(36), sa.ForeignKey("machines.id"), primary_key=True),
        sa.Column("instance", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "enrollment_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("machine_group", sa.String(90), sa.ForeignKey("machine_groups.name"), nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("uses_left", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
    )
    op.create_table(
        "rules",
        sa.Column("key", sa.String(256), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("immutable_id", sa.String(36), nullable=False, unique=True),
        sa.Column("etag", sa.String(64), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rule_history",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("immutable_id", sa.String(36), nullable=False),
        sa.Column("etag", sa.String(64), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
    )
    op.create_index("rule_history_by_key", "rule_history", ["key", "id"])
    op.create_table(
        "associations",
        sa.Column("key", sa.String(256), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("rule", sa.String(256), sa.ForeignKey("rules.key"), nullable=False),
        sa.Column("machine_id", sa.String(36), sa.ForeignKey("machines.id")),
        sa.Column("machine_group", sa.String(90), sa.ForeignKey("machine_groups.name")),
    )
    op.create_index("associations_by_machine", "associations", ["machine_id"])
    op.create_index("associations_by_group", "associations", ["machine_group"])
    op.create_table(
        "requests",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("machine_id", sa.String(36), sa.ForeignKey("machines.id"), nullable=False),
        sa.Column("request", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(256), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("success", sa.Boolean),
        sa.Column("result", sa.Text),
    )
    op.create_index("requests_by_machine", "requests", ["machine_id", "state"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(512), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
