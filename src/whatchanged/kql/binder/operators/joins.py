"""Operators that bring two tables together: join and lookup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.operators.options import word_option
from whatchanged.kql.binder.scope import Relation, Scope, nearest
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import convert
from whatchanged.kql.plan import Apply, Column, Compute, Constant, Join, Limit, Scalar, UnionAll
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["KINDS", "LOOKUPS", "OPERATORS", "fresh", "renamed"]


@dataclass(frozen=True, slots=True)
class _Kind:
    join: str
    """As in `plan.Join`."""
    swapped: bool = False
    """The right rows are those that stay: they are the left of the plan's join."""
    unique: bool = False
    left: bool = True
    right: bool = True
    """Whether the columns of a side come out."""


KINDS = {
    "innerunique": _Kind("inner", unique=True),
    "inner": _Kind("inner"),
    "leftouter": _Kind("left"),
    "rightouter": _Kind("right"),
    "fullouter": _Kind("full"),
    "leftsemi": _Kind("semi", right=False),
    "rightsemi": _Kind("semi", swapped=True, left=False),
    **dict.fromkeys(("leftanti", "anti", "leftantisemi"), _Kind("anti", right=False)),
    **dict.fromkeys(("rightanti", "rightantisemi"), _Kind("anti", swapped=True, left=False)),
}
LOOKUPS = {"leftouter": _Kind("left"), "inner": _Kind("inner")}

Pairs = list[tuple[Scalar, Scalar, str]]
"""Left and right of each comparison; the name of the right column, where it is one."""


def fresh(relation: Relation) -> Relation:
    """Return the same rows under columns of their own: a table that is joined with itself shares none."""
    columns = tuple(Column(name, column.type, column.nullable) for name, column in relation.columns)
    node = UnionAll(((relation.node, tuple(column for _, column in relation.columns)),), columns)
    return Relation(node, tuple((column.name, column) for column in columns))


def _pairs(
    queries: Queries, left: Relation, right: Relation, conditions: Sequence[tree.Expression], scope: Scope
) -> Pairs:
    sides = {"$left": left.named(), "$right": right.named()}
    binder = Expressions(queries, scope, {}, sides=sides)
    found: Pairs = []
    for condition in _flat(conditions):
        if isinstance(condition, tree.Name):
            pair = [_column(condition, sides[side], side) for side in ("$left", "$right")]
            found.append((*_of_one_type(pair[0], pair[1], condition), condition.name))
            continue
        if not isinstance(condition, tree.Binary) or condition.operator != "==":
            raise KqlUnsupported("rows are joined where columns are equal: $left.a == $right.b", condition.span)
        parts = {_side(part): part for part in (condition.left, condition.right)}
        if parts.keys() != {"$left", "$right"}:
            raise KqlSemanticError("one side is of $left, the other of $right", condition.span)
        values = [binder.bind(parts[side]) for side in ("$left", "$right")]
        name = parts["$right"].name if isinstance(parts["$right"], tree.Member) else ""
        found.append((*_comparable(values[0], values[1], condition), name))
    return found


def _flat(conditions: Sequence[tree.Expression]) -> list[tree.Expression]:
    found: list[tree.Expression] = []
    for condition in conditions:
        if isinstance(condition, tree.Binary) and condition.operator == "and":
            found += _flat([condition.left, condition.right])
        else:
            found.append(condition)
    return found


def _side(expression: tree.Expression) -> str:
    target = expression.target if isinstance(expression, tree.Member) else None
    return target.name if isinstance(target, tree.Name) else ""


def _column(name: tree.Name, columns: Mapping[str, Column], side: str) -> Column:
    column = columns.get(name.name)
    if column is None:
        raise KqlSemanticError(
            f"Failed to resolve column '{name.name}' of {side}", name.span, suggestion=nearest(name.name, columns)
        )
    return column


