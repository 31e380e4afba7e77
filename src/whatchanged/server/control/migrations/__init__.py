"""The migrations of the control plane: Alembic's steps, each a module; a new one goes to the end of `STEPS`."""

from __future__ import annotations

from whatchanged.server.control.migrations.versions import (
    v0001_first,
    v0002_senders,
    v0003_saved_queries,
    v0004_sign_in,
    v0005_previews,
)

__all__ = ["STEPS"]

STEPS = (v0001_first, v0002_senders, v0003_saved_queries, v0004_sign_in, v0005_previews)
