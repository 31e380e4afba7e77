"""What can be wrong with a query.

```
KqlError
├── KqlSyntaxError     the text is no query
├── KqlSemanticError   a name, type or argument is wrong
└── KqlUnsupported     right, perhaps, but nothing that is answered here
```

Each knows its place in the text, and shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KqlError", "KqlSemanticError", "KqlSyntaxError", "KqlUnsupported", "Span"]

_EXCERPT = 100
"""Characters of a line that an excerpt shows."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text, in characters: from `start` up to `end`."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """Return the span from here to the end of another."""
        return Span(self.start, max(self.end, other.end))


class KqlError(Exception):
    """A query that is not answered. `suggestion`: the nearest name there is, or what to write instead."""

    code = "KqlError"

    def __init__(self, message: str, span: Span, *, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.suggestion = suggestion

    def position(self, text: str) -> tuple[int, int]:
        """Return line and column of the place, both from 1."""
        before = text[: self.span.start]
        return before.count("\n") + 1, self.span.start - (before.rfind("\n") + 1) + 1

    def excerpt(self, text: str) -> str:
        """Return the line of the place, and a line below it that marks the place."""
        line, column = self.position(text)
        shown = text.split("\n")[line - 1].replace("\t", " ").rstrip("\r")
        begin = max(0, column - 1 - _EXCERPT // 2)
        width = max(1, min(self.span.end - self.span.start, len(shown) - (column - 1)))
        return f"{shown[begin : begin + _EXCERPT]}\n{' ' * (column - 1 - begin)}{'^' * min(width, _EXCERPT)}"

    def explain(self, text: str) -> str:
        """Return all of it, for people: message, place, marked excerpt, suggestion."""
        line, column = self.position(text)
        hint = f"\ndid you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.message} (line {line}, column {column})\n{self.excerpt(text)}{hint}"


class KqlSyntaxError(KqlError):
    """The text is no query."""

    code = "SyntaxError"


class KqlSemanticError(KqlError):
    """A name, a type or an argument is wrong."""

    code = "SemanticError"


class KqlUnsupported(KqlSemanticError):
    """Part of the language, but not answered here."""
