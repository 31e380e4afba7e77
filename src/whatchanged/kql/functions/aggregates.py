"""Aggregates: from the rows of a group to one value.

Each is written once: with `If` where `§` stands and the condition where `¶` stands, it is the one that takes a
condition too. Nulls are left out. Of no rows: sums and deviations are 0, means NaN, the rest null (the manual's page of
summarize).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.signature import Bound, Entry, Special, special
from whatchanged.kql.plan import Apply, Scalar
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "condition", "refuse_types", "with_condition"]

_TICKS = "reinterpret({0}, 'Int64')"
_MOMENT = "reinterpret(toInt64({}), 'DateTime64(7, \\'UTC\\')')"
_FIRST_TICKS = 621_355_968_000_000_000
_WHOLE = (Type.INT, Type.LONG)

Variants = dict[tuple[Type, ...], tuple[str, Type | None, bool]]
"""Types of the first argument → SQL, type of the result (None: as the argument), whether it may be null."""

_MEAN_TICKS = "intDivOrNull(sum§(toInt128({0})¶), count§({0}¶))"
_MEAN_MOMENT = f"intDivOrNull(sum§(toInt128({_TICKS}) + {_FIRST_TICKS}¶), count§({{0}}¶)) - {_FIRST_TICKS}"


def _spread(function: str, least: int) -> Variants:
    """Return a measure of spread, which is 0 of fewer than `least` values."""
    sql = f"if(count§({{0}}¶) < {least}, 0., ifNull({function}§(toFloat64({{0}})¶), 0.))"
    return {NUMERIC: (sql, Type.REAL, False)}


_ORDERABLE = (*NUMERIC, Type.DATETIME, Type.TIMESPAN, Type.BOOL)
_COUNT: Variants = {tuple(t for t in Type if t is not Type.DYNAMIC): ("toInt64(uniqExact§({0}¶))", Type.LONG, False)}
_DCOUNT: Variants = {tuple(Type): ("toInt64(uniqExact§({0}¶))", Type.LONG, False)}
_SUM: Variants = {
    _WHOLE: ("toInt64(ifNull(sum§({0}¶), 0))", Type.LONG, False),
    (Type.REAL,): ("ifNull(sum§({0}¶), 0.)", Type.REAL, False),
    (Type.DECIMAL,): ("ifNull(sum§({0}¶), toDecimal256(0, 28))", Type.DECIMAL, False),
    (Type.TIMESPAN,): ("toInt64(ifNull(sum§({0}¶), 0))", Type.TIMESPAN, False),
}
_MEAN: Variants = {
    (*_WHOLE, Type.REAL): ("ifNull(avg§(toFloat64({0})¶), nan)", Type.REAL, False),
    (Type.DECIMAL,): (
        "if(count§({0}¶) = 0, NULL, CAST(sum§({0}¶) / count§({0}¶) AS Nullable(Decimal(76, 28))))",
        Type.DECIMAL,
        True,
    ),
    (Type.TIMESPAN,): (f"CAST({_MEAN_TICKS} AS Nullable(Int64))", Type.TIMESPAN, True),
    (Type.DATETIME,): (_MOMENT.format(_MEAN_MOMENT), Type.DATETIME, True),
}
_LEAST: Variants = {(Type.STRING,): ("min§({0}¶)", None, False), _ORDERABLE: ("minOrNull§({0}¶)", None, True)}
_MOST: Variants = {(Type.STRING,): ("max§({0}¶)", None, False), _ORDERABLE: ("maxOrNull§({0}¶)", None, True)}
_BITS: dict[str, Variants] = {
    word: {_WHOLE: (f"groupBit{word.capitalize()}OrNull({{0}})", None, True)} for word in ("and", "or", "xor")
}
_ANY: Variants = {
    (Type.STRING,): ("anyIf({0}, {0} != ''¶&)", None, False),
    tuple(t for t in Type if t is not Type.STRING): ("anyOrNull§({0}¶)", None, True),
}


def with_condition(template: str, number: int | None) -> str:
    """Return an aggregate with its condition, the argument of that number; or without one."""
    if number is None:
        return template.replace("§", "").replace("¶&", "").replace("¶", "")
    return template.replace("§", "If").replace("¶&", f" AND {{{number}}}").replace("¶", f", {{{number}}}")


def condition(binder: Expressions, expression: tree.Expression) -> Scalar:
    """Return the condition under which a row counts: null is false."""
    value = binder.boolean(expression)
    return Apply("ifNull({0}, false)", (value,), Type.BOOL, nullable=False) if value.nullable else value


def refuse_types(call: tree.Call, value: Scalar) -> KqlSemanticError:
    """Return the error about a value of a type that an aggregate does not take."""
    if value.type in (*NUMERIC, Type.DATETIME, Type.TIMESPAN):
        return KqlUnsupported(f"{call.name}() of a {value.type.value} is not answered here", call.span)
    hint = ": convert it first, tolong(…)" if value.type is Type.DYNAMIC else ""
    return KqlSemanticError(f"{call.name}() does not take a value of type {value.type.value}{hint}", call.span)


def _one(variants: Variants, *, conditional: bool, extra: int = 0) -> Bound:
    """Return the aggregate of one value; `extra`: further arguments that change nothing here, such as an accuracy."""
    least = 2 if conditional else 1

    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        if not least <= len(call.arguments) <= least + extra:
            raise KqlSemanticError(f"{call.name}() takes {least} arguments", call.span)
        value = binder.bind(call.arguments[0])
        for argument in call.arguments[least:]:
            binder.bind(argument)
        for types, (template, result, nullable) in variants.items():
            if value.type in types:
                arguments = (value, condition(binder, call.arguments[1])) if conditional else (value,)
                sql = with_condition(template, 1 if conditional else None)
                return Apply(sql, arguments, result or value.type, nullable)
        raise refuse_types(call, value)

    return bind


def _both(name: str, conditional: str, variants: Variants, *, extra: int = 0) -> tuple[Special, ...]:
    return (
        Special(name, _one(variants, conditional=False, extra=extra), f"{name}_"),
        Special(conditional, _one(variants, conditional=True, extra=extra), f"{conditional}_"),
    )


@special("count", naming="count_")
def _count(binder: Expressions, call: tree.Call) -> Scalar:
    for argument in call.arguments:
        if binder.bind(argument).type is Type.BOOL or len(call.arguments) > 1:
            raise KqlUnsupported("count() counts rows: of a condition, countif() does", call.span)
    return Apply("toInt64(count())", (), Type.LONG, nullable=False)


@special("countif", naming="countif_")
def _countif(binder: Expressions, call: tree.Call) -> Scalar:
    if len(call.arguments) != 1:
        raise KqlSemanticError("countif() takes one condition", call.span)
    return Apply("toInt64(countIf({0}))", (condition(binder, call.arguments[0]),), Type.LONG, nullable=False)


def _covariance(function: str, least: int, *, conditional: bool) -> Bound:
    count = 3 if conditional else 2

    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        if len(call.arguments) != count:
            raise KqlSemanticError(f"{call.name}() takes {count} arguments", call.span)
        values = [binder.bind(argument) for argument in call.arguments[:2]]
        for value in values:
            if value.type not in NUMERIC:
                raise refuse_types(call, value)
        both = "isNotNull({0}) AND isNotNull({1})" + (" AND {2}" if conditional else "")
        inside = "toFloat64(assumeNotNull({0})), toFloat64(assumeNotNull({1}))"
        sql = f"if(countIf({both}) < {least}, 0., {function}If({inside}, {both}))"
        arguments = (*values, condition(binder, call.arguments[2])) if conditional else tuple(values)
        return Apply(sql, arguments, Type.REAL, nullable=False)

    return bind


_REFUSED = {
    **dict.fromkeys(
        ("hll", "hll_if", "hll_merge", "dcount_hll"), "sketches are not kept here: dcount() counts exactly"
    ),
    **dict.fromkeys(
        ("tdigest", "tdigest_merge", "merge_tdigest", "merge_tdigests"),
        "sketches are not kept here: percentile() is exact",
    ),
    "buildschema": "the schema of dynamic values is not made here",
}


def _refusal(advice: str) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        raise KqlUnsupported(f"{call.name}() is not supported: {advice}", call.name_span)

    return bind


@special("passthrough", naming="first")
def _passthrough(binder: Expressions, call: tree.Call) -> Scalar:
    raise KqlUnsupported("passthrough() is not supported: use take_any()", call.name_span)


_SPREADS = {
    ("stdev", "stdevif"): ("stddevSampStable", 2),
    ("stdevp", "stdevpif"): ("stddevPopStable", 1),
    ("variance", "varianceif"): ("varSampStable", 2),
    ("variancep", "variancepif"): ("varPopStable", 1),
}
_COVARIANCES = {"covariance": ("covarSampStable", 2), "covariancep": ("covarPopStable", 1)}

FUNCTIONS: tuple[Entry, ...] = (
    _count,
    _countif,
    _passthrough,
    *_both("dcount", "dcountif", _DCOUNT, extra=1),
    *_both("count_distinct", "count_distinctif", _COUNT),
    *_both("sum", "sumif", _SUM),
    *_both("avg", "avgif", _MEAN),
    *_both("min", "minif", _LEAST),
    *_both("max", "maxif", _MOST),
    *(entry for names, (sql, least) in _SPREADS.items() for entry in _both(*names, _spread(sql, least))),
    *(
        Special(f"{name}{end}", _covariance(sql, least, conditional=bool(end)), f"{name}{end}_")
        for name, (sql, least) in _COVARIANCES.items()
        for end in ("", "if")
    ),
    *(Special(f"binary_all_{word}", _one(variants, conditional=False), "first") for word, variants in _BITS.items()),
    Special("take_any", _one(_ANY, conditional=False), "first"),
    Special("take_anyif", _one(_ANY, conditional=True), "first"),
    Special("any", _one(_ANY, conditional=False), "any_"),
    Special("anyif", _one(_ANY, conditional=True), "anyif_"),
    *(Special(name, _refusal(advice)) for name, advice in _REFUSED.items()),
)
