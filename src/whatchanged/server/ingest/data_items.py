"""DataItems: the bodies of agents from before rules, turned into rows. Pure.

`{"DataType", "IPName", "DataItems": […]}`. The items are ready rows, or (CONFIG_CHANGE_BLOB) sets: everything of one
kind that is on a computer, sent whole whenever something of it differs. What differs stands nowhere in them, so their
rows are the inventory's; the agents left the comparing to the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.items import Kind
from whatchanged.server.ingest.shape import decode_json

__all__ = ["DataItems"]

_INVENTORY = "Microsoft-ConfigurationData"


@dataclass(frozen=True, slots=True)
class DataItems:
    """A body as rows."""

    stream: str
    """The stream that they are of."""
    rows: bytes
    """JSON array, as an upload of that stream has it."""

    @classmethod
    def read(cls, payload: bytes) -> DataItems:
        """Read a body. Raises RecordError that names the place."""
        body = decode_json(payload)
        if not isinstance(body, dict):
            raise RecordError("the body is no JSON object with DataType and DataItems")
        stream, items = body.get("DataType"), body.get("DataItems")
        if not isinstance(stream, str):
            raise RecordError("a text is expected", place="DataType")
        if not isinstance(items, list):
            raise RecordError("a list is expected", place="DataItems")
        if not any(isinstance(item, dict) and "Collections" in item for item in items):
            return cls(stream, msgspec.json.encode(items))
        rows = [row for number, item in enumerate(items) for row in _rows(item, f"DataItems[{number}]")]
        return cls(_INVENTORY, msgspec.json.encode(rows))


def _rows(item: object, place: str) -> Iterator[dict[str, Any]]:
    if not isinstance(item, dict) or not isinstance(item.get("Collections"), list):
        raise RecordError("an object with Collections is expected", place=place)
    named = item.get("ConfigChangeType")
    if not isinstance(named, str) or named not in _KINDS:
        raise RecordError(f"one of {', '.join(_KINDS)} is expected", place=f"{place}.ConfigChangeType")
    kind, columns_of = _KINDS[named]
    for number, entry in enumerate(item["Collections"]):
        here = f"{place}.Collections[{number}]"
        if not isinstance(entry, dict):
            raise RecordError("an object is expected", place=here)
        yield {
            "TimeGenerated": item.get("Timestamp"),
            "Computer": item.get("Computer"),
            "ConfigDataType": kind.value,
            "SourceSystem": "Linux",
            "Name": entry.get("Name") or entry.get("CollectionName"),
            **columns_of(entry, here),
        }


def _package(entry: dict[str, Any], place: str) -> dict[str, Any]:
    return {
        "SoftwareName": entry.get("Name"),
        "SoftwareType": "Package",
        "CurrentVersion": entry.get("CurrentVersion"),
        "Architecture": entry.get("Architecture"),
        "Publisher": entry.get("Publisher"),
        "Size": _number(entry, "Size", place),
        "InstalledAt": entry.get("Timestamp"),
    }


def _daemon(entry: dict[str, Any], _place: str) -> dict[str, Any]:
    return {
        "SvcName": entry.get("Name"),
        "SvcDescription": entry.get("Description"),
        "SvcState": entry.get("State"),
        "SvcPath": entry.get("Path"),
        "SvcRunlevels": entry.get("Runlevels"),
        "SvcController": entry.get("Controller"),
    }


def _file(entry: dict[str, Any], place: str) -> dict[str, Any]:
    owner, group = (str(entry.get(name) or "") for name in ("Owner", "Group"))
    return {
        "FileSystemPath": entry.get("FileSystemPath"),
        "FileContentChecksum": entry.get("FileContentChecksum"),
        "Size": _number(entry, "Size", place),
        "Attributes": entry.get("Mode"),
        "Acls": f"{owner}:{group}" if owner or group else "",
        "DateModified": entry.get("DateModified"),
        "DateCreated": entry.get("DateCreated"),
    }


def _number(entry: dict[str, Any], name: str, place: str) -> int | None:
    """Return a number that the agents write as text."""
    value = entry.get(name)
    if value in (None, ""):
        return None
    try:
        return msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError as error:
        raise RecordError(str(error), place=f"{place}.{name}") from error


_KINDS: dict[str, tuple[Kind, Callable[[dict[str, Any], str], dict[str, Any]]]] = {
    "Software.Packages": (Kind.SOFTWARE, _package),
    "Daemons": (Kind.DAEMONS, _daemon),
    "Files": (Kind.FILES, _file),
}
