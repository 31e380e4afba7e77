"""Operators about the columns themselves, and about functions: getschema, project-by-names, invoke; and those that
are known and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.operators.columns import only_columns
from whatchanged.kql.binder.scope import BoundTable, Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.plan import Column, Constant, OrderKey, Values
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]

_SYSTEM = {
    Type.BOOL: "System.SByte",
    Type.INT: "System.Int32",
    Type.LONG: "System.Int64",
    Type.REAL: "System.Double",
    Type.DECIMAL: "System.Data.SqlTypes.SqlDecimal",
    Type.STRING: "System.String",
    Type.DATETIME: "System.DateTime",
    Type.TIMESPAN: "System.TimeSpan",
    Type.GUID: "System.Guid",
    Type.DYNAMIC: "System.Object",
}
"""Types as getschema names them (the manual's pages of getschema and of each type)."""


def _getschema(queries: Queries, relation: Relation, operator: tree.GetSchema, scope: Scope) -> Relation:
    columns = tuple(
        Column(name, type_, nullable=False)
        for name, type_ in (
            ("ColumnName", Type.STRING),
            ("ColumnOrdinal", Type.LONG),
            ("DataType", Type.STRING),
            ("ColumnType", Type.STRING),
        )
    )
    rows = tuple(
        (
            Constant(name, Type.STRING),
            Constant(number, Type.LONG),
            Constant(_SYSTEM[column.type], Type.STRING),
            Constant(column.type.value, Type.STRING),
        )
        for number, (name, column) in enumerate(relation.columns)
    )
    position = Column("", Type.LONG, nullable=False)
    order = (OrderKey(position, descending=False, nulls_first=False),)
    return Relation(Values(columns, rows, position), tuple((c.name, c) for c in columns), order)


def _project_by_names(queries: Queries, relation: Relation, operator: tree.ProjectByNames, scope: Scope) -> Relation:
    """Columns that are not there are left out (the manual's page)."""
    found: dict[str, Column] = {}
    known = relation.named()
    for expression in operator.columns:
        for name in _names(queries, expression, scope):
            if "*" in name or name in known:
                found.update(only_columns(relation, [tree.Name(expression.span, name)]))
    return Relation(relation.node, tuple(found.items()), relation.order, relation.serialized)


def _names(queries: Queries, expression: tree.Expression, scope: Scope) -> list[str]:
    if isinstance(expression, tree.Call) and expression.name == "column_names_of" and len(expression.arguments) == 1:
        return [name for name, _ in queries.relation(expression.arguments[0], scope).columns]
    value = Expressions(queries, scope, {}).constant(expression, "the name of a column")
    if value.type is Type.STRING:
        return [str(value.value)]
    parsed = json.loads(str(value.value)) if value.type is Type.DYNAMIC and value.value is not None else None
    if not isinstance(parsed, list) or not all(isinstance(name, str) for name in parsed):
        raise KqlSemanticError("a name is a text, or an array of texts", expression.span)
    return parsed


def _invoke(queries: Queries, relation: Relation, operator: tree.Invoke, scope: Scope) -> Relation:
    call = operator.function
    rows = "$rows"  # no name that a query can write
    first = tree.Name(call.span, rows)
    inner = scope.inner({rows: BoundTable(relation)})
    return queries.relation(tree.Call(call.span, call.name, (first, *call.arguments), call.name_span), inner)


_ADVICE: Mapping[type[tree.Operator], str] = {
    tree.Fork: "fork gives several tables: ask for each in a query of its own",
    tree.Facet: "facet gives several tables: ask for each with summarize count() by column",
    tree.Reduce: "reduce is not supported: group by what you extract of the texts, with extract() or parse",
}


def _refuse(queries: Queries, relation: Relation, operator: tree.Operator, scope: Scope) -> Relation:
    raise KqlUnsupported(_ADVICE[type(operator)], operator.span)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {
    tree.GetSchema: _getschema,
    tree.ProjectByNames: _project_by_names,
    tree.Invoke: _invoke,
    **dict.fromkeys(_ADVICE, _refuse),
}
