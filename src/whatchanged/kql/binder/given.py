"""Values of query parameters: what a text says as a value of a type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from whatchanged.kql.functions.dynamic import json_text
from whatchanged.kql.plan import Constant
from whatchanged.kql.syntax.moments import datetime_ticks, span_ticks
from whatchanged.kql.types import Type

__all__ = ["SAMPLES", "given_value"]

_BOOLS = {"true": True, "1": True, "false": False, "0": False}


def given_value(text: str, type_: Type) -> Constant:
    """Return the value that a text gives to a parameter of a type. Raises ValueError if it says none."""
    try:
        return Constant(_READ[type_](text), type_)
    except (ValueError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"a {type_.value} is expected, and {text[:100]!r} is none") from error


def _matching(pattern: str, read: Callable[[str], object]) -> Callable[[str], object]:
    compiled = re.compile(pattern, re.ASCII | re.IGNORECASE)

    def matched(text: str) -> object:
        if not compiled.fullmatch(text.strip()):
            raise ValueError(text)
        return read(text.strip())

    return matched


def _whole(bits: int) -> Callable[[str], object]:
    def read(text: str) -> int:
        value = int(text)
        if not -(1 << bits) <= value < 1 << bits:
            raise ValueError(text)
        return value

    return _matching("[+-]?[0-9]{1,30}", read)


_READ: Mapping[Type, Callable[[str], object]] = {
    Type.BOOL: lambda text: _BOOLS[text.strip().lower()],
    Type.INT: _whole(31),
    Type.LONG: _whole(63),
    Type.REAL: _matching(r"[+-]?[0-9]{1,300}(\.[0-9]{0,300})?(e[+-]?[0-9]{1,3})?", float),
    Type.DECIMAL: _matching(r"[+-]?[0-9]{1,34}(\.[0-9]{0,28})?", Decimal),
    Type.STRING: str,
    Type.DATETIME: datetime_ticks,
    Type.TIMESPAN: span_ticks,
    Type.GUID: _matching("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str.lower),
    Type.DYNAMIC: lambda text: json_text(json.loads(text)),
}

SAMPLES: Mapping[Type, str] = {
    Type.BOOL: "true",
    Type.INT: "1",
    Type.LONG: "1",
    Type.REAL: "1",
    Type.DECIMAL: "1",
    Type.STRING: "x",
    Type.DATETIME: "2020-01-01",
    Type.TIMESPAN: "1h",
    Type.GUID: "00000000-0000-0000-0000-000000000000",
    Type.DYNAMIC: "[]",
}
"""A value of each type, to try a query with that wants one."""
