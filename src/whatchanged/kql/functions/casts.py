"""From one type to another."""

from __future__ import annotations

from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.sql.values import sql_type
from whatchanged.kql.types import NUMERIC, Type

__all__ = ["convert", "converts", "fits", "text_of", "to_dynamic"]

_DATETIME_TEXT = "concat(replaceOne(toString({0}), ' ', 'T'), 'Z')"
_TIMESPAN_TEXT = (
    "concat(if({0} < 0, '-', ''), if(intDiv(abs({0}), 864000000000) > 0, "
    "concat(toString(intDiv(abs({0}), 864000000000)), '.'), ''), "
    "leftPad(toString(intDiv(abs({0}), 36000000000) % 24), 2, '0'), ':', "
    "leftPad(toString(intDiv(abs({0}), 600000000) % 60), 2, '0'), ':', "
    "leftPad(toString(intDiv(abs({0}), 10000000) % 60), 2, '0'), "
    "if(abs({0}) % 10000000 = 0, '', concat('.', leftPad(toString(abs({0}) % 10000000), 7, '0'))))"
)
# As .NET prints a double: the shortest text that reads back, with an exponent from 1E+15 on and below 0.0001.
_DIGITS = "trimRight(trimLeft(replaceOne(splitByChar('e', t)[1], '.', ''), '0'), '0')"
_EXPONENT = (
    "multiIf(position(t, 'e') > 0, toInt64OrZero(splitByChar('e', t)[2]), startsWith(t, '0.'), "
    "-toInt64(length(extract(t, '^0[.]0*')) - 1), toInt64(length(splitByChar('.', t)[1])) - 1)"
)
_SCIENTIFIC = (
    f"arrayMap(t -> concat(if({{0}} < 0, '-', ''), substring({_DIGITS}, 1, 1), "
    f"if(length({_DIGITS}) > 1, concat('.', substring({_DIGITS}, 2)), ''), 'E', if({_EXPONENT} < 0, '-', '+'), "
    f"leftPad(toString(abs({_EXPONENT})), greatest(2, length(toString(abs({_EXPONENT})))), '0')), "
    "[toString(abs({0}))])[1]"
)
_REAL_TEXT = (
    "multiIf(isNaN({0}), 'NaN', isInfinite({0}), if({0} > 0, 'Infinity', '-Infinity'), "
    f"abs({{0}}) >= 1e15 OR ({{0}} != 0 AND abs({{0}}) < 1e-4), {_SCIENTIFIC}, "
    "{0} = trunc({0}), concat(toString(toInt64({0})), '.0'), toString({0}))"
)
_DYNAMIC_TEXT = "if(startsWith({0}, '\"'), JSONExtractString({0}), {0})"
_TO_TEXT = {
    Type.BOOL: "if({0}, 'True', 'False')",
    Type.INT: "toString({0})",
    Type.LONG: "toString({0})",
    Type.REAL: _REAL_TEXT,
    Type.DECIMAL: "toString({0})",
    Type.DATETIME: _DATETIME_TEXT,
    Type.TIMESPAN: _TIMESPAN_TEXT,
    Type.GUID: "toString({0})",
    Type.DYNAMIC: _DYNAMIC_TEXT,
}
_WIDEN = {
    Type.LONG: "toInt64({0})",
    Type.REAL: "toFloat64({0})",
    Type.DECIMAL: "toDecimal256({0}, 28)",
}
_OUT_OF_DYNAMIC = {
    Type.BOOL: "accurateCastOrNull(lower({0}), 'Bool')",
    Type.INT: "accurateCastOrNull(JSONExtract(ifNull({0}, 'null'), 'Nullable(Float64)'), 'Int32')",
    Type.LONG: "coalesce(JSONExtract(ifNull({0}, 'null'), 'Nullable(Int64)'), "
    "accurateCastOrNull(trunc(JSONExtract(ifNull({0}, 'null'), 'Nullable(Float64)')), 'Int64'))",
    Type.REAL: "JSONExtract(ifNull({0}, 'null'), 'Nullable(Float64)')",
    Type.DECIMAL: "toDecimal256OrNull({0}, 28)",
}


def text_of(value: Scalar) -> Scalar:
    """Return a value as text, as `tostring` does: never null."""
    if value.type is Type.STRING:
        return value
    template = _TO_TEXT[value.type]
    if value.nullable:
        template = f"ifNull({template}, '')"
    return Apply(template, (value,), Type.STRING, nullable=False)


def to_dynamic(value: Scalar) -> Scalar:
    """Return a value as a dynamic: as JSON text. Null stays null."""
    match value.type:
        case Type.DYNAMIC:
            return value
        case Type.BOOL:
            template = "if({0}, 'true', 'false')"
        case Type.INT | Type.LONG | Type.DECIMAL:
            template = "toString({0})"
        case Type.REAL:
            template = f"if(isFinite({{0}}), {_REAL_TEXT}, concat('\"', {_REAL_TEXT}, '\"'))"
        case Type.STRING:
            template = "toJSONString({0})"
        case _:
            return (
                Apply("toJSONString({0})", (text_of(value),), Type.DYNAMIC, nullable=False)
                if (not value.nullable)
                else Apply(
                    f"if(isNull({{0}}), NULL, toJSONString({_TO_TEXT[value.type]}))", (value,), Type.DYNAMIC, True
                )
            )
    return Apply(template, (value,), Type.DYNAMIC, value.nullable)


def converts(given: Type, wanted: Type) -> int | None:
    """Return what it costs to use one type where another is wanted without being told to; None: it cannot be."""
    if given is wanted:
        return 0
    if given in NUMERIC and wanted in NUMERIC and NUMERIC.index(given) < NUMERIC.index(wanted):
        return NUMERIC.index(wanted) - NUMERIC.index(given)
    return 10 if given is Type.DYNAMIC and wanted is Type.STRING else None


def fits(value: Scalar, wanted: Type) -> int | None:
    """Return the same of a value: a constant array or bag is no text."""
    if wanted is Type.STRING and isinstance(value, Constant) and value.type is Type.DYNAMIC:
        return None if str(value.value)[:1] in ("[", "{") else converts(value.type, wanted)
    return converts(value.type, wanted)


def convert(value: Scalar, wanted: Type) -> Scalar:
    """Return a value as another type, where `converts` says that it can be."""
    if value.type is wanted:
        return value
    if isinstance(value, Constant) and value.value is None:
        return Constant(None, wanted)
    if isinstance(value, Constant) and isinstance(value.value, int) and value.type in NUMERIC:
        if wanted is Type.LONG:
            return Constant(value.value, wanted)
        if wanted is Type.REAL:
            return Constant(float(value.value), wanted)
    if wanted is Type.DYNAMIC:
        return to_dynamic(value)
    if wanted is Type.STRING:
        return text_of(value)
    if value.type is Type.DYNAMIC:
        if (template := _OUT_OF_DYNAMIC.get(wanted)) is not None:
            return Apply(template, (value,), wanted, nullable=True)
        return _parsed(text_of(value), wanted)
    if wanted in _WIDEN and value.type in NUMERIC:
        return Apply(_WIDEN[wanted], (value,), wanted, value.nullable)
    raise ValueError(f"{value.type.value} is not converted to {wanted.value}")


def _parsed(text: Scalar, wanted: Type) -> Scalar:
    from whatchanged.kql.functions.conversion import parse_text

    return parse_text(text, wanted)


def null(type_: Type) -> str:
    """Return the SQL of the null of a type."""
    return "''" if type_ is Type.STRING else f"CAST(NULL AS {sql_type(type_)})"
