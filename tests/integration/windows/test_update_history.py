"""Windows Update's history through the Component Object Model, of a class that tests serve in its place."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import pywintypes
from win32com.server import register

from integration.windows import update_session
from whatchanged.collectors.management import ComError
from whatchanged.collectors.software.update_history import update_history
from whatchanged.collectors.software.windows_updates import HistoryEntry


@pytest.fixture
def session() -> Iterator[str]:
    """Name of the class."""
    clsid, name = pywintypes.IID(f"{{{uuid.uuid4()}}}"), f"Whatchanged.Test.{uuid.uuid4().hex}"
    register.RegisterServer(
        clsid, "integration.windows.update_session.Session", "Session", name, addPyComCat=False, clsctx=1
    )
    yield name
    update_session.HISTORY.clear()
    register.UnregisterServer(clsid, name)


def test_entries_as_they_are(session: str) -> None:
    update_session.HISTORY[:] = [
        ("2024-01 Update für Windows (KB5034441)", datetime(2024, 7, 31, 23, 59, 58, tzinfo=UTC), 1, 2),
        (None, datetime(2023, 1, 1, tzinfo=UTC), 2, 4),
    ]
    when = int(datetime(2024, 7, 31, 23, 59, 58, tzinfo=UTC).timestamp()) * 10**9
    first, second = update_history(session)
    assert first == HistoryEntry("2024-01 Update für Windows (KB5034441)", when, 1, 2)
    assert (second.title, second.operation, second.result) == ("", 2, 4)


def test_no_history(session: str) -> None:
    assert update_history(session) == []


def test_one_that_fails(session: str) -> None:
    update_session.HISTORY[:] = [("x", "no date", 1, 2)]  # type: ignore[list-item]
    with pytest.raises(ComError, match="error 0x"):
        update_history(session)
