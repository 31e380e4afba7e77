"""Hot fixes and Windows Update's history: rows and entries as Windows gives them, merged with what is known."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors.software.windows_updates import HistoryEntry, history_updates, hot_fixes, kb_numbers
from whatchanged.records.items import SoftwareItem

INSTALLED, REMOVED = 1, 2
SUCCEEDED, FAILED = 2, 4


def entry(day: int, title: str, operation: int = INSTALLED, result: int = SUCCEEDED) -> HistoryEntry:
    return HistoryEntry(title, day * 10**9, operation, result)


def row(number: str, installed: str = "") -> dict[str, str]:
    return {"HotFixID": number, "Description": "Security Update", "InstalledOn": installed}


def test_hot_fixes() -> None:
    rows = [row("KB5034441", "1/31/2024"), row("File 1"), row("kb5034122"), row("KB5034122"), row("KB890830")]
    items = list(hot_fixes(rows, {"KB890830"}))
    assert [item.name for item in items] == ["Update for Windows (KB5034441)", "Update for Windows (KB5034122)"]
    columns = items[0].columns()
    assert columns["InstalledAt"] == "2024-01-31T00:00:00.0000000Z"
    assert (columns["Location"], columns["SoftwareType"], columns["SoftwareDescription"]) == (
        "qfe", "Update", "Security Update"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "day"),
    [("12/1/2023", (2023, 12, 1)), ("01da470000000000", (2024, 1, 14)), ("22/2/2022", None), ("", None), ("x", None)],
)
def test_the_date_of_a_hot_fix(text: str, day: tuple[int, int, int] | None) -> None:
    (item,) = hot_fixes([row("KB5034441", text)], ())
    installed = item.installed_ns
    found = None if installed is None else datetime.fromtimestamp(installed // 10**9, UTC)
    assert (None if found is None else (found.year, found.month, found.day)) == day


def test_of_updates_that_replace_each_other_the_newest_is_told() -> None:
    monthly = "2024-{:02} Cumulative Update for Windows 10 Version 22H2 for x64-based Systems (KB{})"
    defender = (
        "Security Intelligence Update for Microsoft Defender Antivirus - KB2267602 (Version {}) - Current Channel"
    )
    entries = [
        entry(5, monthly.format(2, 5034763)),
        entry(1, monthly.format(1, 5034122)),
        entry(3, defender.format("1.403.10.0")),
        entry(4, defender.format("1.403.9.0")),
        entry(2, "Windows Malicious Software Removal Tool x64 - v5.120 (KB890830)"),
        entry(2, "Intel - Display - 31.0.101.2111"),
        entry(2, "Update für Microsoft Office 2016 (KB5002500) 64-Bit-Edition"),
    ]
    items = {item.name: item.version for item in history_updates(entries, ())}
    assert items == {
        monthly.format(2, 5034763): "",
        defender.replace(" (Version {})", ""): "1.403.9.0",
        "Windows Malicious Software Removal Tool x64 (KB890830)": "5.120",
        "Intel - Display": "31.0.101.2111",
        "Update für Microsoft Office 2016 (KB5002500) 64-Bit-Edition": "",
    }
    # The registry knows the newest: neither it nor the one that it replaced is told of.
    names = {item.name for item in history_updates(entries, {"KB5034763"})}
    assert names == items.keys() - {monthly.format(2, 5034763)}


def test_what_failed_or_was_removed_is_not_installed() -> None:
    entries = [
        entry(1, "A (KB1000001)"),
        entry(2, "A (KB1000002)", result=FAILED),
        entry(1, "B (KB2000001)"),
        entry(2, "B (KB2000001)", operation=REMOVED),
        entry(1, "C (KB3000001)", operation=REMOVED),
        entry(2, "C (KB3000001)", result=3),
    ]
    assert [item.name for item in history_updates(entries, ())] == ["A (KB1000001)", "C (KB3000001)"]


def test_numbers_of_updates_stand_in_their_names() -> None:
    update = SoftwareItem(name="Update for Windows (KB5034441)", version="", software_type="Update")
    program = SoftwareItem(name="Viewer of KB5034442", version="")
    assert kb_numbers([update, program]) == {"KB5034441"}


ENTRIES = st.lists(
    st.builds(
        HistoryEntry,
        st.text(st.sampled_from("KB 0123456789().-vX"), max_size=30),
        st.integers(0, 10),
        st.integers(0, 3),
        st.integers(0, 5),
    )
)


@given(entries=ENTRIES, order=st.randoms(use_true_random=False))
def test_every_order_of_a_history_gives_the_same(entries: list[HistoryEntry], order: object) -> None:
    shuffled = sorted(entries, key=lambda _: order.random())  # type: ignore[attr-defined]
    found = list(history_updates(entries, ()))
    assert {item.key(): item.version for item in found} == {
        item.key(): item.version for item in history_updates(shuffled, ())
    }
    assert all(item.name for item in found)
    numbers = [number for item in found if (number := next(iter(kb_numbers([item])), None))]
    assert len(numbers) == len(set(numbers))
