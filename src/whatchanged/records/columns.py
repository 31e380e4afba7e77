"""What a column and a table are: the one specification from which everything else derives.

DDL, KQL schema, JSON schema and the reference page are made from these values
(`ddl`, `kql_schema`, `json_schema`, `reference`); nothing repeats them by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Column", "ColumnType", "Origin", "Table"]


class ColumnType(StrEnum):
    """KQL scalar types used by the tables (public Azure Monitor Logs reference)."""

    STRING = "string"
    DATETIME = "datetime"
    LONG = "long"
    INT = "int"
    REAL = "real"
    BOOL = "bool"
    DYNAMIC = "dynamic"
    GUID = "guid"
    TIMESPAN = "timespan"


class Origin(StrEnum):
    """Where a column comes from."""

    UPSTREAM = "upstream"
    """Part of the public Azure Monitor Logs table."""
    OWN = "own"
    """Ours, shown to every reader beside the upstream ones."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `kinds` says for which kinds of item it is filled ("all" or names)."""

    name: str
    type: ColumnType
    meaning: str
    kinds: str = "all"
    origin: Origin = Origin.UPSTREAM
    server_set: bool = False
    """The server writes it; what a sender says there is ignored."""
    low_cardinality: bool = False
    """Few distinct values: worth a dictionary in the column store."""


@dataclass(frozen=True, slots=True)
class Table:
    """One log table: its name, what a row says, its columns in order and the streams that feed it."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    streams: tuple[str, ...]

    def __getitem__(self, name: str) -> Column:
        """Return the column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)
