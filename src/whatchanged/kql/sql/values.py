"""Values as ClickHouse takes them: types, and bound parameters."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from whatchanged.kql.plan import Constant
from whatchanged.kql.types import Type

__all__ = ["EPOCH_TICKS", "Parameters", "sql_type", "time_text"]

EPOCH_TICKS = 621_355_968_000_000_000
"""1970-01-01 in ticks since 0001-01-01."""
TICKS_A_SECOND = 10_000_000

_TYPES = {
    Type.BOOL: "Bool",
    Type.INT: "Int32",
    Type.LONG: "Int64",
    Type.REAL: "Float64",
    Type.DECIMAL: "Decimal(76, 28)",
    Type.STRING: "String",
    Type.DATETIME: "DateTime64(7, 'UTC')",
    Type.TIMESPAN: "Int64",
    Type.GUID: "UUID",
    Type.DYNAMIC: "String",
}


def sql_type(type_: Type, *, nullable: bool = True) -> str:
    """Return the ClickHouse type of a column. A string is never null; a dynamic is its JSON text."""
    name = _TYPES[type_]
    return f"Nullable({name})" if nullable and type_ is not Type.STRING else name


def time_text(ticks: int) -> str:
    """Return a datetime (ticks since 0001-01-01) as ClickHouse reads it."""
    seconds, fraction = divmod(ticks, TICKS_A_SECOND)
    moment = datetime.datetime(1, 1, 1) + datetime.timedelta(seconds=seconds)  # noqa: DTZ001 - all times are UTC
    return f"{moment.isoformat(' ')}.{fraction:07}"


class Parameters:
    """The bound values of a statement. A value that comes twice is bound once."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._names: dict[tuple[Type, object], str] = {}

    def bind(self, constant: Constant) -> str:
        """Return the text that stands for a constant."""
        if constant.value is None:
            return "''" if constant.type is Type.STRING else f"CAST(NULL AS {sql_type(constant.type)})"
        if constant.type is Type.BOOL:
            return "true" if constant.value else "false"
        key = (constant.type, repr(constant.value))
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"p{len(self.values)}"
            self.values[name] = _plain(constant)
        return f"{{{name}:{sql_type(constant.type, nullable=False)}}}"

    def bind_rows(self, types: Sequence[Type], rows: Sequence[Sequence[Constant]]) -> str:
        """Return the text that stands for an array of tuples."""
        name = f"p{len(self.values)}"
        self.values[name] = [tuple(_in_row(value) for value in row) for row in rows]
        return f"{{{name}:Array(Tuple({', '.join(sql_type(type_) for type_ in types)}))}}"


def _in_row(constant: Constant) -> Any:
    # Within an array the engine reads a decimal only without quotes.
    return Decimal(str(constant.value)) if constant.type is Type.DECIMAL and constant.value else _plain(constant)


def _plain(constant: Constant) -> Any:
    value = constant.value
    if value is None:
        return "" if constant.type is Type.STRING else None
    if constant.type is Type.DATETIME:
        assert isinstance(value, int)
        return time_text(value)
    if constant.type in (Type.DECIMAL, Type.GUID):
        return str(value)
    return value
