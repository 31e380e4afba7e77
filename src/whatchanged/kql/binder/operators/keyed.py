"""The operator parse-kv: values of texts by their keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.operators.options import flag_option, option, text_option
from whatchanged.kql.binder.operators.parsing import typed
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.plan import Apply, Column, Compute, Constant, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]

_WORD = r"\p{L}\p{N}"


@dataclass(frozen=True, slots=True)
class _Marks:
    """What tells keys and values apart, as regular expressions; empty: not given."""

    pair: str
    key: str
    open: str
    close: str
    escape: str

    def quoted(self) -> str:
        """Return a quoted text, the inside of it a group; a group that is never there without quotes."""
        if not self.open:
            return r"\z\A()"
        inside = f"(?:{self.escape}.|[^{self.close}{self.escape}])*" if self.escape else f"[^{self.close}]*"
        return f"{self.open}({inside}){self.close}"


def _marks(operator: tree.ParseKv) -> _Marks:
    for key in ("quote", "escape"):
        if sum(o.names[0].name == key for o in operator.options) > 1:
            raise KqlUnsupported(f"one {key} is taken here", operator.span)
    quote = text_option(operator, "quote")
    escape = text_option(operator, "escape")
    pair = text_option(operator, "pair_delimiter")
    for key, text, most in (("quote", quote, 2), ("escape", escape, 1), ("pair_delimiter", pair, 1)):
        if len(text) > most:
            value = option(operator, key)
            raise KqlUnsupported(
                f"{key} has at most {most} characters here", value.span if value is not None else operator.span
            )
    kv = text_option(operator, "kv_delimiter")
    if bool(pair) != bool(kv):
        raise KqlSemanticError("pair_delimiter and kv_delimiter are given both, or none", operator.span)
    return _Marks(*map(re.escape, (pair, kv, quote[:1], quote[-1:], escape)))


def _pairs(text: Scalar, expression: str, names: tuple[int, ...], values: tuple[int, ...]) -> Scalar:
    """Return an SQL array of pairs, key and value: groups of a regular expression, those that are there."""
    name = "concat(" + ", ".join(f"g[{number}]" for number in names) + ", '')"
    value = "concat(" + ", ".join(f"g[{number}]" for number in values) + ", '')"
    sql = f"arrayMap(g -> tuple(trimBoth({name}), trimBoth({value})), extractAllGroupsVertical({{0}}, {{1}}))"
    return Apply(sql, (text, Constant(expression, Type.STRING)), Type.DYNAMIC, nullable=False)


def _by_key(pairs: Column, key: str) -> Scalar:
    sql = "tupleElement(arrayFirst(p -> p.1 = {1}, {0}), 2)"
    return Apply(sql, (pairs, Constant(key, Type.STRING)), Type.STRING, nullable=False)


def _single(text: Scalar, expression: str, *groups: int) -> Scalar:
    """Return the groups of the first place where a regular expression matches."""
    parts = ", ".join(f"g[{number}]" for number in groups)
    sql = f"trimBoth(arrayMap(g -> concat({parts}, ''), [extractGroups({{0}}, {{1}})])[1])"
    return Apply(sql, (text, Constant(expression, Type.STRING)), Type.STRING, nullable=False)


def _values(text: Scalar, operator: tree.ParseKv, found: Column) -> tuple[Scalar | None, list[Scalar]]:
    """Return what `found` stands for, if anything, and the text of each key."""
    keys = [column.name for column in operator.columns]
    expression = text_option(operator, "regex")
    if expression:
        return _pairs(text, f"{expression}", (1,), (2,)), [_by_key(found, key) for key in keys]
    marks = _marks(operator)
    greedy = flag_option(operator, "greedy")
    if not marks.pair:
        return None, [_undelimited(text, key, marks) for key in keys]
    if greedy:
        if marks.open:
            raise KqlUnsupported("greedy goes without quotes here", operator.span)
        return None, [_greedy(text, key, marks) for key in keys]
    plain = f"([^{marks.pair}]*?)"
    expression = (
        rf"(?s)\s*(?:{marks.quoted()}|{plain})\s*{marks.key}\s*"
        rf"(?:{marks.quoted()}|([^{marks.pair}]*))\s*(?:{marks.pair}|$)"
    )
    return _pairs(text, expression, (1, 2), (3, 4)), [_by_key(found, key) for key in keys]


def _undelimited(text: Scalar, key: str, marks: _Marks) -> Scalar:
    expression = rf"(?s)(?:^|[^{_WORD}]){re.escape(key)}[^{_WORD}]+?(?:{marks.quoted()}|([{_WORD}]+))"
    return _single(text, expression, 1, 2)


def _greedy(text: Scalar, key: str, marks: _Marks) -> Scalar:
    expression = (
        rf"(?s)(?:^|{marks.pair})\s*{re.escape(key)}\s*{marks.key}(.*?)"
        rf"(?:{marks.pair}[^{marks.pair}{marks.key}]+{marks.key}|$)"
    )
    return _single(text, expression, 1)


def _parse_kv(queries: Queries, relation: Relation, operator: tree.ParseKv, scope: Scope) -> Relation:
    binder = Expressions(queries, scope, relation.named())
    text = text_of(binder.bind(operator.expression))
    found = Column("", Type.DYNAMIC, nullable=False)
    pairs, values = _values(text, operator, found)
    escape = text_option(operator, "escape")
    node: Any = relation.node if pairs is None else Compute(relation.node, ((found, pairs),))
    columns = dict(relation.columns)
    definitions: list[tuple[Column, Scalar]] = []
    for declared, plain in zip(operator.columns, values, strict=True):
        value = plain
        if escape:
            pattern = Constant(f"{re.escape(escape)}(.)", Type.STRING)
            value = Apply("replaceRegexpAll({0}, {1}, '\\\\1')", (plain, pattern), Type.STRING, nullable=False)
        value = typed(value, binder.type_named(declared.type, declared.span))
        column = Column(declared.name, value.type, value.nullable)
        definitions.append((column, value))
        columns[declared.name] = column
    return Relation(Compute(node, tuple(definitions)), tuple(columns.items()), relation.order, relation.serialized)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.ParseKv: _parse_kv}
