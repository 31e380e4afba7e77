"""Operators that make one row of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import Names, already_declared, name_of
from whatchanged.kql.binder.operators.columns import defined, with_definitions
from whatchanged.kql.binder.operators.options import option
from whatchanged.kql.binder.operators.several import SEVERAL
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions import AGGREGATES
from whatchanged.kql.plan import Aggregate, AggregateCall, Apply, Column, Node, Scalar, Window, columns_of
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS", "Positions", "grouped"]


class Positions:
    """Where rows stand in their order, asked for by aggregates that keep it."""

    def __init__(self, relation: Relation) -> None:
        self._relation = relation
        self._column: Column | None = None

    def __call__(self) -> Scalar | None:
        """Return the place of a row, from 1; None: the rows have no order."""
        keys = self._relation.order
        if not keys:
            return None
        if len(keys) == 1 and keys[0].value.type is Type.LONG and not keys[0].descending:
            return keys[0].value
        if self._column is None:
            self._column = Column("", Type.LONG, nullable=False)
        return self._column

    def node(self) -> Node:
        """Return the rows, with that column if somebody asked for it."""
        if self._column is None:
            return self._relation.node
        number = Apply("toInt64(row_number() /*OVER*/)", (), Type.LONG, nullable=False)
        return Window(self._relation.node, ((self._column, number),), self._relation.order)


def grouped(
    queries: Queries,
    relation: Relation,
    aggregates: Sequence[tree.Expression],
    by: Sequence[tree.Expression],
    scope: Scope,
) -> Relation:
    """Return a row a group: what it is grouped by, then the aggregates."""
    names = Names()
    keys = _keys(queries, relation, by, scope, names)
    calls: list[tuple[Column, AggregateCall]] = []
    positions = Positions(relation)
    binder = Expressions(queries, scope, relation.named(), aggregates=calls, position=positions)
    values: list[tuple[str, Scalar]] = []
    for expression in aggregates:
        if isinstance(expression, tree.Named) and (given := expression.names[0].name) in names:
            raise already_declared(given, expression.span)
        for name, value in _aggregated(binder, expression, relation, {key for key, _, _ in keys}):
            values.append((names.take(name), value))
        _within_groups(expression, [value for _, value in values], calls)
    node = Aggregate(positions.node(), tuple((column, value) for _, column, value in keys), tuple(calls))
    columns, definitions = defined(values)
    return Relation(with_definitions(node, definitions), (*((name, column) for name, column, _ in keys), *columns))


def _within_groups(
    expression: tree.Expression, values: Sequence[Scalar], calls: Sequence[tuple[Column, AggregateCall]]
) -> None:
    """Refuse values that are of a row rather than of a group."""
    own = {column for column, _ in calls}
    if any(column not in own for column in columns_of(values)):
        raise KqlSemanticError("a column stands within an aggregate here, or behind by", expression.span)


def _keys(
    queries: Queries, relation: Relation, by: Sequence[tree.Expression], scope: Scope, names: Names
) -> list[tuple[str, Column, Scalar]]:
    binder = Expressions(queries, scope, relation.named())
    found = []
    for expression in by:
        value = binder.bind(expression)
        if value.type is Type.DYNAMIC:
            raise KqlSemanticError("rows are not grouped by a dynamic value: use tostring(…)", expression.span)
        given = name_of(expression)
        if isinstance(expression, tree.Name | tree.Named) and given in names:
            raise already_declared(given, expression.span)
        name = names.take(given)
        found.append((name, Column(name, value.type, value.nullable), value))
    return found


def _aggregated(
    binder: Expressions, expression: tree.Expression, relation: Relation, keys: set[str]
) -> list[tuple[str, Scalar]]:
    """Return the columns that an aggregate gives: most give one, `arg_max(x, *)` many."""
    plain = expression.value if isinstance(expression, tree.Named) else expression
    if isinstance(plain, tree.Call) and (several := SEVERAL.get(plain.name)) is not None:
        given = [n.name for n in expression.names] if isinstance(expression, tree.Named) else []
        return several(binder, plain, relation, given, keys)
    return [(name_of(expression) or _default_name(plain), binder.bind(expression))]


def _default_name(expression: tree.Expression) -> str:
    if isinstance(expression, tree.Call) and (functions := AGGREGATES.get(expression.name)):
        return functions[0].naming if functions[0].naming.endswith("_") else ""
    return ""


def _summarize(queries: Queries, relation: Relation, operator: tree.Summarize, scope: Scope) -> Relation:
    if not operator.aggregates and not operator.by:
        raise KqlSemanticError("summarize wants aggregates, or something to group by", operator.span)
    if option(operator, "bin") is not None:
        raise KqlUnsupported("the older bin= is not taken: group by bin(…)", operator.span)
    return grouped(queries, relation, operator.aggregates, operator.by, scope)


def _distinct(queries: Queries, relation: Relation, operator: tree.Distinct, scope: Scope) -> Relation:
    if any(isinstance(column, tree.Star) for column in operator.columns):
        by: Sequence[tree.Expression] = [tree.Name(operator.span, name, quoted=True) for name, _ in relation.columns]
    else:
        by = operator.columns
    return grouped(queries, relation, (), by, scope)


def _count(queries: Queries, relation: Relation, operator: tree.Count, scope: Scope) -> Relation:
    name = next((o.value.name for o in operator.options if isinstance(o.value, tree.Name)), "Count")
    column = Column(name, Type.LONG, nullable=False)
    call = AggregateCall("toInt64(count())", (), Type.LONG, nullable=False)
    return Relation(Aggregate(relation.node, (), ((column, call),)), ((name, column),))


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {
    tree.Summarize: _summarize,
    tree.Distinct: _distinct,
    tree.Count: _count,
}
