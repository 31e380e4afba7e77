"""What is known of rows that come straight from a stored table: they can be looked at twice."""

from __future__ import annotations

from collections.abc import Sequence

from whatchanged.kql.plan import (
    Aggregate,
    AggregateCall,
    Apply,
    Compute,
    Filter,
    Node,
    OrderKey,
    Scalar,
    Scan,
    Subquery,
)
from whatchanged.kql.types import Type

__all__ = ["first_row", "keeps_state"]

_CHANCE = ("randCanonical(", "generateUUIDv4(")
"""Functions of the engine that give something else every time."""


def first_row(node: Aggregate, calls: Sequence[AggregateCall]) -> OrderKey | None:
    """Return the order whose first row of a group has all that is asked for; None: it must be gathered.

    It is found in stored rows, which are the same when looked at twice, and where nothing is null or NaN, which are
    not equal to themselves.
    """
    first = calls[0].first
    if first is None or any(call.first != first for call in calls):
        return None
    keys = [value for _, value in node.keys]
    plain = not any(value.nullable or value.type is Type.REAL for value in (*keys, first.value))
    return first if keys and plain and _stored(node.input) else None


def keeps_state(node: Node) -> bool:
    """Whether stored rows are those of a table that keeps a state, and can be asked for as it was."""
    match node:
        case Scan():
            return bool(node.table.as_of)
        case Filter() | Compute():
            return keeps_state(node.input)
        case _:
            return False


def _stored(node: Node) -> bool:
    match node:
        case Scan():
            return True
        case Filter():
            return _steady(node.predicate) and _stored(node.input)
        case Compute():
            return all(_steady(value) for _, value in node.definitions) and _stored(node.input)
        case _:
            return False


def _steady(value: Scalar) -> bool:
    """Whether a value of a row is the same when it is asked for again."""
    match value:
        case Apply():
            return not any(word in value.template for word in _CHANCE) and all(map(_steady, value.arguments))
        case Subquery():
            return False
        case _:
            return True
