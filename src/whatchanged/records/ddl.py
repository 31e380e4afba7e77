"""ClickHouse column types of a table; storage composes the statements around them.

A string that is not there is the empty string, as in KQL, where `isempty` is what people ask. Numbers and times
that are not there are NULL, because 0 is a size. The two times that every row has are not nullable: they stand in
sorting and partition keys.
"""

from __future__ import annotations

from whatchanged.records.columns import Column, ColumnType, Table

__all__ = ["column_definitions", "column_type"]

_TIME = "DateTime64(7, 'UTC')"
_ALWAYS_SET = frozenset({"TimeGenerated", "IngestedAt"})
_TYPES = {
    ColumnType.LONG: "Nullable(Int64)",
    ColumnType.INT: "Nullable(Int32)",
    ColumnType.REAL: "Nullable(Float64)",
    ColumnType.BOOL: "Nullable(Bool)",
    ColumnType.DYNAMIC: "String",  # JSON text
    ColumnType.GUID: "Nullable(UUID)",
    ColumnType.TIMESPAN: "Nullable(Int64)",  # 100 ns
}


def column_type(column: Column) -> str:
    """Return the column's ClickHouse type."""
    if column.type is ColumnType.STRING:
        return "LowCardinality(String)" if column.low_cardinality else "String"
    if column.type is ColumnType.DATETIME:
        return _TIME if column.name in _ALWAYS_SET else f"Nullable({_TIME})"
    return _TYPES[column.type]


def column_definitions(table: Table) -> list[tuple[str, str]]:
    """Return (name, ClickHouse type) of every column, in order; names are to be quoted by the caller."""
    return [(column.name, column_type(column)) for column in table.columns]
