"""The history of Windows Update on this machine, by its own interface (IUpdateSession)."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from datetime import UTC, datetime
from typing import Any

from whatchanged.collectors.management import by_com, created
from whatchanged.collectors.software.windows_updates import HistoryEntry

__all__ = ["update_history"]

_MOST = 5000
"""Entries, the newest."""
_LONGEST_TITLE = 1000


def update_history(session: str = "Microsoft.Update.Session") -> list[HistoryEntry]:
    """Return the newest entries, of the class `session`. Raises ComError; it may take long or for ever."""
    return by_com(lambda: _entries(session))


def _entries(session: str) -> list[HistoryEntry]:
    searcher = created(session).CreateUpdateSearcher()
    count = min(int(searcher.GetTotalHistoryCount()), _MOST)
    if count <= 0:  # QueryHistory refuses to be asked for none
        return []
    entries = searcher.QueryHistory(0, count)
    return [_entry(entries.Item(number)) for number in range(int(entries.Count))]


def _entry(entry: Any) -> HistoryEntry:
    when: datetime = entry.Date  # in UTC, whatever pywin32 says of it
    seconds = datetime(when.year, when.month, when.day, when.hour, when.minute, when.second, tzinfo=UTC).timestamp()
    title = str(entry.Title or "")[:_LONGEST_TITLE]
    return HistoryEntry(title, int(seconds) * 10**9, int(entry.Operation), int(entry.ResultCode))
