"""Aggregates that give several columns: of one row of the group, or percentiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import name_of
from whatchanged.kql.binder.scope import Relation
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.collections import percentiles_of
from whatchanged.kql.plan import AggregateCall, Apply, Column, OrderKey, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

__all__ = ["SEVERAL"]

Named = list[tuple[str, Scalar]]
Several = Callable[[Expressions, tree.Call, Relation, Sequence[str], Collection[str]], Named]


def _collected(binder: Expressions, name: str, call: AggregateCall) -> Column:
    column = Column(name, call.type, call.nullable)
    assert binder.aggregates is not None
    binder.aggregates.append((column, call))
    return column


def _row(binder: Expressions, call: tree.Call, values: Sequence[Scalar], template: str) -> list[Scalar]:
    """Return values of one row of the group: `template` chooses the row; `§` stands for the values as a tuple."""
    items = ", ".join(
        f"{{{number}}}" if value.type is Type.STRING else f"toNullable({{{number}}})"
        for number, value in enumerate(values)
    )
    row = _collected(
        binder,
        call.name,
        AggregateCall(template.replace("§", f"tuple({items})"), tuple(values), Type.DYNAMIC, nullable=False),
    )
    return [
        Apply(f"tupleElement({{0}}, {number})", (row,), value.type, value.type is not Type.STRING)
        for number, value in enumerate(values, 1)
    ]


def _inside(binder: Expressions, arguments: Sequence[tree.Expression]) -> list[Scalar]:
    """Return arguments of an aggregate: no aggregate stands in them."""
    collected, binder.aggregates = binder.aggregates, None
    try:
        return [binder.bind(argument) for argument in arguments]
    finally:
        binder.aggregates = collected


def _rest(
    binder: Expressions, arguments: Sequence[tree.Expression], relation: Relation, left_out: Collection[str]
) -> list[tuple[str, Scalar]]:
    """Return the name and the value of arguments, of which `*` is every column that is not left out."""
    found: list[tuple[str, Scalar]] = []
    for argument in arguments:
        if isinstance(argument, tree.Star):
            found += [(name, column) for name, column in relation.columns if name not in left_out]
        else:
            found.append((name_of(argument), _inside(binder, [argument])[0]))
    return found


def _by_column(binder: Expressions, call: tree.Call, values: Sequence[Scalar], *, most: bool) -> list[Scalar]:
    """Return values of the row of a group whose first value is the most or the least, each an aggregate of its own.

    So those that nobody wants are not made. Among equals the first row in the engine's order is that of all of them.
    """
    value = values[0]
    function, order = ("argMax", "tuple(isNotNull({1}), assumeNotNull({1}))")
    if not most:
        function, order = ("argMin", "tuple(isNull({1}), assumeNotNull({1}))")
    if not value.nullable:
        order = "{1}"
    first = OrderKey(value, descending=most, nulls_first=False)
    found: list[Scalar] = []
    for number, one in enumerate(values):
        # A null would be passed over: it is kept in a tuple.
        plain = "tuple({0})" if one.nullable and number else "{0}"
        template = f"{function}({plain}, {order})" if number else "max({0})" if most else "min({0})"
        arguments = (one, value) if number else (one,)
        column = _collected(
            binder, call.name, AggregateCall(template, arguments, one.type, one.nullable, first=first, plain=plain)
        )
        kept = plain != "{0}"
        found.append(Apply("tupleElement({0}, 1)", (column,), one.type, nullable=True) if kept else column)
    return found


def _extreme(most: bool) -> Several:
    # A row without the value comes only where no row has one.
    order = "argMax(§, tuple(isNotNull({0}), assumeNotNull({0})))"
    if not most:
        order = "argMin(§, tuple(isNull({0}), assumeNotNull({0})))"
    word = "max" if most else "min"

    def bind(
        binder: Expressions, call: tree.Call, relation: Relation, given: Sequence[str], keys: Collection[str]
    ) -> Named:
        if not call.arguments:
            raise KqlSemanticError(f"{call.name}() wants what to look for", call.span)
        [value] = _inside(binder, call.arguments[:1])
        if value.type in (Type.DYNAMIC, Type.GUID):
            raise KqlSemanticError(f"a {value.type.value} has no order", call.arguments[0].span)
        first = name_of(call.arguments[0])
        rest = _rest(binder, call.arguments[1:], relation, {*keys, first})
        wanted = [value, *(v for _, v in rest)]
        if keys and value.type is not Type.REAL:  # without groups there may be no row; NaN is neither most nor least
            values = _by_column(binder, call, wanted, most=most)
        else:
            values = _row(binder, call, wanted, order)
        old = call.name.startswith("arg") and "_" not in call.name
        head = f"{word}_{first}"
        names = [head if old or not first else first]
        for number, (given_name, _) in enumerate(rest, 1):
            name = given_name or f"{head}_arg{number}"
            names.append(f"{head}_{name}" if old and not name.startswith(head) else name)
        return list(zip([*given[: len(names)], *names[len(given) :]], values, strict=True))

    return bind


def _any_row(
    binder: Expressions, call: tree.Call, relation: Relation, given: Sequence[str], keys: Collection[str]
) -> Named:
    if not call.arguments:
        raise KqlSemanticError(f"{call.name}() takes one value or more", call.span)
    prefix = "any_" if call.name == "any" else ""
    if len(call.arguments) == 1 and not isinstance(call.arguments[0], tree.Star):
        name = given[0] if given else prefix + name_of(call.arguments[0])
        return [(name, binder.bind(call))]
    rest = _rest(binder, call.arguments, relation, keys)
    values = _row(binder, call, [value for _, value in rest], "any(§)")
    names = [prefix + name if name else f"any_arg{number}" for number, (name, _) in enumerate(rest)]
    return list(zip([*given[: len(names)], *names[len(given) :]], values, strict=True))


def _percentiles(
    binder: Expressions, call: tree.Call, relation: Relation, given: Sequence[str], keys: Collection[str]
) -> Named:
    collected, binder.aggregates = binder.aggregates, None
    try:
        found = percentiles_of(binder, call)
    finally:
        binder.aggregates = collected
    first = name_of(call.arguments[0])
    result: Named = []
    for number, (level, value) in enumerate(found):
        name = given[number] if number < len(given) else f"percentile_{first}_{level}"
        column = _collected(binder, name, AggregateCall(value.template, value.arguments, value.type, value.nullable))
        result.append((name, column))
    return result


SEVERAL: Mapping[str, Several] = {
    "arg_max": _extreme(most=True),
    "argmax": _extreme(most=True),
    "arg_min": _extreme(most=False),
    "argmin": _extreme(most=False),
    "take_any": _any_row,
    "any": _any_row,
    "percentile": _percentiles,
    "percentilew": _percentiles,
    "percentiles": _percentiles,
    "percentilesw": _percentiles,
}
"""Name → what makes the columns: of the call, the rows, the names that are given, the names of the groups."""
