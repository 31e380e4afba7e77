"""Operators that take texts apart: parse and parse-where. A pattern becomes one regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import already_declared
from whatchanged.kql.binder.operators.options import option, text_option, word_option
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.conversion import explicit
from whatchanged.kql.plan import Apply, Column, Compute, Constant, Filter, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS", "typed"]

_DIGITS = r"[+-]?\d+"
_FORMS = {
    Type.INT: _DIGITS,
    Type.LONG: _DIGITS,
    Type.REAL: r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?",
    Type.DECIMAL: r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?",
    Type.BOOL: r"(?i:true|false)|[01]",
    Type.GUID: r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
"""How values of a type are written, where that tells where they end."""
_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\((\?P?<\w+>|(?!\?))", re.DOTALL)
_FLAGS = frozenset("imsU")


def _groups(expression: str) -> int:
    """Return how many groups of a regular expression capture."""
    return sum(match.group(0).startswith("(") for match in _GROUP.finditer(expression))


@dataclass(slots=True)
class _Pattern:
    """The regular expression of a pattern, and which of its groups is which column."""

    kind: str
    sql: str = ""
    groups: int = 0
    columns: list[tuple[str, Type, int]] = field(default_factory=list)

    def literal(self, text: str) -> None:
        if self.kind == "regex":
            self.sql += f"(?:{text})"
            self.groups += _groups(text)
        else:
            self.sql += re.escape(text)

    def column(self, name: str, type_: Type) -> None:
        self.groups += 1
        self.columns.append((name, type_, self.groups))
        form = _FORMS.get(type_)
        # In a regular expression texts are taken greedily (the manual's example of the flag U).
        anything = ".*" if self.kind == "regex" else ".*?"
        if form is None:
            self.sql += f"({anything})"
        elif self.kind == "relaxed":
            self.sql += f"({form}|{anything})"
        else:
            self.sql += f"({form})"


def _pattern(binder: Expressions, operator: tree.Parse, kind: str) -> _Pattern:
    pattern = _Pattern(kind)
    previous: Any = None
    for part in operator.pattern:
        match part:
            case tree.Star():
                last = pattern.columns[-1][1] if isinstance(previous, tree.Name | tree.ColumnDeclaration) else None
                if last is not None and last not in _FORMS:
                    raise KqlSemanticError(f"behind a column of type {last.value}, * cannot tell its end", part.span)
                pattern.sql += ".*?"
            case tree.Literal():
                pattern.literal(str(part.value))
            case tree.Name():
                pattern.column(part.name, Type.STRING)
            case tree.ColumnDeclaration():
                pattern.column(part.name, binder.type_named(part.type, part.span))
        previous = part
    names = [name for name, _, _ in pattern.columns]
    for name in names:
        if names.count(name) > 1:
            raise already_declared(name, operator.span)
    return pattern


def _flags(operator: tree.Parse, kind: str) -> str:
    flags = text_option(operator, "flags")
    given = option(operator, "flags")
    if flags and given is not None and (kind != "regex" or not set(flags) <= _FLAGS):
        raise KqlUnsupported("flags stand with kind=regex, and are i, m, s or U", given.span)
    if kind == "regex":
        return f"(?{flags})" if flags else ""
    return "(?s)"


def typed(text: Scalar, type_: Type) -> Scalar:
    """Return a part of a text as a value of a type; null if it is none."""
    if type_ is not Type.STRING:
        text = Apply("trim(BOTH ' \\n\\r\\t' FROM {0})", (text,), Type.STRING, nullable=False)
    return explicit(text, type_) or Constant(None, type_)


def _parse(queries: Queries, relation: Relation, operator: tree.Parse, scope: Scope) -> Relation:
    kind = word_option(operator, "kind", {k: k for k in ("simple", "regex", "relaxed")}, "simple")
    binder = Expressions(queries, scope, relation.named())
    text = text_of(binder.bind(operator.expression))
    pattern = _pattern(binder, operator, kind)
    # Without a group of its own, the whole is one: the engine wants one.
    sql = f"{_flags(operator, kind)}^{pattern.sql}$" if pattern.groups else f"{_flags(operator, kind)}^({pattern.sql})$"
    found = Column("", Type.DYNAMIC, nullable=False)
    groups = Apply("extractGroups({0}, {1})", (text, Constant(sql, Type.STRING)), Type.DYNAMIC, nullable=False)
    parts = [
        (name, Column(name, type_, type_ is not Type.STRING), typed(_part(found, number), type_))
        for name, type_, number in pattern.columns
    ]
    strict = () if kind == "relaxed" else tuple(value for _, column, value in parts if column.nullable)
    tests = "".join(f" AND isNotNull({{{number}}})" for number in range(1, len(strict) + 1))
    matched = Column("", Type.BOOL, nullable=False)
    ok = Apply(f"(notEmpty({{0}}){tests})", (found, *strict), Type.BOOL, nullable=False)
    definitions: list[tuple[Column, Scalar]] = [(found, groups), (matched, ok)]
    for _, column, value in parts:
        otherwise = "NULL" if column.nullable else "''"
        definitions.append(
            (column, Apply(f"if({{0}}, {{1}}, {otherwise})", (matched, value), column.type, column.nullable))
        )
    node: Any = relation.node
    for definition in definitions:
        node = Compute(node, (definition,))
    if operator.where:
        node = Filter(node, matched)
    columns = dict(relation.columns)
    columns.update((name, column) for name, column, _ in parts)
    return Relation(node, tuple(columns.items()), relation.order, relation.serialized)


def _part(groups: Column, number: int) -> Scalar:
    return Apply("{0}[{1}]", (groups, Constant(number, Type.LONG)), Type.STRING, nullable=False)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.Parse: _parse}
