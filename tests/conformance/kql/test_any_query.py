"""Thousands of queries that are nearly right: each is refused with its place, or becomes one SELECT that is read."""

from __future__ import annotations

import random

import pytest

from conformance.kql.corpus import mutations, queries
from whatchanged.errors import OperationError
from whatchanged.kql.compile import Compiled, compile_query
from whatchanged.kql.errors import KqlError
from whatchanged.kql.syntax.lexer import Token, tokenize
from whatchanged.server.query import FUNCTIONS, View
from whatchanged.server.query.questions import _restrictions, schema
from whatchanged.server.storage import Storage

VIEW = View(machines=("6f2d2b6c-0000-4000-8000-000000000000",), window=(0, 10**18))
SCHEMA = schema(VIEW, FUNCTIONS)
NOW = 638_000_000_000_000_000
UNREAD = "Code: 62."
"""SYNTAX_ERROR of the engine."""


def crossed(texts: list[str], count: int) -> list[str]:
    """Return texts in which tokens of other texts stand in place of their own: the same ones every time."""
    choice = random.Random(1)
    known = []
    for text in texts:
        try:
            known.append((text, tokenize(text)[:-1]))
        except KqlError:
            continue
    words = [token.text for _, tokens in known for token in tokens]
    found = []
    for _ in range(count):
        text, tokens = choice.choice(known)
        for token in sorted(choice.sample(tokens, min(len(tokens), choice.randint(1, 3))), key=_start, reverse=True):
            text = text[: token.start] + choice.choice(words) + text[token.end :]
        found.append(text)
    return found


def _start(token: Token) -> int:
    return token.start


def compiled(text: str) -> Compiled | None:
    """Return what a text became; None if it was refused."""
    try:
        return compile_query(text, SCHEMA, now=NOW, most=10)
    except KqlError as error:
        refused = error
    assert 0 <= refused.span.start <= refused.span.end <= len(text), text
    assert refused.explain(text)
    return None


@pytest.mark.parametrize("part", range(4))
def test_what_is_nearly_a_query(part: int, storage: Storage) -> None:
    own = queries()
    once = mutations(own, 4)
    texts = [*own, *once, *mutations(once[::4], 2), *crossed(own, 4_000)][part::4]
    made, unread = [], []
    for text in texts:
        try:
            found = compiled(text)
        except Exception as error:
            error.add_note(f"in: {text}")
            raise
        if found is not None:
            made.append((text, found))
    assert len(made) > len(texts) // 20
    for text, found in made:
        statement = found.statement
        try:
            sql = f"SELECT explain FROM (EXPLAIN AST {statement.sql})"  # noqa: S608 - ours
            view = {k: v for k, v in _restrictions(VIEW).items() if f"{{{k}:" in sql}
            lines = storage.query(sql, {**statement.parameters, **view})
        except OperationError as error:
            if UNREAD in error.message:
                unread.append((text, statement.sql, error.message))
            continue
        selects = [line["explain"] for line in lines if not line["explain"].startswith(" ")]
        assert selects == ["SelectWithUnionQuery (children 1)"], (text, statement.sql)
    assert unread == []
