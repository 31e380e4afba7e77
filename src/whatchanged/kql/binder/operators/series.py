"""The operator make-series: values along an axis, as arrays in which no step is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import Names, name_of
from whatchanged.kql.binder.operators.options import word_option
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import convert, converts, to_dynamic
from whatchanged.kql.functions.operators import compare
from whatchanged.kql.plan import Aggregate, AggregateCall, Apply, Column, Compute, Constant, Filter, Node, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]

_MOST = 1_048_576
"""Values of a series, at most (the manual's page of make-series)."""
_ZERO = Constant(0, Type.LONG)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Steps along an axis, numbered from `origin` on."""

    value: Scalar
    origin: Scalar
    step: Scalar
    stop: Scalar | None
    from_origin: bool
    """Whether no value is before the origin."""

    def number(self) -> Scalar:
        """Return the number of the step in which a value is."""
        if self.value.type in (Type.REAL, Type.DECIMAL):
            sql = "toInt64(floor(({0} - {1}) / {2}))"
        elif self.from_origin:
            sql = "intDiv({0} - {1}, {2})"
        else:
            sql = "intDiv({0} - {1} - positiveModulo({0} - {1}, {2}), {2})"
        return self._apply(sql, _plain(self.value), _plain(self.origin))

    def count(self) -> Scalar:
        """Return how many steps there are up to `stop`."""
        assert self.stop is not None
        if self.value.type in (Type.REAL, Type.DECIMAL):
            sql = "toInt64(ceil(({0} - {1}) / {2}))"
        else:
            sql = "intDiv({0} - {1} + {2} - 1, {2})"
        return self._apply(f"least(greatest({sql}, 0), {_MOST})", _plain(self.stop), _plain(self.origin))

    def at(self) -> Scalar:
        """Return the JSON text of where a step begins; in it `i`, the variable of a lambda, is its number."""
        plain = "({0} + i * {1})"
        if self.value.type is Type.DATETIME:
            plain = f"reinterpret(toInt64{plain}, 'DateTime64(7, \\'UTC\\')')"
        return to_dynamic(Apply(plain, (_plain(self.origin), self.step), self.value.type, nullable=False))

    def _apply(self, sql: str, left: Scalar, right: Scalar) -> Scalar:
        return Apply(sql, (left, right, self.step), Type.LONG, nullable=False)


def _plain(value: Scalar) -> Scalar:
    """Return a value as the number that the engine counts with."""
    if value.type is Type.DATETIME:
        return Apply("reinterpret(assumeNotNull({0}), 'Int64')", (value,), Type.LONG, nullable=False)
    return Apply("assumeNotNull({0})", (value,), value.type, nullable=False) if value.nullable else value


def _axis(queries: Queries, relation: Relation, operator: tree.MakeSeries, scope: Scope) -> _Axis:
    value = Expressions(queries, scope, relation.named()).bind(operator.axis)
    if value.type not in (*NUMERIC, Type.DATETIME, Type.TIMESPAN):
        raise KqlSemanticError("the axis is a time or a number", operator.axis.span)
    if operator.in_range:
        raise KqlUnsupported("the older form is not taken: write from … to … step …", operator.span)
    if operator.start is None and operator.stop is not None:
        raise KqlUnsupported("to wants a from here", operator.stop.span)
    type_ = value.type if value.type in (Type.DATETIME, Type.TIMESPAN, Type.REAL, Type.DECIMAL) else Type.LONG
    binder = Expressions(queries, scope, {})

    def bound(expression: tree.Expression, wanted: Type) -> Scalar:
        given = binder.bind(expression)
        if converts(given.type, wanted) is None:
            raise KqlSemanticError(f"a {wanted.value} is expected here, not a {given.type.value}", expression.span)
        return convert(given, wanted)

    step = bound(operator.step, Type.TIMESPAN if type_ is Type.DATETIME else type_)
    if isinstance(step, Constant) and isinstance(step.value, int | float) and step.value <= 0:
        raise KqlSemanticError("a step is more than nothing", operator.step.span)
    origin = Constant(0, type_) if operator.start is None else bound(operator.start, type_)
    stop = None if operator.stop is None else bound(operator.stop, type_)
    from_origin = operator.start is not None or type_ is Type.DATETIME
    return _Axis(convert(value, type_), origin, step, stop, from_origin)


def _within(relation: Relation, operator: tree.MakeSeries, axis: _Axis) -> Node:
    node: Node = Filter(relation.node, Apply("isNotNull({0})", (axis.value,), Type.BOOL, nullable=False))
    bounds = []
    if operator.start is not None:
        bounds.append(compare(">=", axis.value, axis.origin))
    if axis.stop is not None:
        bounds.append(compare("<", axis.value, axis.stop))
    for bound in bounds:
        assert bound is not None
        node = Filter(node, bound)
    return node


@dataclass(frozen=True, slots=True)
class _Series:
    """The aggregate of a series: its name, its value in a step, what stands where there is none."""

    name: str
    value: Scalar
    default: Scalar


def _make_series(queries: Queries, relation: Relation, operator: tree.MakeSeries, scope: Scope) -> Relation:
    axis = _axis(queries, relation, operator, scope)
    filled = word_option(operator, "kind", {"": False, "nonempty": True}, "")
    names = Names()
    binder = Expressions(queries, scope, relation.named())
    keys = [(names.take(name_of(e)), binder.bind(e)) for e in operator.by]
    inner = [(Column(name, value.type, value.nullable), value) for name, value in keys]
    calls: list[tuple[Column, AggregateCall]] = []
    over = Expressions(queries, scope, relation.named(), aggregates=calls)
    series = [_series(over, aggregate, default, names) for aggregate, default in operator.aggregates]
    # A row a step …
    step = Column("", Type.LONG, nullable=False)
    node: Node = Aggregate(_within(relation, operator, axis), (*inner, (step, axis.number())), tuple(calls))
    texts = [(Column(one.name, Type.DYNAMIC), to_dynamic(one.value)) for one in series]
    # … then a row a series.
    outer = [(Column(c.name, c.type, c.nullable), c) for c, _ in inner]
    keep_empty = bool(operator.by) or (filled and axis.stop is not None)
    gathered, maps, steps = _gathered(
        Compute(node, tuple(texts)), outer, step, [c for c, _ in texts], axis, operator, keep_empty
    )
    results = [
        (Column(one.name, Type.DYNAMIC, nullable=False), _filled(steps, column, to_dynamic(one.default)))
        for column, one in zip(maps, series, strict=True)
    ]
    line = Apply(
        "concat('[', arrayStringConcat(arrayMap(i -> {1}, {0}), ','), ']')",
        (steps, axis.at()),
        Type.DYNAMIC,
        nullable=False,
    )
    results.append((Column(names.take(name_of(operator.axis)), Type.DYNAMIC, nullable=False), line))
    columns = [(c.name, c) for c, _ in outer] + [(c.name, c) for c, _ in results]
    return Relation(Compute(gathered, tuple(results)), tuple(columns))


def _gathered(
    node: Node, keys: Sequence[tuple[Column, Scalar]], step: Column, texts: Sequence[Column], axis: _Axis,
    operator: tree.MakeSeries, keep_empty: bool,
) -> tuple[Node, list[Column], Scalar]:  # fmt: skip
    """Return a row a series: for each text a map of step → text, and the SQL array of the steps there are to be."""
    maps = [(Column(text.name, Type.DYNAMIC, nullable=False), AggregateCall(_MAP, (step, text), Type.DYNAMIC, False))
            for text in texts]  # fmt: skip
    first, last, rows = (Column("", Type.LONG, nullable=False) for _ in range(3))
    ends = (
        (first, AggregateCall("min({0})", (step,), Type.LONG, nullable=False)),
        (last, AggregateCall("max({0})", (step,), Type.LONG, nullable=False)),
        (rows, AggregateCall("toInt64(count())", (), Type.LONG, nullable=False)),
    )
    node = Aggregate(node, tuple(keys), (*maps, *ends))
    if not keep_empty:
        node = Filter(node, Apply("({0} > 0)", (rows,), Type.BOOL, nullable=False))
    begin: Scalar = first if operator.start is None else _ZERO
    end = Apply("{0} + 1", (last,), Type.LONG, nullable=False) if axis.stop is None else axis.count()
    steps = Apply(f"range({{0}}, least({{1}}, {{0}} + {_MOST}))", (begin, end), Type.DYNAMIC, nullable=False)
    return node, [column for column, _ in maps], steps


_MAP = "CAST(groupArray(tuple({0}, ifNull({1}, 'null'))) AS Map(Int64, String))"


def _filled(steps: Scalar, values: Scalar, default: Scalar) -> Scalar:
    """Return the array of a series, with a default where there is no value."""
    item = "if(mapContains({1}, toInt64(i)), {1}[toInt64(i)], ifNull({2}, 'null'))"
    sql = f"concat('[', arrayStringConcat(arrayMap(i -> {item}, {{0}}), ','), ']')"
    return Apply(sql, (steps, values, default), Type.DYNAMIC, nullable=False)


def _series(binder: Expressions, aggregate: tree.Expression, default: tree.Expression | None, names: Names) -> _Series:
    value = binder.bind(aggregate)
    if value.type not in NUMERIC:
        raise KqlUnsupported(f"a series is of numbers, not of {value.type.value}", aggregate.span)
    given: Scalar = Constant(0, Type.LONG) if default is None else binder.bind(default)
    if converts(given.type, value.type) is not None:
        given = convert(given, value.type)
    return _Series(names.take(name_of(aggregate)), value, given)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.MakeSeries: _make_series}
