"""The scalar types of the language, and what a table is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

__all__ = ["NUMERIC", "TYPE_NAMES", "Field", "Schema", "Table", "Type", "wider"]


class Type(Enum):
    """A scalar type. The value is its name in results."""

    BOOL = "bool"
    INT = "int"
    LONG = "long"
    REAL = "real"
    DECIMAL = "decimal"
    STRING = "string"
    DATETIME = "datetime"
    TIMESPAN = "timespan"
    GUID = "guid"
    DYNAMIC = "dynamic"


NUMERIC = (Type.INT, Type.LONG, Type.REAL, Type.DECIMAL)
"""In the order in which they give way to each other."""

TYPE_NAMES: Mapping[str, Type] = {
    **{type_.value: type_ for type_ in Type},
    "boolean": Type.BOOL,
    "double": Type.REAL,
    "float": Type.REAL,
    "date": Type.DATETIME,
    "time": Type.TIMESPAN,
    "uuid": Type.GUID,
    "uniqueid": Type.GUID,
    "int32": Type.INT,
    "int64": Type.LONG,
}
"""All names by which types are written, in lower case."""


def wider(left: Type, right: Type) -> Type | None:
    """Return the numeric type that two numeric types become together; None if one is none."""
    if left in NUMERIC and right in NUMERIC:
        return NUMERIC[max(NUMERIC.index(left), NUMERIC.index(right))]
    return None


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table as stored."""

    name: str
    type: Type
    nullable: bool = True
    """Whether a stored value can be missing (a string never is: it is empty)."""
    sql: str = ""
    """How it is read, where that is more than its name."""
    doc: str = ""
    """What it says, for people."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that queries may name."""

    name: str
    fields: tuple[Field, ...]
    source: str
    """What stands behind FROM: text of ours, never of a query's."""
    as_of: str = ""
    """The same as it was at a moment: `{at}` stands for its text; and for each of `parts`, a text field, its name in
    braces for the one value that is wanted of it, empty: all."""
    parts: tuple[str, ...] = ()
    latest: str = ""
    """The text of a moment after all others."""
    doc: str = ""
    """What a row says, for people."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Everything that queries may name."""

    tables: Mapping[str, Table]
    functions: str = ""
    """Functions that every query may call, as `let` statements of the language itself."""
