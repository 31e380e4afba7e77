"""Operators that choose and order rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.operators.columns import computed, order_keys, with_definitions
from whatchanged.kql.binder.scope import BoundTable, Relation, Scope
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.plan import Apply, Column, Constant, Filter, Limit, OrderKey, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS", "row_count"]


def _where(queries: Queries, relation: Relation, operator: tree.Where, scope: Scope) -> Relation:
    relation, [(_, value)] = computed(queries, relation, (operator.predicate,), scope)
    if value.type is not Type.BOOL:
        raise KqlSemanticError(
            f"where takes a condition, not a value of type {value.type.value}", operator.predicate.span
        )
    return Relation(Filter(relation.node, value), relation.columns, relation.order, relation.serialized)


def _sort(queries: Queries, relation: Relation, operator: tree.Sort, scope: Scope) -> Relation:
    keys = order_keys(Expressions(queries, scope, relation.named()), operator.keys)
    node, keys = _kept(relation, keys)
    # The order before decides between equals.
    return Relation(node, relation.columns, (*keys, *relation.order), serialized=True)


def _kept(relation: Relation, keys: tuple[OrderKey, ...]) -> tuple[Any, tuple[OrderKey, ...]]:
    """Return the rows with a column for every key that is none: what is computed of them later must not change it."""
    definitions: list[tuple[Column, Scalar]] = []
    found: list[OrderKey] = []
    for key in keys:
        if isinstance(key.value, Column):
            found.append(key)
            continue
        column = Column("", key.value.type, key.value.nullable)
        definitions.append((column, key.value))
        found.append(OrderKey(column, key.descending, key.nulls_first))
    return with_definitions(relation.node, definitions), tuple(found)


def _take(queries: Queries, relation: Relation, operator: tree.Take, scope: Scope) -> Relation:
    count = row_count(queries, operator.count, scope)
    return Relation(Limit(relation.node, count, relation.order), relation.columns, relation.order, relation.serialized)


def _sample(queries: Queries, relation: Relation, operator: tree.Sample, scope: Scope) -> Relation:
    # Drawn by a hash of the row, not by the engine's chance: what `materialize` names is the same wherever it is used.
    columns = tuple(column for _, column in relation.columns)
    row = ", ".join(f"{{{n}}}" for n in range(len(columns) + 1))
    drawn = Apply(f"sipHash64(tuple({row}))", (queries.chance(), *columns), Type.LONG, nullable=False)
    order = (OrderKey(drawn, descending=False, nulls_first=False),)
    return Relation(Limit(relation.node, row_count(queries, operator.count, scope), order), relation.columns)


def row_count(queries: Queries, expression: tree.Expression, scope: Scope) -> Constant:
    """Return a number of rows, which is a constant. Raises KqlSemanticError."""
    value = Expressions(queries, scope, {}).integer(expression, "the number of rows")
    if value < 0:
        raise KqlSemanticError("a number of rows is not negative", expression.span)
    return Constant(value, Type.LONG)


def _top(queries: Queries, relation: Relation, operator: tree.Top, scope: Scope) -> Relation:
    ordered = _sort(queries, relation, tree.Sort(operator.span, operator.keys), scope)
    count = row_count(queries, operator.count, scope)
    return Relation(Limit(ordered.node, count, ordered.order), ordered.columns, ordered.order, serialized=True)


def _as(queries: Queries, relation: Relation, operator: tree.As, scope: Scope) -> Relation:
    scope.variables[operator.name.name] = BoundTable(relation)
    return relation


def _consume(queries: Queries, relation: Relation, operator: tree.Consume, scope: Scope) -> Relation:
    return Relation(Filter(relation.node, Constant(False, Type.BOOL)), relation.columns)


def _render(queries: Queries, relation: Relation, operator: tree.Render, scope: Scope) -> Relation:
    queries.chart = operator.chart
    for option in operator.options:
        value = option.value
        text = value.name if isinstance(value, tree.Name) else str(getattr(value, "value", ""))
        queries.properties[option.names[0].name] = text
    return relation


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {
    tree.Where: _where,
    tree.Sort: _sort,
    tree.Take: _take,
    tree.Sample: _sample,
    tree.Top: _top,
    tree.As: _as,
    tree.Consume: _consume,
    tree.Render: _render,
}
