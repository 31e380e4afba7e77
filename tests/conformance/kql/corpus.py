"""Texts to compare parsers on: queries of our own, those in the Markdown files here, and mutations of both."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax.lexer import Token, tokenize

__all__ = ["mutations", "queries"]

_FOLDER = Path(__file__).parent
_BLOCK = re.compile(r"^```(?:kql|kusto)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def queries() -> list[str]:
    """Return all texts: a line of queries.txt each, and every ```kql block of the manual's pages."""
    own = (_FOLDER / "queries.txt").read_text("utf-8").splitlines()
    pages = sorted(_FOLDER.rglob("*.md"))
    blocks = [block.strip("\n") for page in pages for block in _BLOCK.findall(page.read_text("utf-8"))]
    return list(dict.fromkeys([*own, *blocks]))


def mutations(texts: Sequence[str], each: int) -> list[str]:
    """Return texts with a token left out, written twice, or swapped with the next: the same ones every time."""
    choice = random.Random(0)
    return [mutant for text in texts for mutant in _mutants(text, each, choice)]


def _mutants(text: str, each: int, choice: random.Random) -> Iterator[str]:
    try:
        tokens = tokenize(text)[:-1]
    except KqlSyntaxError:
        return
    for _ in range(each if len(tokens) > 1 else 0):
        place = choice.randrange(len(tokens) - 1)
        yield _mutant(text, tokens[place], tokens[place + 1], choice.choice(["leave out", "twice", "swap"]))


def _mutant(text: str, first: Token, second: Token, kind: str) -> str:
    if kind == "leave out":
        return text[: first.start] + text[first.end :]
    if kind == "twice":
        return f"{text[: first.end]} {first.text}{text[first.end :]}"
    return text[: first.start] + second.text + text[first.end : second.start] + first.text + text[second.end :]
