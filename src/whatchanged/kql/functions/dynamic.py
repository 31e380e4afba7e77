"""Dynamic values: JSON text, and what is done with its parts."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.casts import fits, text_of, to_dynamic
from whatchanged.kql.functions.signature import Entry, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions

__all__ = ["FUNCTIONS", "TEXTS", "array_of", "constants_of", "element", "json_text", "member"]

_PART = "nullIf(nullIf(JSONExtractRaw({}), ''), 'null')"
ARRAY = "JSONExtractArrayRaw(ifNull({0}, '[]'))"
"""SQL array of the elements (JSON texts) of an array."""

TEXTS = (
    "arrayMap(e -> multiIf(startsWith(e, '\"'), JSONExtractString(e), e = 'null', '', e), "
    "JSONExtractArrayRaw(ifNull({0}, '[]')))"
)
"""SQL array of the texts of the elements of a dynamic array."""


def array_of(sql: str) -> str:
    """Return the SQL that makes a dynamic of an SQL array of JSON texts."""
    return f"concat('[', arrayStringConcat({sql}, ','), ']')"


def json_text(value: object) -> str:
    """Return a value of a literal as JSON text, as the service prints it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)


def constants_of(value: Constant) -> list[Scalar]:
    """Return the elements of a constant array as constants; of anything else itself."""
    if value.type is not Type.DYNAMIC:
        return [value]
    parsed = json.loads(str(value.value)) if value.value is not None else None
    return [_constant(part) for part in (parsed if isinstance(parsed, list) else [parsed])]


def _constant(part: object) -> Constant:
    match part:
        case bool():
            return Constant(part, Type.BOOL)
        case int():
            return Constant(part, Type.LONG)
        case float():
            return Constant(part, Type.REAL)
        case str():
            return Constant(part, Type.STRING)
        case None:
            return Constant(None, Type.DYNAMIC)
        case _:
            return Constant(json_text(part), Type.DYNAMIC)


def member(target: Scalar, key: Scalar) -> Scalar:
    """Return the part of a bag by its key; null where there is none."""
    return Apply(_PART.format("{0}, {1}"), (target, key), Type.DYNAMIC, nullable=True)


def element(target: Scalar, index: Scalar) -> Scalar:
    """Return the element of an array at a place from 0, or from the end for a negative one."""
    return Apply(_PART.format("{0}, if({1} < 0, {1}, {1} + 1)"), (target, index), Type.DYNAMIC, nullable=True)


@special("pack", "bag_pack")
def _bag_pack(binder: Expressions, call: tree.Call) -> Scalar:
    if len(call.arguments) % 2 or not call.arguments:
        raise KqlSemanticError(f"{call.name}() takes pairs of key and value", call.span)
    values = [binder.bind(argument) for argument in call.arguments]
    for key, argument in zip(values[::2], call.arguments[::2], strict=True):
        if fits(key, Type.STRING) is None:
            raise KqlSemanticError(f"a key is a text, not a {key.type.value}", argument.span)
    parts = [f"toJSONString({{{n}}}), ':', ifNull({{{n + 1}}}, 'null')" for n in range(0, len(values), 2)]
    arguments = tuple(text_of(value) if n % 2 == 0 else to_dynamic(value) for n, value in enumerate(values))
    inner = ", ',', ".join(parts)
    return Apply(f"concat('{{{{', {inner}, '}}}}')", arguments, Type.DYNAMIC, nullable=False)


@special("pack_array")
def _pack_array(binder: Expressions, call: tree.Call) -> Scalar:
    if not call.arguments:
        raise KqlSemanticError("pack_array() takes one value or more", call.span)
    values: list[Scalar] = []
    for argument in call.arguments:
        alone = isinstance(argument, tree.Star) and len(call.arguments) == 1
        given = binder.columns.values() if alone else [binder.bind(argument)]
        values += map(to_dynamic, given)
    parts = ", ',', ".join(f"ifNull({{{number}}}, 'null')" for number in range(len(values)))
    return Apply(f"concat('[', {parts}, ']')", tuple(values), Type.DYNAMIC, nullable=False)


FUNCTIONS: tuple[Entry, ...] = (
    _bag_pack,
    _pack_array,
)
