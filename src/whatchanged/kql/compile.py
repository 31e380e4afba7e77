"""The whole way: text to a statement of the engine, with the columns that come out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whatchanged.kql.binder import bind
from whatchanged.kql.binder.scope import Relation
from whatchanged.kql.bounds import with_bounds
from whatchanged.kql.errors import KqlSemanticError, Span
from whatchanged.kql.sql import Statement, TooLarge, render
from whatchanged.kql.sql.values import EPOCH_TICKS
from whatchanged.kql.syntax import parse
from whatchanged.kql.types import Schema, Type

__all__ = ["Compiled", "compile_query", "ticks_of"]

_MOST_COLUMNS = 1000
"""Columns that are made of rows, at most; each is a row of the question for them."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query, ready to run."""

    statement: Statement
    columns: tuple[tuple[str, Type], ...]
    """Name and type of each column of the result, in order."""
    chart: str
    properties: Mapping[str, str]


def ticks_of(seconds: float) -> int:
    """Return a time (seconds since 1970) in ticks since 0001-01-01."""
    return EPOCH_TICKS + int(seconds * 10_000_000)


def compile_query(
    text: str,
    schema: Schema,
    *,
    now: int | None = None,
    parameters: Mapping[str, str] | None = None,
    until: int | None = None,
    most: int | None = None,
    ask: Callable[[Statement], Sequence[Sequence[Any]]] | None = None,
) -> Compiled:
    """Compile a query.

    `now`, `until`: ticks since 0001-01-01; tables that can be asked for as they were are as of `until`. `most`: rows of
    the answer. `ask` runs a statement and returns its rows: for what has its columns out of rows (`bag_unpack`, `pivot`
    without a schema), which is refused without it. Raises KqlSyntaxError, KqlSemanticError, KqlUnsupported.
    """
    now = ticks_of(time.time()) if now is None else now
    try:
        return _compiled(text, schema, now, parameters, until, most, ask)
    except TooLarge:
        message = "this query is too large, written out: its names stand for too much, or it has too many steps"
    except RecursionError:  # no depth of its own is right for every stack that this runs on
        message = "this query is nested too deeply"
    raise KqlSemanticError(message, Span(0, len(text)))


def _compiled(
    text: str,
    schema: Schema,
    now: int,
    parameters: Mapping[str, str] | None,
    until: int | None,
    most: int | None,
    ask: Callable[[Statement], Sequence[Sequence[Any]]] | None,
) -> Compiled:
    def answer(relation: Relation) -> Sequence[Sequence[Any]]:
        assert ask is not None
        rows = ask(render(with_bounds(relation.node, until), relation.columns, relation.order, _MOST_COLUMNS + 1))
        if len(rows) > _MOST_COLUMNS:
            raise KqlSemanticError(f"more than {_MOST_COLUMNS} columns would come out", Span(0, len(text)))
        return rows

    bound = bind(parse(text), schema, now=now, parameters=parameters, ask=answer if ask is not None else None)
    relation = bound.relation
    columns = tuple((name, column.type) for name, column in relation.columns)
    statement = render(with_bounds(relation.node, until), relation.columns, relation.order, most)
    return Compiled(statement, columns, bound.chart, bound.properties)