def _comparable(left: Scalar, right: Scalar, condition: tree.Expression) -> tuple[Scalar, Scalar]:
    whole = (Type.INT, Type.LONG)
    if left.type in whole and right.type in whole and left.type is not right.type:
        left, right = convert(left, Type.LONG), convert(right, Type.LONG)
    return _of_one_type(left, right, condition)


def _of_one_type(left: Scalar, right: Scalar, condition: tree.Expression) -> tuple[Scalar, Scalar]:
    if left.type is not right.type:
        raise KqlSemanticError(
            f"both sides must be of one type, and are {left.type.value} and {right.type.value}: convert one of them",
            condition.span,
        )
    if left.type is Type.DYNAMIC:
        raise KqlSemanticError("dynamic values are not joined on: use tostring(…) in an extend before", condition.span)
    return left, right


def _optional(relation: Relation) -> Relation:
    """Return the rows with columns that can be null, for a side that may have no row."""
    columns = [(name, Column(name, column.type, column.type is not Type.STRING)) for name, column in relation.columns]
    definitions = tuple(
        (new, old if new.type is Type.STRING else Apply("toNullable({0})", (old,), old.type, nullable=True))
        for (_, new), (_, old) in zip(columns, relation.columns, strict=True)
    )
    return Relation(Compute(relation.node, definitions), tuple(columns))


def _combined(
    queries: Queries, left: Relation, right: Relation, kind: _Kind, conditions: Sequence[tree.Expression], scope: Scope
) -> tuple[Relation, Relation, Join, Pairs]:
    """Return both sides as they come out, and their join."""
    right = fresh(right)
    if kind.join in ("right", "full"):
        left = _optional(left)
    if kind.join in ("left", "full"):
        right = _optional(right)
    pairs = _pairs(queries, left, right, conditions, scope)
    node = left.node
    if kind.unique:
        node = Limit(node, Constant(1, Type.LONG), left.order, tuple(key for key, _, _ in pairs))
    if kind.swapped:
        join = Join(kind.join, right.node, node, tuple((mine, other) for other, mine, _ in pairs))
    else:
        join = Join(kind.join, node, right.node, tuple((mine, other) for mine, other, _ in pairs))
    return left, right, join, pairs


def renamed(left: Relation, right: Sequence[tuple[str, Column]]) -> tuple[tuple[str, Column], ...]:
    """Return the columns of both sides; one on the right whose name the left has too gets a number."""
    taken = {name for name, _ in (*left.columns, *right)}
    used = {name for name, _ in left.columns}
    found = list(left.columns)
    for name, column in right:
        new, number = name, 0
        while new in used or (number and new in taken):
            number += 1
            new = f"{name}{number}"
        used.add(new)
        found.append((new, column))
    return tuple(found)


def _join(queries: Queries, relation: Relation, operator: tree.Join, scope: Scope) -> Relation:
    kind = word_option(operator, "kind", KINDS, "innerunique")
    right = queries.relation(operator.right, scope)
    left, right, join, _ = _combined(queries, relation, right, kind, _conditions(operator), scope)
    if not kind.right:
        return Relation(join, left.columns)
    if not kind.left:
        return Relation(join, right.columns)
    return Relation(join, renamed(left, right.columns))


def _lookup(queries: Queries, relation: Relation, operator: tree.Lookup, scope: Scope) -> Relation:
    kind = word_option(operator, "kind", LOOKUPS, "leftouter")
    right = queries.relation(operator.right, scope)
    left, right, join, pairs = _combined(queries, relation, right, kind, _conditions(operator), scope)
    keys = {name for _, _, name in pairs}
    return Relation(join, renamed(left, [pair for pair in right.columns if pair[0] not in keys]))


def _conditions(operator: tree.Join | tree.Lookup) -> tuple[tree.Expression, ...]:
    if not operator.conditions:
        raise KqlSemanticError("rows are joined on something: on …", operator.span)
    return operator.conditions


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.Join: _join, tree.Lookup: _lookup}
