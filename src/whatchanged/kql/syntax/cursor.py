"""Where a parser stands in its tokens, and what it says when they do not go on as they should."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final, NoReturn, TypeVar

from whatchanged.kql.errors import KqlSyntaxError, Span
from whatchanged.kql.syntax.lexer import END, Token, tokenize

__all__ = ["LIST_ENDS", "MAX_DEPTH", "Cursor", "nearest"]

MAX_DEPTH: Final = 200
"""How deep parts may lie in each other, counted so that no part needs more than three frames of Python's stack: a pair
of brackets with an expression in it counts two or three."""

LIST_ENDS: Final = frozenset([")", "]", "}", "|", ";", END])
"""What ends a list that may be empty."""

_Item = TypeVar("_Item")
_SHOWN: Final = 40
"""Characters of a token that a message shows."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like another, or an empty string."""
    found = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return found[0] if found else ""


class Cursor:
    """The next token, and the ways to go past it. Raises KqlSyntaxError where a text is no query."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.tokens.extend([self.tokens[-1]] * 3)  # so that looking ahead needs no care
        self.index = 0
        self.token = self.tokens[0]
        self.kind = self.token.kind
        self.end = 0
        """Where the last token that was gone past ends."""
        self.depth = 0
        self.links = 0
        """How many parts were added on the left of others, each of which makes the tree one node higher."""

    def advance(self) -> Token:
        """Go past the next token, which is not the end, and return it."""
        token = self.token
        self.end = token.end
        self.index += 1
        self.token = self.tokens[self.index]
        self.kind = self.token.kind
        return token

    def peek(self, distance: int = 1) -> str:
        """Return the kind of the token that many places behind the next one."""
        return self.tokens[self.index + distance].kind

    def accept(self, kind: str) -> bool:
        """Go past the next token if it is of a kind."""
        if self.kind != kind:
            return False
        self.advance()
        return True

    def expect(self, kind: str, instead: str = "") -> Token:
        """Go past the next token, which must be of a kind; `instead` says in words what else would do."""
        if self.kind != kind:
            self.fail(instead or kind)
        return self.advance()

    def since(self, start: int) -> Span:
        """Return the place from a start up to what was gone past last."""
        return Span(start, max(start, self.end))

    def adjacent(self, distance: int = 0) -> bool:
        """Tell whether no space is before a token."""
        index = self.index + distance
        return index > 0 and self.tokens[index - 1].end == self.tokens[index].start

    def enter(self) -> None:
        """Go one level down.

        Raises: KqlSyntaxError when that is too deep.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise KqlSyntaxError("The query is nested too deeply", self.token.span)

    def leave(self) -> None:
        """Go up again."""
        self.depth -= 1

    def fail(self, expected: str, *, token: Token | None = None, suggestion: str = "") -> NoReturn:
        """Say that the next token, or another, is not what could stand here.

        Raises: KqlSyntaxError.
        """
        token = token or self.token
        if token.kind == END:
            message = f"Query could not be parsed at its end: expected {expected}"
        else:
            text = token.text if len(token.text) <= _SHOWN else f"{token.text[:_SHOWN]}…"
            message = f"Query could not be parsed at '{text}': expected {expected}"
        raise KqlSyntaxError(message, token.span, suggestion=suggestion)

    def comma_list(self, item: Callable[[], _Item]) -> tuple[_Item, ...]:
        """Return one or more items with commas between them."""
        items = [item()]
        while self.kind == ",":
            self.advance()
            items.append(item())
        return tuple(items)

    def open_list(self, item: Callable[[], _Item], close: str) -> tuple[_Item, ...]:
        """Return items up to a closing bracket, which is gone past; a comma may be left over at the end."""
        items: list[_Item] = []
        while self.kind != close:
            items.append(item())
            if not self.accept(","):
                break
        self.expect(close, f", or {close}")
        return tuple(items)

    def skip_brackets(self) -> None:
        """Go past a bracket with all that is in it.

        Raises: KqlSyntaxError when brackets do not match.
        """
        waiting: list[str] = []
        while True:
            if self.kind in _CLOSING:
                waiting.append(_CLOSING[self.kind])
            elif waiting and self.kind == waiting[-1]:
                waiting.pop()
            elif self.kind in (END, ")", "]", "}"):
                self.fail(waiting[-1] if waiting else "an opening bracket")
            self.advance()
            if not waiting:
                return


_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
