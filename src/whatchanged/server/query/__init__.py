"""Query: bounded, read-only answers with stable cursors."""

from whatchanged.server.query.reader import (
    MAX_LIMIT,
    ChangeFilter,
    HealthFilter,
    InventoryFilter,
    Page,
    Reader,
)

__all__ = ["MAX_LIMIT", "ChangeFilter", "HealthFilter", "InventoryFilter", "Page", "Reader"]
