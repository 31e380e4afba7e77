"""Operators that make, choose, name and order columns."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import Names, already_declared, name_of
from whatchanged.kql.binder.scope import Relation, Scope, nearest
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions import COLUMNS
from whatchanged.kql.plan import (
    Apply,
    Column,
    Compute,
    Node,
    OrderKey,
    Scalar,
    Window,
    WindowCall,
    columns_of,
)
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS", "computed", "only_columns"]


def computed(
    queries: Queries, relation: Relation, expressions: Sequence[tree.Expression], scope: Scope
) -> tuple[Relation, list[tuple[tree.Expression, Scalar]]]:
    """Return the rows with what the expressions need of other rows, and the value of each."""
    windows: list[WindowCall] = []
    binder = Expressions(queries, scope, relation.named(), windows=windows if relation.serialized else None)
    values = [pair for expression in expressions for pair in _values(binder, expression)]
    return (_windowed(relation, windows) if windows else relation), values


@dataclass(frozen=True, slots=True)
class _Automatic(tree.Name):
    """The name that a function of several columns gives one of them: another than those that are there."""


def _values(binder: Expressions, expression: tree.Expression) -> list[tuple[tree.Expression, Scalar]]:
    """Return the value of an expression, or the values of a function that gives several columns."""
    named = expression.names if isinstance(expression, tree.Named) else ()
    call = expression.value if isinstance(expression, tree.Named) else expression
    if not isinstance(call, tree.Call) or call.name not in COLUMNS:
        if len(named) > 1:
            raise KqlSemanticError("this is one value, and has one name", expression.span)
        return [(expression, binder.bind(expression))]
    columns = COLUMNS[call.name](binder, call)
    if len(named) > len(columns):
        raise KqlSemanticError("the name has no value: the function gives fewer", named[len(columns)].span)
    if len(columns) == 1:
        return [(expression, columns[0][1])]
    found: list[tuple[tree.Expression, Scalar]] = []
    for number, (name, value) in enumerate(columns):
        if number < len(named):
            found.append((tree.Named(call.span, (named[number],), call), value))
        else:
            found.append((_Automatic(call.span, name, quoted=True), value))
    return found


def _windowed(relation: Relation, calls: Sequence[WindowCall]) -> Relation:
    """Return the rows with the columns of window functions: a layer for each that needs those of another.

    The rows are numbered first: what is alike in the order stands in one order to all of them, and in the answer.
    """
    position = Column("", Type.LONG, nullable=False)
    number = Apply("toInt64(row_number() /*OVER*/)", (), Type.LONG, nullable=False)
    node: Node = Window(relation.node, ((position, number),), relation.order)
    order = (OrderKey(position, descending=False, nulls_first=False),)
    levels: dict[Column, int] = {}
    layers: dict[tuple[int, tuple[Scalar, ...], str], list[WindowCall]] = {}
    for call in calls:
        level = 1 + max((levels.get(column, 0) for column in columns_of([call.value, *call.partition])), default=0)
        levels[call.column] = level
        layers.setdefault((level, call.partition, call.frame), []).append(call)
    for (_, partition, frame), layer in sorted(layers.items(), key=lambda item: item[0][0]):
        node = Window(node, tuple((call.column, call.value) for call in layer), order, partition, frame)
    return Relation(node, relation.columns, order, relation.serialized)


def defined(values: Sequence[tuple[str, Scalar]]) -> tuple[list[tuple[str, Column]], list[tuple[Column, Scalar]]]:
    """Return the columns of named values, and the definitions of those that are no columns yet."""
    columns: list[tuple[str, Column]] = []
    definitions: list[tuple[Column, Scalar]] = []
    for name, value in values:
        if isinstance(value, Column):
            columns.append((name, value))
        else:
            column = Column(name, value.type, value.nullable)
            definitions.append((column, value))
            columns.append((name, column))
    return columns, definitions


def with_definitions(node: Node, definitions: Sequence[tuple[Column, Scalar]]) -> Node:
    """Return the rows with columns more, if there are any."""
    return Compute(node, tuple(definitions)) if definitions else node


def _extend(queries: Queries, relation: Relation, operator: tree.Extend | tree.Serialize, scope: Scope) -> Relation:
    relation, values = computed(queries, relation, operator.columns, scope)
    result = dict(relation.columns)
    names = Names(result)
    fresh: list[tuple[str, Scalar]] = []
    for expression, value in values:
        given = name_of(expression)
        automatic = not given or isinstance(expression, _Automatic)
        fresh.append((names.take(given) if automatic else given, value))
    columns, definitions = defined(fresh)
    result.update(columns)
    return Relation(
        with_definitions(relation.node, definitions), tuple(result.items()), relation.order, relation.serialized
    )


def _serialize(queries: Queries, relation: Relation, operator: tree.Serialize, scope: Scope) -> Relation:
    ordered = Relation(relation.node, relation.columns, relation.order, serialized=True)
    return _extend(queries, ordered, operator, scope)


def _project(queries: Queries, relation: Relation, operator: tree.Project, scope: Scope) -> Relation:
    relation, values = computed(queries, relation, operator.columns, scope)
    names = Names()
    named: list[tuple[str, Scalar]] = []
    for expression, value in values:
        given = name_of(expression)
        _refuse_again(expression, names)
        named.append((names.take(given), value))
    columns, definitions = defined(named)
    return Relation(with_definitions(relation.node, definitions), tuple(columns), relation.order, relation.serialized)


def _print(queries: Queries, relation: Relation, operator: tree.Print, scope: Scope) -> Relation:
    _, values = computed(queries, relation, operator.columns, scope)
    names = Names()
    named: list[tuple[str, Scalar]] = []
    for number, (expression, value) in enumerate(values):
        given = name_of(expression) if isinstance(expression, tree.Named | _Automatic) else f"print_{number}"
        _refuse_again(expression, names)
        named.append((names.take(given), value))
    columns, definitions = defined(named)
    return Relation(with_definitions(relation.node, definitions), tuple(columns))


def _refuse_again(expression: tree.Expression, names: Names) -> None:
    """Refuse a column that is asked for under a name that is there already."""
    if isinstance(expression, tree.Name | tree.Named) and not isinstance(expression, _Automatic):
        name = name_of(expression)
        if name in names:
            raise already_declared(name, expression.span)


def only_columns(relation: Relation, names: Sequence[tree.Name]) -> list[tuple[str, Column]]:
    """Return the columns that names or patterns with `*` name, in the order of the names."""
    found: dict[str, Column] = {}
    known = relation.named()
    for name in names:
        if "*" in name.name and not name.quoted:
            matching = [(n, c) for n, c in relation.columns if fnmatch.fnmatchcase(n, name.name)]
            if not matching:
                raise KqlSemanticError(f"no column matches {name.name}", name.span)
            found.update(matching)
        elif name.name in known:
            found[name.name] = known[name.name]
        else:
            raise KqlSemanticError(
                f"Failed to resolve column named '{name.name}'", name.span, suggestion=nearest(name.name, known)
            )
    return list(found.items())


def _with(relation: Relation, columns: Sequence[tuple[str, Column]]) -> Relation:
    return Relation(relation.node, tuple(columns), relation.order, relation.serialized)


def _project_away(queries: Queries, relation: Relation, operator: tree.ProjectAway, scope: Scope) -> Relation:
    gone = {name for name, _ in only_columns(relation, operator.columns)}
    return _with(relation, [(name, column) for name, column in relation.columns if name not in gone])


def _project_keep(queries: Queries, relation: Relation, operator: tree.ProjectKeep, scope: Scope) -> Relation:
    kept = {name for name, _ in only_columns(relation, operator.columns)}
    return _with(relation, [(name, column) for name, column in relation.columns if name in kept])


def _project_rename(queries: Queries, relation: Relation, operator: tree.ProjectRename, scope: Scope) -> Relation:
    new: dict[str, str] = {}
    for named in operator.columns:
        if not isinstance(named.value, tree.Name):
            raise KqlSemanticError("a column is expected here", named.value.span)
        only_columns(relation, [named.value])
        if named.names[0].name == named.value.name:
            raise KqlSemanticError(f"there is a column {named.value.name} already", named.span)
        new[named.value.name] = named.names[0].name
    renamed = [(new.get(name, name), column) for name, column in relation.columns]
    names = [name for name, _ in renamed]
    for named in operator.columns:
        if names.count(named.names[0].name) > 1:
            raise KqlSemanticError(f"there is a column {named.names[0].name} already", named.span)
    return _with(relation, renamed)


def _project_reorder(queries: Queries, relation: Relation, operator: tree.ProjectReorder, scope: Scope) -> Relation:
    front: dict[str, Column] = {}
    for key in operator.columns:
        if not isinstance(key.expression, tree.Name):
            raise KqlSemanticError("a column is expected here", key.span)
        found = [pair for pair in only_columns(relation, [key.expression]) if pair[0] not in front]
        if key.order:
            found.sort(key=lambda pair: _natural(pair[0]) if "granny" in (key.order or "") else [(0, 0, pair[0])])
            if "desc" in key.order:
                found.reverse()
        front.update(found)
    return _with(relation, [*front.items(), *(pair for pair in relation.columns if pair[0] not in front)])


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which `a2` stands before `a10`."""
    parts: list[tuple[int, int, str]] = []
    digits, rest = "", ""
    for letter in name:
        if letter.isdigit():
            if rest:
                parts.append((1, 0, rest))
                rest = ""
            digits += letter
        else:
            if digits:
                parts.append((0, int(digits), ""))
                digits = ""
            rest += letter
    if digits:
        parts.append((0, int(digits), ""))
    if rest:
        parts.append((1, 0, rest))
    return parts


def order_keys(binder: Expressions, keys: Sequence[tree.SortKey]) -> tuple[OrderKey, ...]:
    """Return the keys of a sort: descending unless it says otherwise, nulls last then, and first when ascending."""
    found = []
    for key in keys:
        value = binder.bind(key.expression)
        if value.type is Type.DYNAMIC:
            raise KqlSemanticError("a dynamic value has no order: convert it, tolong(…)", key.span)
        descending = key.order != "asc"
        nulls_first = (not descending) if key.nulls is None else key.nulls == "first"
        found.append(OrderKey(value, descending, nulls_first))
    return tuple(found)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {
    tree.Extend: _extend,
    tree.Serialize: _serialize,
    tree.Project: _project,
    tree.Print: _print,
    tree.ProjectAway: _project_away,
    tree.ProjectKeep: _project_keep,
    tree.ProjectRename: _project_rename,
    tree.ProjectReorder: _project_reorder,
}
