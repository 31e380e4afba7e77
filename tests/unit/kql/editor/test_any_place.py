"""Any place of any text: answers that fit there, or none; never an error, never much time, never worse syntax."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.kql.corpus import mutations, queries
from unit.kql.syntax.test_any_text import WORDS
from whatchanged.kql.editor import MAX_TEXT, complete, explain
from whatchanged.kql.editor.completion import MOST, Suggestion
from whatchanged.kql.errors import KqlError, KqlSyntaxError
from whatchanged.kql.syntax import parse
from whatchanged.kql.syntax.lexer import tokenize_broken
from whatchanged.server.query import FUNCTIONS, View
from whatchanged.server.query.questions import schema

SCHEMA = schema(View(), FUNCTIONS)
OWN = (Path(__file__).parents[3] / "e2e" / "queries.kql").read_text("utf-8").split("\n----\n")


def goes_on(text: str) -> bool:
    """Whether nothing is wrong with the text before its end."""
    tokens = tokenize_broken(text)
    try:
        parse(text)
    except KqlSyntaxError as error:
        return error.span.start >= (tokens[-1].end if tokens else 0)
    except KqlError:
        return True
    return True


def look(text: str, offset: int) -> list[Suggestion]:
    """Ask for everything at an offset, and check what must hold for every answer."""
    found = complete(text, offset, SCHEMA)
    assert len(found) <= MOST
    assert len({one.label for one in found}) == len(found)
    for one in found:
        assert 0 <= one.span.start <= max(0, min(offset, len(text))) <= one.span.end <= len(text)
        assert one.label
        assert one.insert
    explained = explain(text, offset, SCHEMA)
    if explained is not None:
        assert explained.title
        assert 0 <= explained.span.start <= offset <= explained.span.end <= len(text)
    return found


def check_syntax(text: str, found: list[Suggestion], choice: random.Random) -> None:
    """What is put in goes on with what stands before it, unless that is broken already."""
    for one in choice.sample(found, min(4, len(found))):
        before = text[: one.span.start]
        if goes_on(before):
            assert goes_on(before + one.insert), (before, one)


@pytest.mark.parametrize("text", OWN)
def test_every_offset_of_what_people_ask(text: str) -> None:
    choice = random.Random(text)
    for offset in range(len(text) + 1):
        check_syntax(text, look(text, offset), choice)
        check_syntax(text[:offset], look(text[:offset], offset), choice)  # as it is while it is written


def test_offsets_of_the_other_texts() -> None:
    choice = random.Random(0)
    for text in queries():
        for offset in choice.sample(range(len(text) + 1), min(6, len(text))):
            check_syntax(text, look(text, offset), choice)


def test_texts_with_a_token_left_out_twice_or_swapped() -> None:
    choice = random.Random(0)
    for text in mutations(OWN, 4):
        for offset in choice.sample(range(len(text) + 1), min(12, len(text))):
            check_syntax(text, look(text, offset), choice)


@given(st.text(), st.integers(-5, 50))
def test_random_text(text: str, offset: int) -> None:
    place = max(0, min(offset, len(text)))
    complete(text, offset, SCHEMA)
    explain(text, offset, SCHEMA)
    look(f"Heartbeat | where {text}", 18 + place)


@settings(deadline=None)
@given(st.lists(st.sampled_from([*WORDS, "Heartbeat", "Computer"]), max_size=20).map(" ".join), st.randoms())
def test_random_words(text: str, choice: random.Random) -> None:
    for query in (text, f"Heartbeat | {text}", f"let x = Heartbeat | where {text}"):
        look(query, choice.randrange(len(query) + 1))
        look(query, len(query))


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "[",
        "{",
        "f(",
        "| where x ",
        "let x = 1; ",
        "join (T | ",
        "'",
        "a.",
        "mv-apply a on (",
        "-",
        "a-",
        "!",
        "//",
        ";",
    ],
)
def test_long_texts_are_answered_in_bounded_time(unit: str) -> None:
    for size in (1_000, 20_000, MAX_TEXT):
        text = "Heartbeat | where " + unit * (size // len(unit) - 20)
        look(text, len(text))
    assert look("a" * (MAX_TEXT + 1), 5) == []
