"""The differ: two looks at one item in, rows of ConfigurationChange out. Pure.

One row per added, removed or modified item; for services and daemons one row per changed property, because
alerts filter on `SvcChangeType` (reference of the upstream tables).
"""

from __future__ import annotations

import msgspec

from whatchanged.records.items import DaemonItem, Item, Kind, ServiceItem, Value
from whatchanged.records.tables import CONFIGURATION_CHANGE

__all__ = ["change_rows", "rename_row"]

_CHANGE_COLUMNS = frozenset(CONFIGURATION_CHANGE.names)

# Column of ConfigurationData → its name for the time before, where ConfigurationChange has one.
_PREVIOUS = {
    name: previous
    for name in CONFIGURATION_CHANGE.names
    for previous in (f"Previous{name}", f"SvcPrevious{name.removeprefix('Svc')}")
    # The path before a rename is told as such.
    if previous in _CHANGE_COLUMNS
    and name not in ("FileSystemPath", "PathBytes")
    and (name.startswith("Svc") == previous.startswith("Svc"))
}

# Property of a service → the value of SvcChangeType. The first four are upstream's. What triggers a service is none of
# them: StartupType has three words of its own (Auto, Manual, Disabled), which queries compare with, and Runlevels is
# the enablement of the service itself, which stays `static` while its timer is enabled or disabled.
_SERVICE_PROPERTIES = {
    "SvcState": "State",
    "SvcStartupType": "StartupType",
    "SvcPath": "Path",
    "SvcAccount": "ServiceAccount",
    "SvcDescription": "Description",
    "SvcController": "Controller",
    "SvcRunlevels": "Runlevels",
    "SvcTriggeredBy": "TriggeredBy",
    "SvcDelayedStart": "DelayedStart",
    "SvcServiceDll": "ServiceDll",
    "SvcFailureActions": "FailureActions",
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
        restarted = _restart_rows(previous, current)
        told = [name for name in changed if not (restarted and name == "SvcState")]
        return [*restarted, *(_property_row(previous, current, name) for name in told)]
    if not changed:
        return []
    row = _row(current, "Modified", previous.columns(), current.columns())
    row["FieldsChanged"] = ",".join(changed)
    return [row]


def rename_row(previous: Item, current: Item) -> dict[str, Value]:
    """Return the row that tells that one file has another path now, and what else of it differs."""
    before, after = previous.compared(), current.compared()
    changed = ["FileSystemPath", *(name for name in after if name in before and before[name] != after[name])]
    was = previous.columns()
    row = _row(current, "Modified", was, current.columns())
    row["FieldsChanged"] = ",".join(changed)
    row["PreviousFileSystemPath"] = was["FileSystemPath"]
    if "PathBytes" in was:
        row["PreviousPathBytes"] = was["PathBytes"]
    return row


def _restart_rows(previous: Item, current: Item) -> list[dict[str, Value]]:
    """Return the stop and the start that lie between two looks at a running service: alerts wait for the stop."""
    match previous, current:
        case (DaemonItem(), DaemonItem()) if current.restarted_since(previous):
            stopped: Item = msgspec.structs.replace(current, state="Stopped")
        case (ServiceItem(), ServiceItem()) if current.restarted_since(previous):
            stopped = msgspec.structs.replace(current, state="Stopped")
        case _:
            return []
    return [_property_row(previous, stopped, "SvcState"), _property_row(stopped, current, "SvcState")]


def _row(item: Item, category: str, before: dict[str, Value], after: dict[str, Value]) -> dict[str, Value]:
    row: dict[str, Value] = {"ConfigChangeType": item.kind.value, "ChangeCategory": category}
    shown = after or before
    row.update({n: v for n, v in shown.items() if n in _CHANGE_COLUMNS and (after or n not in _PREVIOUS)})
    row.update({_PREVIOUS[name]: value for name, value in before.items() if name in _PREVIOUS})
    if item.kind is Kind.SOFTWARE:
        # An update of Windows, or a program, may have no version.
        versions = (("Current", after), ("Previous", before))
        row.update({column: said["CurrentVersion"] for column, said in versions if "CurrentVersion" in said})
    return row


def _property_row(previous: Item, current: Item, name: str) -> dict[str, Value]:
    before, after = previous.columns(), current.columns()
    row = _row(current, "Modified", {name: before.get(name, "")}, after)
    row["FieldsChanged"] = name
    row["SvcChangeType"] = _SERVICE_PROPERTIES[name]
    row["Current"] = _said(after.get(name))
    row["Previous"] = _said(before.get(name))
    return {column: value for column, value in row.items() if value != ""}


def _said(value: Value) -> str:
    """Return a value as Current and Previous hold it: text, whatever the column of its own holds."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
