"""Aggregates that gather the values of a group: lists, sets, bags; and percentiles, which sort them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.aggregates import condition, refuse_types
from whatchanged.kql.functions.casts import convert, to_dynamic
from whatchanged.kql.functions.dynamic import array_of, constants_of
from whatchanged.kql.functions.signature import Bound, Entry, Special, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "percentile", "percentiles_of"]

MOST = 1_048_576
"""Elements of a list, set or bag, at most (the manual's pages of make_list, make_set, make_bag)."""
_OLD_MOST = 128
"""The same of the older names."""
_FLAT = "arrayFlatten(arrayMap(x -> if(JSONType(x) = 'Array', JSONExtractArrayRaw(x), [x]), {}))"


@dataclass(frozen=True, slots=True)
class _Kind:
    conditional: bool = False
    nulls: bool = False
    distinct: bool = False
    bag: bool = False
    most: int = MOST


def _gather(kind: _Kind) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        fixed = 2 if kind.conditional else 1
        if not fixed <= len(call.arguments) <= fixed + (not kind.nulls):
            raise KqlSemanticError(f"{call.name}() does not take {len(call.arguments)} arguments", call.span)
        value = binder.bind(call.arguments[0])
        if kind.bag and value.type is not Type.DYNAMIC:
            raise refuse_types(call, value)
        most = kind.most
        if len(call.arguments) > fixed:
            most = min(binder.integer(call.arguments[-1], "the size"), MOST)
        when = condition(binder, call.arguments[1]) if kind.conditional else None
        array, arguments = _array(binder, value, when, kind)
        sql = f"arraySlice({array}, 1, {{{len(arguments)}}})"
        if kind.bag:
            pairs = f"arrayMap(t -> concat(toJSONString(t.1), ':', t.2), {sql})"
            sql = f"concat('{{{{', arrayStringConcat({pairs}, ','), '}}}}')"
        else:
            sql = array_of(sql)
        return Apply(sql, (*arguments, Constant(most, Type.LONG)), Type.DYNAMIC, nullable=False)

    return bind


def _array(binder: Expressions, value: Scalar, when: Scalar | None, kind: _Kind) -> tuple[str, tuple[Scalar, ...]]:
    """Return the SQL array of what is gathered, in the order of the rows, and the arguments of it."""
    text = to_dynamic(value)
    arguments: list[Scalar] = [text]
    conditions = []
    if kind.bag:
        conditions.append("ifNull(JSONType({0}) = 'Object', false)")
    elif text.nullable and not kind.nulls:
        conditions.append("isNotNull({0})")
    if when is not None:
        conditions.append(f"{{{len(arguments)}}}")
        arguments.append(when)
    item = "ifNull({0}, 'null')" if kind.nulls else "assumeNotNull({0})"
    if kind.bag:
        item = f"JSONExtractKeysAndValuesRaw({item})"
    place = binder.position() if binder.position is not None else None
    unordered_set = kind.distinct and place is None and value.type is not Type.DYNAMIC
    function = "groupUniqArray" if unordered_set else "groupArray"
    if place is not None:
        item = f"tuple({{{len(arguments)}}}, {item})"
        arguments.append(place)
    if conditions:
        sql = f"{function}If({item}, {' AND '.join(conditions)})"
    else:
        sql = f"{function}({item})"
    if place is not None:
        sql = f"arrayMap(t -> t.2, arraySort(t -> t.1, {sql}))"
    return _refined(sql, value, kind), tuple(arguments)


def _refined(sql: str, value: Scalar, kind: _Kind) -> str:
    if kind.bag:  # of one key twice, the first
        first = "arrayFilter((t, n) -> n = 1, a, arrayEnumerateUniq(arrayMap(t -> t.1, a)))"
        return f"arrayMap(a -> {first}, [arrayFlatten({sql})])[1]"
    if kind.distinct:
        return f"arrayDistinct({_FLAT.format(sql) if value.type is Type.DYNAMIC else sql})"
    return sql


# Percentiles: the nearest rank, exactly (the manual's page of percentiles: an estimate of that).


def percentile(value: Scalar, level: Constant, weight: Scalar | None = None) -> Apply:
    """Return the smallest value that so many percent of the values do not exceed; of 0 percent the smallest."""
    if weight is None:
        sorted_ = "arraySort(groupArray({0}))"
        at = "greatest(1, toInt64(ceil({1} * count({0}) / 100)))"
        sql, arguments = f"arrayElementOrNull({sorted_}, {at})", (value, level)
        return Apply(_whole(sql, value), arguments, value.type, nullable=value.type is not Type.STRING)
    pairs = (
        "arraySort(groupArrayIf(tuple(assumeNotNull({0}), toInt64(assumeNotNull({2}))), "
        "isNotNull({0}) AND ifNull({2}, 0) > 0))"
    )
    total = "arraySum(t -> t.2, a)"
    at = f"arrayFirstIndex(s -> s >= {{1}} * {total} / 100, arrayCumSum(arrayMap(t -> t.2, a)))"
    sql = f"arrayMap(a -> arrayElementOrNull(arrayMap(t -> t.1, a), {at}), [{pairs}])[1]"
    return Apply(_whole(sql, value), (value, level, weight), value.type, nullable=value.type is not Type.STRING)


def _whole(sql: str, value: Scalar) -> str:
    return f"ifNull({sql}, '')" if value.type is Type.STRING else sql


_PERCENTILES = {Type.INT: Type.LONG, Type.DECIMAL: Type.REAL}


def percentiles_of(binder: Expressions, call: tree.Call) -> list[tuple[str, Apply]]:
    """Return the percentiles that a call asks for: how each is written in names, and its value."""
    weighted = "sw" in call.name or "ilew" in call.name
    fixed = 2 if weighted else 1
    if len(call.arguments) <= fixed:
        raise KqlSemanticError(f"{call.name}() wants percentiles", call.span)
    value = binder.bind(call.arguments[0])
    if value.type not in (*NUMERIC, Type.DATETIME, Type.TIMESPAN, Type.STRING):
        raise KqlUnsupported(f"{call.name}() of a {value.type.value} is not answered here", call.span)
    if value.type in _PERCENTILES:
        value = convert(value, _PERCENTILES[value.type])
    weight = binder.bind(call.arguments[1]) if weighted else None
    if weight is not None and weight.type not in NUMERIC[:2]:
        raise KqlSemanticError("a weight is a whole number", call.arguments[1].span)
    found = []
    for argument in call.arguments[fixed:]:
        for level in _levels(binder, argument):
            number = float(str(level.value))
            if not 0 <= number <= 100:
                raise KqlSemanticError("a percentile is between 0 and 100", argument.span)
            shown = f"{number:.15g}".replace(".", "_")
            found.append((shown, percentile(value, Constant(number, Type.REAL), weight)))
    return found


def _levels(binder: Expressions, argument: tree.Expression) -> list[Constant]:
    value = binder.constant(argument, "a percentile")
    parts = constants_of(value) if value.type is Type.DYNAMIC else [value]
    levels = [p for p in parts if isinstance(p, Constant) and p.type in NUMERIC and p.value is not None]
    if len(levels) != len(parts):
        raise KqlSemanticError("a percentile is a number", argument.span)
    return levels


@special("percentile", "percentilew")
def _percentile(binder: Expressions, call: tree.Call) -> Scalar:
    found = percentiles_of(binder, call)
    if len(found) != 1:
        raise KqlSemanticError(f"{call.name}() takes one percentile", call.span)
    return found[0][1]


def _percentiles_array(binder: Expressions, call: tree.Call) -> Scalar:
    values = tuple(value for _, value in percentiles_of(binder, call))
    items = ", ".join(f"{{{number + 1}}}" for number in range(len(values)))
    each = to_dynamic(Apply("v", (), values[0].type, values[0].nullable))  # of the variable of a lambda
    sql = array_of(f"arrayMap(v -> ifNull({{0}}, 'null'), [{items}])")
    return Apply(sql, (each, *values), Type.DYNAMIC, nullable=False)


FUNCTIONS: tuple[Entry, ...] = (
    Special("make_list", _gather(_Kind()), "list_"),
    Special("makelist", _gather(_Kind(most=_OLD_MOST)), "list_"),
    Special("make_list_if", _gather(_Kind(conditional=True)), "list_"),
    Special("make_list_with_nulls", _gather(_Kind(nulls=True)), "list_"),
    Special("make_set", _gather(_Kind(distinct=True)), "set_"),
    Special("makeset", _gather(_Kind(distinct=True, most=_OLD_MOST)), "set_"),
    Special("make_set_if", _gather(_Kind(distinct=True, conditional=True)), "set_"),
    Special("make_bag", _gather(_Kind(bag=True)), "bag_"),
    Special("make_dictionary", _gather(_Kind(bag=True, most=_OLD_MOST)), "dictionary_"),
    Special("make_bag_if", _gather(_Kind(bag=True, conditional=True)), "bag_"),
    _percentile,
    Special("percentiles_array", _percentiles_array, "percentiles_"),
    Special("percentilesw_array", _percentiles_array, "percentiles_"),
)
