"""`whatchanged changes`: what changed, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

from whatchanged.cli.connection import connect
from whatchanged.cli.moments import moment
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output

NAME = "changes"
SUMMARY = "What changed on the machines, newest first"

_COLUMNS = ("TimeGenerated", "Computer", "ConfigChangeType", "ChangeCategory", "Item", "Change")
_KINDS = ("Files", "Registry", "Software", "WindowsServices", "Daemons")
_NAMES = ("FileSystemPath", "SvcName", "SoftwareName", "RegistryKey", "Name")
_PAIRS = {
    "Attributes": "PreviousAttributes",
    "Acls": "PreviousAcls",
    "Size": "PreviousSize",
    "SvcState": "SvcPreviousState",
    "SvcStartupType": "SvcPreviousStartupType",
    "SvcAccount": "SvcPreviousAccount",
    "SvcPath": "SvcPreviousPath",
    "SvcController": "SvcPreviousController",
    "SvcRunlevels": "SvcPreviousRunlevels",
    "SvcTriggeredBy": "SvcPreviousTriggeredBy",
    "ValueData": "PreviousValueData",
    "ValueType": "PreviousValueType",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument("--machine", metavar="NAME|ID", help="only of this machine")
    parser.add_argument("--kind", choices=_KINDS, help="only of this kind of item")
    parser.add_argument("--category", choices=("Added", "Removed", "Modified"), help="only of this category")
    parser.add_argument("--path", help="only below this path")
    parser.add_argument("--from", dest="since", type=moment, metavar="TIME", help="since then: 24h, 7d, or ISO 8601")
    parser.add_argument("--to", dest="until", type=moment, metavar="TIME", help="until then")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many (default: 100; --json: all)")


def positive(text: str) -> int:
    """Return a whole number of at least 1 (for argparse)."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write the changes."""
    wanted = {
        "machine": arguments.machine,
        "kind": arguments.kind,
        "category": arguments.category,
        "path": arguments.path,
        "from": arguments.since,
        "to": arguments.until,
    }
    limit = arguments.limit or (None if output.as_json else 100)
    with connect(load_values(arguments)) as server:
        rows: Iterable[dict[str, Any]] = server.pages("/api/v1/changes", wanted, limit)
        shown = rows if output.as_json else for_people(rows)
        count = output.rows(shown, _COLUMNS, empty="No changes. `whatchanged status` says how the tracking fares.")
    say_limit(count, limit, output)
    return 0


def say_limit(count: int, limit: int | None, output: Output) -> None:
    """Say that there may be more than people see."""
    if not output.as_json and limit is not None and count >= limit:
        output.message(f"Only the first {limit} are shown; --limit N shows more.")


def for_people(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows with `Item` (what changed) and `Change` (from what to what)."""
    for row in rows:
        item = next((str(row[name]) for name in _NAMES if row.get(name)), "")
        if row.get("ValueName"):
            item = f"{item}\\{row['ValueName']}"
        yield {**row, "Item": _paths(row, item), "Change": _change(row)}


def _change(row: dict[str, Any]) -> str:
    if row.get("ChangeCategory") != "Modified":
        return str(row.get("Current") or row.get("Previous") or "")
    parts = []
    for field in str(row.get("FieldsChanged") or "").split(","):
        name = field.strip()
        before = row.get(_PAIRS.get(name, ""))
        if name == "FileSystemPath":
            name = "renamed"
        parts.append(f"{name}: {before} → {row.get(name)}" if name in _PAIRS else name)
    if row.get("ConfigChangeType") == "Software" and row.get("Previous"):
        parts = [f"{row['Previous']} → {row.get('Current')}"]
    return ", ".join(part for part in parts if part)


def _paths(row: dict[str, Any], item: str) -> str:
    """Return the item, of one that was renamed with its path before."""
    before = row.get("PreviousFileSystemPath")
    return f"{before} → {item}" if before else item
