"""The tables as the KQL compiler wants them: names and KQL types."""

from __future__ import annotations

from collections.abc import Iterable

from whatchanged.records.columns import Table
from whatchanged.records.tables import TABLES

__all__ = ["kql_schema", "table_schema"]


def table_schema(table: Table) -> dict[str, str]:
    """Return column name → KQL type, in order."""
    return {column.name: column.type.value for column in table.columns}


def kql_schema(tables: Iterable[Table] = TABLES) -> dict[str, dict[str, str]]:
    """Return table name → column name → KQL type."""
    return {table.name: table_schema(table) for table in tables}
