"""Conversions that are asked for: `tostring`, `toint` and their like. What cannot be converted becomes null."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import convert, text_of
from whatchanged.kql.functions.moments import FIRST, LAST, moment, ticks
from whatchanged.kql.functions.readings import DATETIME, GUID, TIMESPAN
from whatchanged.kql.functions.signature import Entry, Special, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.syntax.moments import datetime_ticks, span_ticks
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "explicit", "parse_text"]

_PARSE = {
    Type.BOOL: "multiIf(lower({0}) IN ('true', '1'), true, lower({0}) IN ('false', '0'), false, NULL)",
    Type.INT: "accurateCastOrNull(toInt64OrNull(trimBoth({0})), 'Int32')",
    Type.LONG: "toInt64OrNull(trimBoth({0}))",
    Type.REAL: "toFloat64OrNull(trimBoth({0}))",
    Type.DECIMAL: "toDecimal256OrNull(trimBoth({0}), 28)",
    Type.DATETIME: DATETIME,
    Type.GUID: GUID,
    Type.TIMESPAN: TIMESPAN,
}
_BETWEEN_NUMBERS = {
    Type.INT: "accurateCastOrNull(trunc({0}), 'Int32')",
    Type.LONG: "accurateCastOrNull(trunc({0}), 'Int64')",
    Type.REAL: "toFloat64({0})",
    Type.DECIMAL: "toDecimal256({0}, 28)",
    Type.BOOL: "({0} != 0)",
}


_TICKS = {
    (Type.LONG, Type.DATETIME): f"if({{0}} BETWEEN 0 AND {LAST - FIRST}, {moment(f'{{0}} + {FIRST}')}, NULL)",
    (Type.LONG, Type.TIMESPAN): "{0}",
    (Type.DATETIME, Type.LONG): f"({ticks('{0}')} - ({FIRST}))",
    (Type.TIMESPAN, Type.LONG): "{0}",
}
"""A datetime is the number of its ticks since 0001-01-01, a timespan that of its ticks."""


def parse_text(text: Scalar, wanted: Type) -> Scalar:
    """Return what a text says as a value of another type; null if it does not say one."""
    if isinstance(text, Constant) and wanted in _READ:
        try:
            return Constant(_READ[wanted](str(text.value)), wanted)
        except ValueError:
            return Constant(None, wanted)
    return Apply(_PARSE[wanted], (text,), wanted, nullable=True)


_READ: dict[Type, Callable[[str], int]] = {Type.DATETIME: datetime_ticks, Type.TIMESPAN: span_ticks}


def explicit(value: Scalar, wanted: Type) -> Scalar | None:
    """Return a value as another type because it was asked for; None: there is no way."""
    if value.type is wanted:
        return value
    if wanted in (Type.STRING, Type.DYNAMIC):
        return convert(value, wanted)
    if value.type is Type.STRING:
        return parse_text(value, wanted)
    if value.type is Type.DYNAMIC:
        read = parse_text(text_of(value), wanted)
        if wanted in NUMERIC:  # a number may be written as another type of number
            return Apply("coalesce({0}, {1})", (convert(value, wanted), read), wanted, nullable=True)
        return read
    if (template := _TICKS.get((Type.LONG if value.type is Type.INT else value.type, wanted))) is not None:
        return Apply(template, (convert(value, Type.LONG) if value.type is Type.INT else value,), wanted, nullable=True)
    if value.type in (*NUMERIC, Type.BOOL) and wanted in _BETWEEN_NUMBERS:
        return Apply(_BETWEEN_NUMBERS[wanted], (value,), wanted, nullable=True)
    return None


def _conversion(wanted: Type) -> Callable[[Expressions, tree.Call], Scalar]:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        if len(call.arguments) != 1:
            raise KqlSemanticError(f"{call.name}() takes one argument", call.span)
        value = binder.bind(call.arguments[0])
        result = explicit(value, wanted)
        if result is None:
            raise KqlUnsupported(f"{call.name}() of a {value.type.value} is not answered", call.arguments[0].span)
        return result

    return bind


# What is no JSON is a text; what is becomes compact: space outside its texts goes.
_COMPACT = r"replaceRegexpAll({0}, '(\"(?:[^\"\\\\]|\\\\.)*\")|\\s+', '\\1')"
_JSON = f"multiIf(trimBoth({{0}}) IN ('', 'null'), NULL, isValidJSON({{0}}), {_COMPACT}, toJSONString({{0}}))"
_NAMES = {
    "tostring": Type.STRING,
    "tobool": Type.BOOL,
    "toboolean": Type.BOOL,
    "toint": Type.INT,
    "tolong": Type.LONG,
    "toreal": Type.REAL,
    "todouble": Type.REAL,
    "todecimal": Type.DECIMAL,
    "todatetime": Type.DATETIME,
    "totimespan": Type.TIMESPAN,
    "totime": Type.TIMESPAN,
    "toguid": Type.GUID,
}
_KIND = (
    "multiIf({0} IS NULL, 'null', transform(toString(JSONType(ifNull({0}, 'null'))), "
    "['Null', 'String', 'Bool', 'Double', 'Array', 'Object'], "
    "['null', 'string', 'bool', 'real', 'array', 'dictionary'], "
    "if(JSONExtract(ifNull({0}, 'null'), 'Nullable(Int64)') BETWEEN -2147483648 AND 2147483647, 'int', 'long')))"
)
"""What a dynamic value holds, as the manual's page gettype-function names it."""


@special("gettype", naming="type_")
def _gettype(binder: Expressions, call: tree.Call) -> Scalar:
    if len(call.arguments) != 1:
        raise KqlSemanticError(f"{call.name}() takes one argument", call.span)
    value = binder.bind(call.arguments[0])
    if value.type is not Type.DYNAMIC:
        return Constant(value.type.value, Type.STRING)
    return Apply(_KIND, (value,), Type.STRING, nullable=False)


def _hexadecimal(unsigned: str) -> Callable[[int], str]:
    """Return the digits of the two's complement, at least so many."""
    digits = f"if({{0}} = 0, '0', trimLeft(lower(hex(reinterpret({{0}}, '{unsigned}'))), '0'))"
    return lambda count: (
        digits if count == 1 else f"arrayMap(h -> leftPad(h, greatest({{1}}, toInt64(length(h))), '0'), [{digits}])[1]"
    )


FUNCTIONS: tuple[Entry, ...] = (
    _gettype,
    scalar("tohex(int, long?) string", _hexadecimal("UInt32"), naming="first"),
    scalar("tohex(long, long?) string", _hexadecimal("UInt64"), naming="first"),
    *(Special(name, _conversion(type_), "first") for name, type_ in _NAMES.items()),
    *(
        scalar(f"{name}(string|dynamic) dynamic", _JSON, null=True, naming="first")
        for name in ("parse_json", "parsejson", "todynamic", "toobject")
    ),
)
