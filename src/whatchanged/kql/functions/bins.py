"""`bin`, `floor`, `bin_at`, `bin_auto`: down to a multiple; of datetimes, counted from 0001-01-01."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.casts import convert
from whatchanged.kql.functions.dates import counted
from whatchanged.kql.functions.moments import FIRST, kept, moment, ticks
from whatchanged.kql.functions.signature import Entry, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type, wider

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "binned"]


def binned(value: Scalar, size: Scalar, origin: Scalar | None = None) -> Scalar | None:
    """Return the multiple of a size at or below a value, counted from an origin; None: not for these types.

    Null where a value is, or the size is not above zero.
    """
    if value.type is Type.DATETIME:
        return _of_datetime(value, size, origin)
    if value.type is Type.TIMESPAN:
        fits = size.type is Type.TIMESPAN and (origin is None or origin.type is Type.TIMESPAN)
        return _of_whole(value, size, origin, Type.TIMESPAN) if fits else None
    type_ = wider(value.type, size.type)
    if type_ is not None and origin is not None:
        type_ = wider(type_, origin.type)
    if type_ is None:
        return None
    if type_ is Type.INT:
        type_ = Type.LONG
    value, size = convert(value, type_), convert(size, type_)
    origin = None if origin is None else convert(origin, type_)
    return _of_whole(value, size, origin, type_) if type_ is Type.LONG else _of_broken(value, size, origin, type_)


def _positive(size: Scalar) -> bool:
    return isinstance(size, Constant) and isinstance(size.value, int | float) and size.value > 0


def _result(body: str, value: Scalar, size: Scalar, origin: Scalar | None, type_: Type) -> Scalar:
    nullable = value.nullable or size.nullable or (origin is not None and origin.nullable) or not _positive(size)
    template = body if _positive(size) else f"if({{1}} > 0, {body}, NULL)"
    return Apply(template, (value, size, *((origin,) if origin is not None else ())), type_, nullable)


def _modulo(left: str, size: Scalar) -> str:
    return f"positiveModulo({left}, {{1}})" if _positive(size) else f"positiveModuloOrNull({left}, {{1}})"


def _of_whole(value: Scalar, size: Scalar, origin: Scalar | None, type_: Type) -> Scalar:
    left = "{0}" if origin is None else "{0} - {2}"
    return _result(f"toInt64({{0}} - {_modulo(left, size)})", value, size, origin, type_)


def _of_broken(value: Scalar, size: Scalar, origin: Scalar | None, type_: Type) -> Scalar:
    body = "floor({0} / {1}) * {1}" if origin is None else "floor(({0} - {2}) / {1}) * {1} + {2}"
    body = f"toDecimal256({body}, 28)" if type_ is Type.DECIMAL else f"({body})"
    return _result(body, value, size, origin, type_)


def _of_datetime(value: Scalar, size: Scalar, origin: Scalar | None) -> Scalar | None:
    if size.type is not Type.TIMESPAN or (origin is not None and origin.type is not Type.DATETIME):
        return None
    start = str(FIRST) if origin is None else ticks("{2}")
    value_ticks = ticks("{0}")
    body = f"{value_ticks} - {_modulo(f'{value_ticks} - ({start})', size)}"
    if origin is None:
        if _positive(size):  # no datetime is before the first: the plain remainder, which is cheaper, will do
            body = f"{value_ticks} - ({value_ticks} - ({start})) % {{1}}"
        return _result(moment(body), value, size, None, Type.DATETIME)
    found = _result(kept(f"({body})"), value, size, origin, Type.DATETIME)
    assert isinstance(found, Apply)
    return Apply(found.template, found.arguments, Type.DATETIME, nullable=True)


def _checked(call: tree.Call, result: Scalar | None, *values: Scalar) -> Scalar:
    if result is None:
        given = ", ".join(value.type.value for value in values)
        raise KqlSemanticError(f"{call.name}() does not take arguments of type {given}", call.span)
    return result


@special("bin", "floor", naming="first")
def _bin(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    value, size = (binder.bind(argument) for argument in call.arguments)
    return _checked(call, binned(value, size), value, size)


@special("bin_at", naming="first")
def _bin_at(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 3)
    value, size, origin = (binder.bind(argument) for argument in call.arguments)
    return _checked(call, binned(value, size, origin), value, size, origin)


@special("bin_auto", naming="first")
def _bin_auto(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 1)
    value = binder.bind(call.arguments[0])
    size = binder.queries.settings.get("query_bin_auto_size")
    origin = binder.queries.settings.get("query_bin_auto_at")
    if size is None:
        raise KqlSemanticError("bin_auto() takes its size from: set query_bin_auto_size=…", call.span)
    return _checked(call, binned(value, size, origin), value, size)


FUNCTIONS: tuple[Entry, ...] = (_bin, _bin_at, _bin_auto)
