"""Operators that make rows of arrays: mv-expand, and mv-apply, which asks a query of each row's own rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import Names, already_declared, name_of
from whatchanged.kql.binder.operators.apart import EachGroup
from whatchanged.kql.binder.operators.options import text_option, word_option
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.casts import convert
from whatchanged.kql.plan import (
    Apply,
    Column,
    Compute,
    Expand,
    Node,
    OrderKey,
    Scalar,
    Window,
)
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]

_PAIRS = "JSONExtractKeysAndValuesRaw(assumeNotNull({0}))"
_ONE_BAG = f"arrayMap(t -> concat('{{{{', toJSONString(t.1), ':', t.2, '}}}}'), {_PAIRS})"
_PAIR = f"arrayMap(t -> concat('[', toJSONString(t.1), ',', t.2, ']'), {_PAIRS})"
_KIND = "JSONType(assumeNotNull({0}))"
# A null gives a row, as does what is neither array nor bag; an empty array gives none.
_ITEMS = (
    f"multiIf(isNull({{0}}), ['null'], {_KIND} = 'Array', JSONExtractArrayRaw(assumeNotNull({{0}})), "
    f"{_KIND} = 'Object', §, [assumeNotNull({{0}})])"
)
_NUMBER = "JSONType({0}) IN ('Int64', 'UInt64', 'Double')"


def _typed(item: Scalar, type_: Type) -> Scalar:
    """Return an element as a value of a type: null where it is of another (the manual's page of mv-expand)."""
    item = Apply("nullIf({0}, 'null')", (item,), Type.DYNAMIC, nullable=True)
    if type_ in NUMERIC or type_ is Type.BOOL:
        fits = "JSONType({0}) = 'Bool'" if type_ is Type.BOOL else _NUMBER
        guarded = Apply(f"if({fits}, {{0}}, NULL)", (item,), Type.DYNAMIC, nullable=True)
        if type_ in (Type.INT, Type.LONG):
            whole = "if(JSONExtractFloat({0}) = trunc(JSONExtractFloat({0})), {0}, NULL)"
            guarded = Apply(whole, (guarded,), Type.DYNAMIC, nullable=True)
        return convert(guarded, type_)
    return convert(item, type_)


def _limit(binder: Expressions, limit: tree.Expression | None) -> int | None:
    return None if limit is None else binder.integer(limit, "the number of rows")


def _expanded(
    queries: Queries, relation: Relation, operator: tree.MvExpand | tree.MvApply, scope: Scope
) -> tuple[Relation, Column]:
    """Return the rows of the arrays, and the column of the index of each."""
    pairs = word_option(operator, "kind", {"bag": False, "array": True}, "bag") or word_option(
        operator, "bagexpansion", {"bag": False, "array": True}, "bag"
    )
    template = _ITEMS.replace("§", _PAIR if pairs else _ONE_BAG)
    binder = Expressions(queries, scope, relation.named())
    columns = dict(relation.columns)
    names = Names(columns)
    items: list[tuple[Column, Apply]] = []
    definitions: list[tuple[Column, Scalar]] = []
    for column in operator.columns:
        value = binder.bind(column.expression)
        if value.type is not Type.DYNAMIC:
            raise KqlSemanticError(f"a {value.type.value} has no elements: a dynamic is expected", column.span)
        name = name_of(column.expression) or names.take("")
        if any(raw.name == name for raw, _ in items):
            raise already_declared(name, column.span)
        type_ = binder.type_named(column.type, column.span) if column.type else Type.DYNAMIC
        raw = Column(name, Type.DYNAMIC)
        items.append((raw, Apply(template, (value,), Type.DYNAMIC, nullable=False)))
        typed = _typed(raw, type_)
        new = Column(name, type_, typed.nullable)
        definitions.append((new, typed))
        columns[name] = new
    index = Column(text_option(operator, "with_itemindex"), Type.LONG, nullable=False)
    if index.name:
        columns[index.name] = index
    node: Node = Expand(relation.node, tuple(items), index, limit=_limit(binder, operator.limit))
    order = relation.order
    if order:
        order = (*order, OrderKey(index, descending=False, nulls_first=False))
    result = Relation(Compute(node, tuple(definitions)), tuple(columns.items()), order, relation.serialized)
    return result, index


def _mv_expand(queries: Queries, relation: Relation, operator: tree.MvExpand, scope: Scope) -> Relation:
    return _expanded(queries, relation, operator, scope)[0]


# A query for every row


def _subquery(
    queries: Queries, start: Relation, operators: Sequence[tree.Operator], scope: Scope, rows: EachGroup
) -> tuple[Relation, Node]:
    inner = start
    for operator in operators:
        inner = queries.through(inner, operator, scope)
    return inner, rows.apart(inner.node)


def _mv_apply(queries: Queries, relation: Relation, operator: tree.MvApply, scope: Scope) -> Relation:
    row = Column("", Type.LONG, nullable=False)
    number = Apply("toInt64(row_number() /*OVER*/)", (), Type.LONG, nullable=False)
    numbered = Relation(Window(relation.node, ((row, number),), relation.order), relation.columns)
    expanded, index = _expanded(queries, numbered, operator, scope)
    order = (OrderKey(index, descending=False, nulls_first=False),)
    start = Relation(expanded.node, expanded.columns, order, serialized=True)
    # A column that is expanded under its own name is gone; the others come with what the subquery gives.
    gone = {column.expression.name for column in operator.columns if isinstance(column.expression, tree.Name)}
    outer = [(name, column) for name, column in relation.columns if name not in gone]
    keys = {key.value: key.value for key in relation.order if isinstance(key.value, Column)}
    rows = EachGroup(start.node, row, {**keys, **{column: column for _, column in outer}}, operator.span)
    result, node = _subquery(queries, start, operator.subquery, scope, rows)
    columns = {name: rows.carried[column] for name, column in outer}
    columns.update(result.columns)
    base = tuple(
        dataclasses.replace(key, value=rows.carried[key.value])
        for key in relation.order
        if isinstance(key.value, Column)
    )
    complete = len(base) == len(relation.order) and bool(base)
    return Relation(node, tuple(columns.items()), (*base, *result.order) if complete else ())


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.MvExpand: _mv_expand, tree.MvApply: _mv_apply}
