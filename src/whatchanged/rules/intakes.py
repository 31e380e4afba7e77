"""What a rule takes from senders of records: its `dataFlows`, with the `streamDeclarations` that they name.

A flow names streams and, in `outputStream`, where they go; a stream that is one of ours needs none. A stream whose
name begins with `Custom-` is declared with its columns, which are columns of the table it goes to. What is not
carried out here (a transformation) makes the flow take nothing: rows are stored as asked for, or refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from whatchanged.records.columns import ColumnType
from whatchanged.records.streams import RULE_STREAMS, DataType, data_type
from whatchanged.records.tables import table_of
from whatchanged.rules.items import Problem, Severity

__all__ = ["Intake", "read_intakes"]

_TYPES: dict[str, tuple[ColumnType, ...]] = {
    "string": (ColumnType.STRING, ColumnType.GUID),
    "datetime": (ColumnType.DATETIME,),
    "int": (ColumnType.INT, ColumnType.LONG),
    "long": (ColumnType.LONG,),
    "real": (ColumnType.REAL,),
    "boolean": (ColumnType.BOOL,),
    "bool": (ColumnType.BOOL,),
    "dynamic": (ColumnType.DYNAMIC,),
    "guid": (ColumnType.GUID, ColumnType.STRING),
}
"""Type of a declared column → types of the table's column that hold it."""
_CUSTOM = "custom-"
_NOT_FROM_SENDERS = (DataType.TRACKING_HEALTH, DataType.HEALTH_ASSESSMENT)
"""What machines and the server say of themselves."""


class Intake(msgspec.Struct, frozen=True):
    """A stream that a rule takes, the data type under which its rows are stored, and the columns they may have."""

    stream: str
    data_type: DataType
    columns: frozenset[str] | None = None
    """The declared ones; None: all of the table."""


def read_intakes(properties: Mapping[str, Any], place: str) -> tuple[tuple[Intake, ...], tuple[Problem, ...]]:
    """Return what the rule takes, each stream once, and what is wrong with its flows. `place` is where it stands."""
    problems: list[Problem] = []
    declared = dict(_declarations(properties))
    found: dict[str, Intake] = {}
    for here, flow in _objects(properties, ("dataFlows", "data_flow"), place, problems):
        for intake in _flow(flow, here, declared, problems):
            found.setdefault(intake.stream.lower(), intake)
    return tuple(found.values()), tuple(problems)


def _flow(
    flow: Mapping[str, Any], place: str, declared: Mapping[str, Any], problems: list[Problem]
) -> Iterator[Intake]:
    transform = _text(flow, "transformKql", "transform_kql").strip()
    if transform not in ("", "source"):
        message = "is not carried out: records of senders are refused here; what machines collect is stored as it is"
        problems.append(Problem(f"{place}.transformKql", message, Severity.WARNING))
        return
    output = _text(flow, "outputStream", "output_stream")
    named = flow.get("streams")
    for number, stream in enumerate(named if isinstance(named, list) else ()):
        if not isinstance(stream, str):
            continue
        here = f"{place}.streams[{number}]"
        target = data_type(output or stream)
        custom = stream.lower().startswith(_CUSTOM)
        if target is None or target in _NOT_FROM_SENDERS:
            if custom:
                streams = ", ".join(name for name, value in RULE_STREAMS.items() if value not in _NOT_FROM_SENDERS)
                message = f"goes to {output or stream!r}, which is no table here; outputStream is one of {streams}"
                problems.append(Problem(here, message, Severity.WARNING))
            continue  # a flow of another product
        if custom and stream.lower() not in declared:
            problems.append(Problem(here, f"{stream!r} is not among the streamDeclarations"))
        elif custom:
            columns = _columns(stream, declared[stream.lower()], target, problems)
            if columns is not None:
                yield Intake(stream, target, columns)
        elif data_type(stream) is not None:
            yield Intake(stream, target)


def _columns(stream: str, declared: Any, target: DataType, problems: list[Problem]) -> frozenset[str] | None:
    """Return the declared columns; None, and a problem each, if they are not those of the table."""
    table = table_of(target)
    place = f"streamDeclarations.{stream}"
    if not isinstance(declared, list) or not declared:
        problems.append(Problem(place, "declares no columns"))
        return None
    names: set[str] = set()
    sound = True
    for number, column in enumerate(declared):
        name = column.get("name") if isinstance(column, Mapping) else None
        kind = str(column.get("type", "")).lower() if isinstance(column, Mapping) else ""
        if not isinstance(name, str) or name not in table.names:
            message = f"{table.name} has no column {name!r}"
        elif table[name].type not in _TYPES.get(kind, ()):
            message = f"{name} of {table.name} is of type {table[name].type}, not {kind or 'none'}"
        else:
            names.add(name)
            continue
        problems.append(Problem(f"{place}.columns[{number}]", message))
        sound = False
    return frozenset(names) if sound else None


def _declarations(properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield name, in lower case, and columns of every declared stream, of ARM's map or Terraform's list."""
    declared = properties.get("streamDeclarations")
    for name, value in declared.items() if isinstance(declared, Mapping) else ():
        yield name.lower(), value.get("columns") if isinstance(value, Mapping) else None
    for _, value in _objects(properties, ("stream_declaration",), "", []):
        yield _text(value, "stream_name").lower(), value.get("column")


def _objects(
    properties: Mapping[str, Any], keys: tuple[str, ...], place: str, problems: list[Problem]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in keys:
        value = properties.get(key)
        here = f"{place}.{key}" if place else key
        entries = [value] if isinstance(value, Mapping) else value
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, Mapping):
                yield f"{here}[{number}]", entry
            else:
                problems.append(Problem(f"{here}[{number}]", "is no object; left out"))


def _text(value: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        if isinstance(found := value.get(key), str):
            return found
    return ""
