"""A class that speaks as Windows Update's session does (IUpdateSession), served by this process."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from datetime import datetime
from typing import Any, ClassVar

import pywintypes
from win32com.server.util import wrap

__all__ = ["HISTORY", "Session"]

HISTORY: list[tuple[Any, datetime, int, int]] = []
"""Title, date, operation and result of the entries, the newest first."""


class _Entry:
    _public_methods_: ClassVar[list[str]] = []
    _public_attrs_: ClassVar[list[str]] = ["Title", "Date", "Operation", "ResultCode"]

    def __init__(self, title: Any, date: datetime, operation: int, result: int) -> None:
        self.Title, self.Operation, self.ResultCode = title, operation, result
        self.Date = pywintypes.Time(date)  # type: ignore[arg-type]  # it takes both


class _Entries:
    _public_methods_: ClassVar[list[str]] = ["Item"]
    _public_attrs_: ClassVar[list[str]] = ["Count"]

    def __init__(self, entries: list[_Entry]) -> None:
        self._entries = entries
        self.Count = len(entries)

    def Item(self, number: int) -> Any:  # noqa: N802
        return wrap(self._entries[number])


class _Searcher:
    _public_methods_: ClassVar[list[str]] = ["GetTotalHistoryCount", "QueryHistory"]

    def GetTotalHistoryCount(self) -> int:  # noqa: N802
        return len(HISTORY)

    def QueryHistory(self, first: int, count: int) -> Any:  # noqa: N802
        assert count > 0, "E_INVALIDARG of the real one"
        return wrap(_Entries([_Entry(*entry) for entry in HISTORY[first : first + count]]))


class Session:
    """The session."""

    _public_methods_: ClassVar[list[str]] = ["CreateUpdateSearcher"]

    def CreateUpdateSearcher(self) -> Any:  # noqa: N802
        """Return a searcher, which the history is asked of."""
        return wrap(_Searcher())
