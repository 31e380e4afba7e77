"""The plugins ipv4_lookup and ipv6_lookup: rows of another table whose network an address is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.operators.columns import only_columns
from whatchanged.kql.binder.operators.joins import fresh, renamed
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.addresses import network, networks_around
from whatchanged.kql.plan import Apply, Column, Compute, Constant, Expand, Join, Scalar, UnionAll
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["address_lookup"]


def address_lookup(version: int) -> Callable[[Queries, Relation, tree.Evaluate, Scope], Relation]:
    """Return the plugin for addresses of a version."""

    def bind(queries: Queries, relation: Relation, operator: tree.Evaluate, scope: Scope) -> Relation:
        call = operator.plugin
        positional = [a for a in call.arguments if not isinstance(a, tree.Named)]
        if len(positional) < 3:
            raise KqlSemanticError(
                f"{call.name}() takes a table, an address, and the column of the networks", call.span
            )
        table = fresh(queries.relation(positional[0], scope))
        address, ranges = _text(relation, positional[1]), _text(table, positional[2])
        extra = [part for part in positional[3:] if isinstance(part, tree.Name)]
        keys = [(mine, its) for part in extra for mine, its in [(_key(relation, part), _key(table, part))]]
        matched = _matched(relation, table, address, ranges, keys, version)
        left_out = {part.name for part in extra}
        columns = renamed(relation, [pair for pair in table.columns if pair[0] not in left_out])
        if not _unmatched(queries, call, scope):
            return Relation(matched, columns)
        return _with_the_others(relation, Relation(matched, columns), [address, *(mine for mine, _ in keys)])

    return bind


def _text(relation: Relation, part: tree.Expression) -> Column:
    column = _key(relation, part)
    if column.type is not Type.STRING:
        raise KqlSemanticError(f"addresses are texts, not of type {column.type.value}", part.span)
    return column


def _key(relation: Relation, part: tree.Expression) -> Column:
    if not isinstance(part, tree.Name):
        raise KqlSemanticError("a column is expected here", part.span)
    return only_columns(relation, [part])[0][1]


def _unmatched(queries: Queries, call: tree.Call, scope: Scope) -> bool:
    """Return whether rows without a network stay: said by name, or in the last place."""
    said = [a.value for a in call.arguments if isinstance(a, tree.Named) and a.names[0].name == "return_unmatched"]
    said += [part for part in call.arguments[3:] if not isinstance(part, tree.Named | tree.Name)]
    named = sum(isinstance(a, tree.Named) for a in call.arguments)
    if len(said) > 1 or named > len(said):
        raise KqlSemanticError(f"{call.name}() takes columns, and return_unmatched", call.span)
    return bool(said) and bool(Expressions(queries, scope, {}).constant(said[0], "return_unmatched").value)


def _matched(
    left: Relation, right: Relation, address: Column, ranges: Column, keys: list[tuple[Column, Column]], version: int
) -> Join:
    """Return the rows of both, where a network is one of those around the address: those with each length of prefix."""
    around, its = Column("", Type.STRING, nullable=False), Column("", Type.STRING, nullable=False)
    networks = Apply(networks_around(version), (address,), Type.STRING, nullable=False)
    left_node = Expand(left.node, ((around, networks),), Column("", Type.LONG, nullable=False))
    right_node = Compute(right.node, ((its, Apply(network(version), (ranges,), Type.STRING, nullable=False)),))
    on: tuple[tuple[Scalar, Scalar], ...] = ((around, its), *keys)
    return Join("inner", left_node, right_node, on)


def _with_the_others(left: Relation, matched: Relation, keys: list[Column]) -> Relation:
    """Return matched rows, and the rows of the left side whose keys are in none of them."""
    mine, found = fresh(left), fresh(Relation(matched.node, tuple(("", key) for key in keys)))
    names = [column for _, column in left.columns]
    on = tuple(
        (mine.columns[names.index(key)][1], column) for key, (_, column) in zip(keys, found.columns, strict=True)
    )
    rest: list[Scalar] = [column for _, column in mine.columns]
    for _, column in matched.columns[len(rest) :]:
        rest.append(Constant("" if column.type is Type.STRING else None, column.type))
    columns = tuple(Column(name, column.type, column.type is not Type.STRING) for name, column in matched.columns)
    inputs = (
        (matched.node, tuple(column for _, column in matched.columns)),
        (Join("anti", mine.node, found.node, on), tuple(rest)),
    )
    return Relation(UnionAll(inputs, columns), tuple((column.name, column) for column in columns))
