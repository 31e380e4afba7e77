"""Updates of Windows beyond those of the registry: hot fixes as WMI tells of them, and Windows Update's history. Pure.

An update is known by the number of its article (`KB5034441`) and told of once, by the first that knows it: registry,
hot fixes, history. So what a source adds must not depend on whether a later one could be asked.

The history is a log and no inventory: it still names what was replaced long ago. Of the entries whose titles differ in
nothing but numbers only the newest counts, and only if it says that something was installed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from whatchanged.collectors.registry.hive_format import filetime_ns
from whatchanged.collectors.software.windows_registry import kb_number, windows_update
from whatchanged.records.items import SoftwareItem

__all__ = [
    "HISTORY",
    "HOT_FIXES",
    "HOT_FIX_PROPERTIES",
    "HistoryEntry",
    "history_updates",
    "hot_fixes",
    "kb_numbers",
]

HOT_FIXES, HISTORY = "qfe", "wu"
"""Sources of items, after Win32_QuickFixEngineering and Windows Update."""
HOT_FIX_PROPERTIES = ("HotFixID", "Description", "InstalledOn")
_UPDATE = "Update"
_INSTALLATION = 1
"""UpdateOperation: uoInstallation; the other one is uoUninstallation."""
_SUCCEEDED = (2, 3)
"""OperationResultCode: orcSucceeded, orcSucceededWithErrors."""
_NUMBERS = re.compile(r"\(?\bKB[0-9]+\)?|[0-9]+(?:[.,/-][0-9]+)*", re.ASCII | re.IGNORECASE)
_VERSION = re.compile(
    r"\s*(?:\((?:[^\W\d_]+ )?([0-9]+(?:\.[0-9]+)+)\)|- v?([0-9]+(?:\.[0-9]+)+)(?=\s*(?:\(KB[0-9]+\)\s*)?\Z))",
    re.IGNORECASE,
)
"""`(Version 1.403.3110.0)`, and ` - v5.120` or ` - 31.0.101.2111` at the end."""
_AMERICAN_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})\Z", re.ASCII)
_FILETIME = re.compile(r"[0-9a-f]{16}\Z", re.IGNORECASE)


class HistoryEntry(NamedTuple):
    """An entry of Windows Update's history (IUpdateHistoryEntry)."""

    title: str
    when_ns: int
    operation: int
    result: int


def kb_numbers(items: Iterable[SoftwareItem]) -> set[str]:
    """Return the numbers in the names of those items that are updates."""
    return {number for item in items if item.software_type == _UPDATE and (number := kb_number(item.name))}


def hot_fixes(rows: Iterable[Mapping[str, str]], known: Collection[str]) -> Iterator[SoftwareItem]:
    """Yield the updates among instances of Win32_QuickFixEngineering whose numbers are not `known`, each once."""
    told = set(known)
    for row in rows:
        number = kb_number(row["HotFixID"])
        if number and number not in told:
            told.add(number)
            yield SoftwareItem(
                name=windows_update(number),
                version="",
                source=HOT_FIXES,
                software_type=_UPDATE,
                description=row["Description"],
                installed_ns=_installed_ns(row["InstalledOn"]),
            )


def history_updates(entries: Iterable[HistoryEntry], known: Collection[str]) -> Iterator[SoftwareItem]:
    """Yield what a history says is installed now and whose numbers are not `known`, each once."""
    newest: dict[str, HistoryEntry] = {}
    for entry in sorted(entries, key=lambda entry: (entry.when_ns, *entry)):
        if entry.result in _SUCCEEDED and (line := _line(entry.title)):
            newest[line] = entry
    told = set(known)
    for _, entry in sorted(newest.items()):
        number, name = kb_number(entry.title), _VERSION.sub("", entry.title, count=1).strip()
        if entry.operation != _INSTALLATION or number in told or not name:
            continue
        if number:
            told.add(number)
        found = _VERSION.search(entry.title)
        yield SoftwareItem(
            name=name,
            version="" if found is None else found[1] or found[2],
            source=HISTORY,
            software_type=_UPDATE,
            installed_ns=entry.when_ns,
        )


def _line(title: str) -> str:
    """Return what the titles of an update and of those that replace it have in common."""
    return " ".join(_NUMBERS.sub("", title).casefold().split())


def _installed_ns(text: str) -> int | None:
    """Return the date of a hot fix: `1/31/2024`, American in every language, or a FILETIME in hexadecimal digits."""
    if _FILETIME.match(text):
        return filetime_ns(int(text, 16))
    found = _AMERICAN_DATE.match(text)
    if found is None:
        return None
    try:
        return int(datetime(int(found[3]), int(found[1]), int(found[2]), tzinfo=UTC).timestamp()) * 10**9
    except ValueError:  # no such day
        return None
