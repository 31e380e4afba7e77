"""Previews carry the document that they are of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; previews that wait have none, and could not be answered without."""
    op.add_column("requests", sa.Column("document", sa.Text))
    op.execute("DELETE FROM requests WHERE request = 'preview' AND state <> 'answered'")
