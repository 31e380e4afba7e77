"""What names mean at a place in the query."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whatchanged.kql.plan import Column, Node, OrderKey, Scalar
from whatchanged.kql.syntax import tree

if TYPE_CHECKING:
    from whatchanged.kql.types import Schema

__all__ = ["BoundTable", "FunctionValue", "Relation", "Scope", "TabularValue", "nearest"]


_LONGEST = 128
"""Characters of a name that is compared with others: it takes the square of them."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows, what their columns are called, and in which order they come."""

    node: Node
    columns: tuple[tuple[str, Column], ...]
    order: tuple[OrderKey, ...] = ()
    serialized: bool = False
    """Whether the order means something: then `prev`, `next` and their like may be asked."""

    def named(self) -> dict[str, Column]:
        """Return name → column."""
        return dict(self.columns)


@dataclass(frozen=True, slots=True)
class TabularValue:
    """A table that a variable stands for: bound anew wherever it is used, so that two uses never share a column."""

    expression: tree.Expression
    scope: Scope


@dataclass(frozen=True, slots=True)
class BoundTable:
    """A table that is there already: an argument of a function, or the rows that `as` names."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class FunctionValue:
    """A function of the query's own."""

    declaration: tree.FunctionDeclaration
    scope: Scope


Value = Scalar | TabularValue | BoundTable | FunctionValue


@dataclass(slots=True)
class Scope:
    """Names that are known: those of here, then those around."""

    schema: Schema
    variables: dict[str, Value] = field(default_factory=dict)
    outer: Scope | None = None
    depth: int = 0

    def inner(self, variables: Mapping[str, Value] | None = None) -> Scope:
        """Return a scope within this one."""
        return Scope(self.schema, dict(variables or {}), self, self.depth + 1)

    def find(self, name: str) -> Value | None:
        """Return what a variable stands for."""
        at: Scope | None = self
        while at is not None:
            if name in at.variables:
                return at.variables[name]
            at = at.outer
        return None

    def names(self) -> list[str]:
        """Return all variables and tables."""
        found: list[str] = list(self.schema.tables)
        at: Scope | None = self
        while at is not None:
            found += at.variables
            at = at.outer
        return found


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`; empty if none is, or it is longer than what people mistype."""
    if len(name) > _LONGEST:
        return ""
    known = [candidate for candidate in known if len(candidate) <= _LONGEST]
    for candidate in known:
        if candidate.lower() == name.lower():
            return candidate
    return next(iter(difflib.get_close_matches(name, known, 1, 0.6)), "")
