"""Values of literals: text of a token into ticks, numbers, strings. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Final
from typing import Literal as Choice
from uuid import UUID

from whatchanged.kql.syntax.moments import datetime_text, datetime_ticks, span_text, span_ticks
from whatchanged.kql.syntax.tree import Literal, Value

__all__ = ["LiteralType", "json_value", "long_value", "string_value", "typed_value"]

LiteralType = Choice["bool", "int", "long", "real", "decimal", "string", "datetime", "timespan", "guid", "dynamic"]

_ESCAPE = re.compile(r"""\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|([0-3][0-7]{2}|[0-7]{1,2})|(.))""")
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9A-Fa-f]+|[0-9]+)")
_DIGITS: Final = 100
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")


def string_value(text: str) -> str:
    """Return what a string literal of any form holds.

    Raises: ValueError for an escape beyond Unicode.
    """
    body = text[1:] if text[0] in "hH" else text
    if body[0] == "@":
        quote = body[1]
        return body[2:-1].replace(quote * 2, quote)
    if body[0] in "`~":
        return body[3:-3]
    body = body[1:-1]
    return body if "\\" not in body else _unescape(body)


def _unescape(body: str) -> str:
    """Return a body with its escapes replaced; two halves of a surrogate pair become the character they stand for."""
    decoded = _ESCAPE.sub(_escaped, body)
    if not any("\ud800" <= character <= "\udfff" for character in decoded):
        return decoded
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped(match: re.Match[str]) -> str:
    four, eight, two, octal, simple = match.groups()
    if octal:
        return chr(int(octal, 8))
    if simple:
        return _SIMPLE.get(simple, simple)
    code = int(four or eight or two, 16)
    if code > 0x10FFFF:
        raise ValueError("no such character")
    return chr(code)


def long_value(text: str) -> int:
    """Return an integer, decimal or 0x…; one beyond all types for what has too many digits to be worth reading."""
    if len(text) > _DIGITS:
        return 1 << 4 * _DIGITS
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def typed_value(text: str) -> tuple[LiteralType, Value]:
    """Return type and value of `type(content)`; None for `null`.

    Raises: ValueError for content that the type does not have, saying what it has.
    """
    name, _, content = text[:-1].partition("(")
    kind, read = _TYPED[name]
    content = content.strip()
    return kind, None if content in ("null", "") else read(content)


def _integer(bits: int) -> Callable[[str], int]:
    def read(content: str) -> int:
        if not _INTEGER.fullmatch(content):
            raise ValueError("a whole number")
        sign = -1 if content[0] == "-" else 1
        value = sign * long_value(content.lstrip("+-"))
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise ValueError(f"a number of {bits} bits")
        return value

    return read


def _real(content: str) -> float:
    if content.lower() in ("nan", "inf", "+inf", "-inf"):
        return float(content)
    if not _NUMBER.fullmatch(content):
        raise ValueError("a number, nan, +inf or -inf")
    return float(content)


def _decimal(content: str) -> Decimal:
    if not _NUMBER.fullmatch(content):
        raise ValueError("a number")
    with localcontext() as context:
        context.prec = 34
        return +Decimal(content)


def _bool(content: str) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(content.lower())
    if value is None:
        raise ValueError("true or false")
    return value


def _guid(content: str) -> UUID:
    try:
        return UUID(content)
    except ValueError as error:
        raise ValueError("a guid such as 74be27de-1e4e-49d9-b579-fe0b331d3642") from error


_TYPED: Final[dict[str, tuple[LiteralType, Callable[[str], Value]]]] = {
    "datetime": ("datetime", datetime_ticks), "date": ("datetime", datetime_ticks),
    "timespan": ("timespan", span_ticks), "time": ("timespan", span_ticks),
    "guid": ("guid", _guid), "int": ("int", _integer(32)), "long": ("long", _integer(64)),
    "real": ("real", _real), "double": ("real", _real), "decimal": ("decimal", _decimal),
    "bool": ("bool", _bool), "boolean": ("bool", _bool),
}  # fmt: skip


def json_value(literal: Literal) -> Value:
    """Return a literal as it is held inside a dynamic, which has JSON's types only: moments and guids become text."""
    value = literal.value
    if value is None or literal.type in ("bool", "int", "long", "string", "dynamic"):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if literal.type == "datetime" and isinstance(value, int):
        return datetime_text(value)
    if literal.type == "timespan" and isinstance(value, int):
        return span_text(value)
    return str(value)
