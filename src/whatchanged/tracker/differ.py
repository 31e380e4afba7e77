"""The differ: two looks at one item in, rows of ConfigurationChange out. Pure.

One row per added, removed or modified item; for services and daemons one row per changed property, because
alerts filter on `SvcChangeType` (reference of the upstream tables).
"""

from __future__ import annotations

import msgspec

from whatchanged.records.items import DaemonItem, Item, Kind, Value
from whatchanged.records.tables import CONFIGURATION_CHANGE

__all__ = ["change_rows"]

_CHANGE_COLUMNS = frozenset(CONFIGURATION_CHANGE.names)

# Column of ConfigurationData → its name for the time before, where ConfigurationChange has one.
_PREVIOUS = {
    name: previous
    for name in CONFIGURATION_CHANGE.names
    for previous in (f"Previous{name}", f"SvcPrevious{name.removeprefix('Svc')}")
    # PreviousFileSystemPath is the path before a rename, which is told as such.
    if previous in _CHANGE_COLUMNS
    and name != "FileSystemPath"
    and (name.startswith("Svc") == previous.startswith("Svc"))
}

# Property of a service → the value of SvcChangeType.
_SERVICE_PROPERTIES = {
    "SvcState": "State",
    "SvcStartupType": "StartupType",
    "SvcPath": "Path",
    "SvcAccount": "ServiceAccount",
    "SvcDescription": "Description",
    "SvcController": "Controller",
    "SvcRunlevels": "Runlevels",
}


def change_rows(previous: Item | None, current: Item | None) -> list[dict[str, Value]]:
    """Return the rows that tell the way from `previous` to `current`; none if nothing that counts differs.

    `None` stands for an item that is not there. The rows hold what the item itself knows: ConfigChangeType,
    ChangeCategory, FieldsChanged and the item's columns.
    """
    if previous is None:
        return [] if current is None else [_row(current, "Added", {}, current.columns())]
    if current is None:
        return [_row(previous, "Removed", previous.columns(), {})]
    before, after = previous.compared(), current.compared()
    changed = [name for name in after if name in before and before[name] != after[name]]
    if current.kind in (Kind.DAEMONS, Kind.WINDOWS_SERVICES):
        return [*_restart_rows(previous, current), *(_property_row(previous, current, name) for name in changed)]
    if not changed:
        return []
    row = _row(current, "Modified", previous.columns(), current.columns())
    row["FieldsChanged"] = ",".join(changed)
    return [row]


def _restart_rows(previous: Item, current: Item) -> list[dict[str, Value]]:
    """Return the stop and the start that lie between two looks at a running service: alerts wait for the stop."""
    if not (isinstance(previous, DaemonItem) and isinstance(current, DaemonItem) and current.restarted_since(previous)):
        return []
    stopped = msgspec.structs.replace(current, state="Stopped")
    return [_property_row(previous, stopped, "SvcState"), _property_row(stopped, current, "SvcState")]


def _row(item: Item, category: str, before: dict[str, Value], after: dict[str, Value]) -> dict[str, Value]:
    row: dict[str, Value] = {"ConfigChangeType": item.kind.value, "ChangeCategory": category}
    shown = after or before
    row.update({n: v for n, v in shown.items() if n in _CHANGE_COLUMNS and (after or n not in _PREVIOUS)})
    row.update({_PREVIOUS[name]: value for name, value in before.items() if name in _PREVIOUS})
    if item.kind is Kind.SOFTWARE:
        row.update({c: s["CurrentVersion"] for c, s in (("Current", after), ("Previous", before)) if s})
    return row


def _property_row(previous: Item, current: Item, name: str) -> dict[str, Value]:
    before, after = previous.columns(), current.columns()
    row = _row(current, "Modified", {name: before.get(name, "")}, after)
    row["FieldsChanged"] = name
    row["SvcChangeType"] = _SERVICE_PROPERTIES[name]
    row["Current"] = after.get(name, "")
    row["Previous"] = before.get(name, "")
    return {column: value for column, value in row.items() if value != ""}
