"""JSON Schema (2020-12) of a row as it travels and as the API returns it."""

from __future__ import annotations

from typing import Any

from whatchanged.records.columns import Column, ColumnType, Table

__all__ = ["json_schema"]

_TYPES: dict[ColumnType, dict[str, Any]] = {
    ColumnType.STRING: {"type": "string"},
    ColumnType.DATETIME: {"type": "string", "format": "date-time"},
    ColumnType.LONG: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    ColumnType.INT: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    ColumnType.REAL: {"type": "number"},
    ColumnType.BOOL: {"type": "boolean"},
    ColumnType.DYNAMIC: {},
    ColumnType.GUID: {"type": "string", "format": "uuid"},
    ColumnType.TIMESPAN: {"type": "string"},
}


def json_schema(table: Table) -> dict[str, Any]:
    """Return the schema of one row. Absent means empty, so only TimeGenerated is required."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table.name,
        "description": table.meaning,
        "type": "object",
        "properties": {column.name: _property(column) for column in table.columns},
        "required": ["TimeGenerated"],
        "additionalProperties": False,
    }


def _property(column: Column) -> dict[str, Any]:
    schema = dict(_TYPES[column.type])
    schema["description"] = column.meaning
    if column.server_set:
        schema["readOnly"] = True
    return schema
