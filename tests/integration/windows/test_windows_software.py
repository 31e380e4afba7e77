"""Software of the running system as a whole; under Wine there is a hot fix, and no Windows Update."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import re
import uuid
import winreg
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from whatchanged.collectors import Snapshot
from whatchanged.collectors.management import ComError, by_com, created, instances
from whatchanged.collectors.software.windows_software import WindowsSoftware
from whatchanged.records.items import SoftwareItem

PACKAGES = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages"
HOT_FIX = "Win32_QuickFixEngineering"


@pytest.fixture
def package() -> Iterator[str]:
    """The number of the first hot fix that WMI knows, which component-based servicing knows as well."""
    number = instances(HOT_FIX, ("HotFixID",), 10_000)[0]["HotFixID"]
    path = rf"{PACKAGES}\Package_for_{number}~31bf3856ad364e35~amd64~~10.0.0.{uuid.uuid4().int & 0xFFFF}"
    with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
        winreg.SetValueEx(key, "CurrentState", 0, winreg.REG_DWORD, 0x70)
    yield number
    winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, path)


def updates(snapshot: Snapshot[SoftwareItem]) -> list[tuple[str, str]]:
    return [(item.name, item.source) for item in snapshot.items if item.software_type == "Update"]


def test_hot_fixes_of_this_machine_each_once() -> None:
    collector = WindowsSoftware()
    first, second = collector.run(), collector.run()
    assert first.items == second.items
    numbers = [number for name, _ in updates(first) for number in re.findall(r"KB[0-9]+", name)]
    told = {row["HotFixID"] for row in instances(HOT_FIX, ("HotFixID",), 10_000)}
    assert told
    assert told <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert "qfe" in first.scopes


def test_a_hot_fix_that_the_registry_knows_is_told_of_by_it_alone(package: str) -> None:
    name = f"Update for Windows ({package})"
    assert [source for told, source in updates(WindowsSoftware().run()) if told == name] == ["cbs"]


def test_without_an_answer_of_windows_update_its_items_are_kept() -> None:
    snapshot = WindowsSoftware().run()
    silent = {failure.path for failure in snapshot.outcome.failures} & {b"wu"}
    # A Windows whose update service is there has a history, or keeps what it had.
    assert ("wu" in snapshot.scopes) != (b"wu" in snapshot.kept)
    if silent:
        assert b"wu" in snapshot.outcome.denied


def test_what_is_not_there_is_an_error_with_its_number() -> None:
    with pytest.raises(ComError, match="error 0x800401f3"):  # CO_E_CLASSSTRING
        by_com(lambda: created("Whatchanged.Nothing"))
    with pytest.raises(ComError, match="more than 1 instances"):
        instances("Win32_Service", ("Name",), 1)


def test_threads_ask_side_by_side() -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: instances(HOT_FIX, ("HotFixID",), 10_000), range(8)))
    assert all(answer == answers[0] for answer in answers)
