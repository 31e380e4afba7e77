"""Operators that choose by rank: top-nested, top-hitters, sample-distinct; and partition, which asks every group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import Names, name_of
from whatchanged.kql.binder.operators.apart import EachGroup
from whatchanged.kql.binder.operators.groups import grouped
from whatchanged.kql.binder.operators.joins import fresh
from whatchanged.kql.binder.operators.rows import row_count
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.plan import (
    Aggregate,
    AggregateCall,
    Apply,
    Column,
    Compute,
    Join,
    Limit,
    Node,
    OrderKey,
    Scalar,
)
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]


def _top_hitters(queries: Queries, relation: Relation, operator: tree.TopHitters, scope: Scope) -> Relation:
    # The vendor estimates; here it is exact.
    span = operator.span
    inner = (operator.by,) if operator.by is not None else ()
    function = "sum" if inner else "count"
    by = name_of(operator.by if operator.by is not None else operator.column)
    name = tree.Name(span, f"approximate_{function}_{by}")
    call = tree.Named(span, (name,), tree.Call(span, function, inner, span))
    groups = grouped(queries, relation, (call,), (operator.column,), scope)
    order = (OrderKey(groups.columns[-1][1], descending=True, nulls_first=False),)
    count = row_count(queries, operator.count, scope)
    return Relation(Limit(groups.node, count, order), groups.columns, order, serialized=True)


def _sample_distinct(queries: Queries, relation: Relation, operator: tree.SampleDistinct, scope: Scope) -> Relation:
    groups = grouped(queries, relation, (), (operator.column,), scope)
    return Relation(Limit(groups.node, row_count(queries, operator.count, scope), ()), groups.columns)


# top-nested


def _same(left: Column, right: Column) -> list[tuple[Scalar, Scalar]]:
    """Return what is equal where two columns are: null is equal to null here."""
    if left.type is Type.STRING:
        return [(left, right)]
    tests: list[tuple[Scalar, Scalar]] = []
    for sql, type_ in (("isNull({0})", Type.BOOL), ("assumeNotNull({0})", left.type)):
        one, two = (Apply(sql, (column,), type_, nullable=False) for column in (left, right))
        tests.append((one, two))
    return tests


def _top_nested(queries: Queries, relation: Relation, operator: tree.TopNested, scope: Scope) -> Relation:
    binder = Expressions(queries, scope, relation.named())
    names = Names()
    keys: list[tuple[Column, Scalar]] = []
    for level in operator.levels:
        if level.others is not None:
            raise KqlUnsupported("top-nested … with others is not supported", level.others.span)
        value = binder.bind(level.column)
        if value.type is Type.DYNAMIC:
            raise KqlSemanticError("rows are not grouped by a dynamic value: use tostring(…)", level.column.span)
        keys.append((Column(names.take(name_of(level.column)), value.type, value.nullable), value))
    columns = (*relation.columns, *((column.name, column) for column, _ in keys))
    base = Relation(Compute(relation.node, tuple(keys)), columns)
    won: Relation | None = None  # value and aggregate of every level so far
    for number, level in enumerate(operator.levels):
        won = _level(queries, base, level, scope, number, len(keys), won)
    assert won is not None
    final = Names()
    return Relation(won.node, tuple((final.take(name), column) for name, column in won.columns))


def _level(
    queries: Queries, base: Relation, level: tree.TopNestedLevel, scope: Scope, number: int, levels: int,
    won: Relation | None,
) -> Relation:  # fmt: skip
    """Return the groups of a level within those that won before."""
    rows = fresh(base)
    own = [column for _, column in rows.columns[-levels:]]
    calls: list[tuple[Column, AggregateCall]] = []
    named = dict(rows.columns[:-levels])
    aggregate = Expressions(queries, scope, named, aggregates=calls).bind(level.by)
    node: Node = rows.node
    before: list[tuple[Column, Scalar]] = []
    if won is not None:
        winners = [column for _, column in won.columns]
        on = [test for mine, winner in zip(own, winners[::2], strict=False) for test in _same(mine, winner)]
        node = Join("inner", node, won.node, tuple(on))
        before = [(Column(column.name, column.type, column.nullable), column) for column in winners]
    key = Column(own[number].name, own[number].type, own[number].nullable)
    node = Aggregate(node, (*before, (key, own[number])), tuple(calls))
    title = name_of(level.by) if isinstance(level.by, tree.Named) else f"aggregated_{key.name}"
    result = Column(title, aggregate.type, aggregate.nullable)
    node = Compute(node, ((result, aggregate),))
    if level.count is not None:
        order = (OrderKey(result, descending=level.order != "asc", nulls_first=False),)
        by = tuple(column for column, _ in before[::2])
        node = Limit(node, row_count(queries, level.count, scope), order, by)
    return Relation(node, tuple((column.name, column) for column in (*(c for c, _ in before), key, result)))


# partition


def _partition(queries: Queries, relation: Relation, operator: tree.Partition, scope: Scope) -> Relation:
    if isinstance(operator.subquery, tree.Query):
        raise KqlUnsupported("partition takes operators in (…) here, not a query of its own", operator.span)
    value = Expressions(queries, scope, relation.named()).bind(operator.column)
    if value.type is Type.DYNAMIC:
        raise KqlSemanticError("rows are not grouped by a dynamic value: use tostring(…)", operator.column.span)
    key = Column("", value.type, value.nullable)
    start = Relation(Compute(relation.node, ((key, value),)), relation.columns, relation.order, relation.serialized)
    result = start
    for part in operator.subquery:
        result = queries.through(result, part, scope)
    node = EachGroup(start.node, key, {}, operator.span).apart(result.node)
    return Relation(node, result.columns)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {
    tree.TopHitters: _top_hitters,
    tree.SampleDistinct: _sample_distinct,
    tree.TopNested: _top_nested,
    tree.Partition: _partition,
}
