"""Tables that can be asked for as they were: an upper bound of their time, found in the filters above them.

And for a part of them: the one value that the filters want of a field by which they are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from whatchanged.kql.plan import (
    NULL_IS_FALSE,
    Apply,
    Column,
    Constant,
    Filter,
    Join,
    Node,
    Scalar,
    Scan,
    Subquery,
    UnionAll,
    children,
)
from whatchanged.kql.types import Type

__all__ = ["with_bounds"]

_TIME = "TimeGenerated"
_BOTH = "({0} AND {1})"
_UPPER = {"({0} <= {1})": 0, "({0} < {1})": 1}
"""Template of a comparison → how many ticks before the constant the last moment lies."""
_LOWER = {"({0} >= {1})": 0, "({0} > {1})": 1}
"""The same with the constant on the left."""


def with_bounds(node: Node, until: int | None = None) -> Node:
    """Return a plan whose scans know up to when they are asked for; `until`: for all of them, in ticks."""
    if isinstance(node, Filter):
        return dataclasses.replace(
            node, input=_filtered(node.input, [node.predicate], until), predicate=_within(node.predicate, until)
        )
    if isinstance(node, Scan):
        return _bound(node, (), until)
    if isinstance(node, Join):
        return dataclasses.replace(node, left=with_bounds(node.left, until), right=with_bounds(node.right, until))
    if isinstance(node, UnionAll):
        return dataclasses.replace(
            node, inputs=tuple((with_bounds(part, until), values) for part, values in node.inputs)
        )
    if children(node):
        one: Any = node  # every other relation has one input
        bounded: Node = dataclasses.replace(one, input=with_bounds(one.input, until))
        return bounded
    return node


def _filtered(node: Node, predicates: list[Scalar], until: int | None) -> Node:
    if isinstance(node, Filter):
        return dataclasses.replace(node, input=_filtered(node.input, [*predicates, node.predicate], until))
    if isinstance(node, Scan):
        return _bound(node, predicates, until)
    return with_bounds(node, until)


def _within(value: Scalar, until: int | None) -> Scalar:
    """Return a value whose subqueries have their bounds, too."""
    if isinstance(value, Subquery):
        return dataclasses.replace(value, node=with_bounds(value.node, until))
    if isinstance(value, Apply) and value.asks:
        return dataclasses.replace(value, arguments=tuple(_within(part, until) for part in value.arguments))
    return value


def _bound(scan: Scan, predicates: list[Scalar] | tuple[()], until: int | None) -> Scan:
    if not scan.table.as_of:
        return scan
    time = next((column for column in scan.columns if column.name == _TIME), None)
    found = [ticks for predicate in predicates for ticks in _uppers(predicate, time)]
    if until is not None:
        found.append(until)
    by = {column: column.name for column in scan.columns if column.name in scan.table.parts}
    return dataclasses.replace(
        scan,
        until=Constant(min(found), Type.DATETIME) if found else None,
        parts=tuple({name: value for predicate in predicates for name, value in _equals(predicate, by)}.items()),
    )


def _equals(predicate: Scalar, by: Mapping[Column, str]) -> Iterator[tuple[str, Constant]]:
    """Yield what a condition wants of columns that tell parts."""
    if not isinstance(predicate, Apply) or len(predicate.arguments) != 2:
        return
    left, right = predicate.arguments
    if predicate.template == _BOTH:
        yield from _equals(left, by)
        yield from _equals(right, by)
    elif predicate.template == "({0} = {1})":
        if isinstance(left, Constant):
            left, right = right, left
        if isinstance(left, Column) and left in by and isinstance(right, Constant):
            yield by[left], right


def _uppers(predicate: Scalar, time: Column | None) -> Iterator[int]:
    """Yield the last moments that a condition lets through."""
    if isinstance(predicate, Apply) and predicate.template == NULL_IS_FALSE:
        yield from _uppers(predicate.arguments[0], time)
        return
    if not isinstance(predicate, Apply) or len(predicate.arguments) != 2:
        return
    left, right = predicate.arguments
    if predicate.template == _BOTH:
        yield from _uppers(left, time)
        yield from _uppers(right, time)
    elif predicate.template in _UPPER and left is time and isinstance(right, Constant):
        if isinstance(right.value, int):
            yield right.value - _UPPER[predicate.template]
    elif predicate.template in _LOWER and right is time and isinstance(left, Constant) and isinstance(left.value, int):
        yield left.value - _LOWER[predicate.template]
