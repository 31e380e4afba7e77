"""Where a place in a text is: in which pipeline, behind which operator, in which brackets. Looks at tokens only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from whatchanged.kql.syntax.keywords import DASHED, KEYWORDS
from whatchanged.kql.syntax.lexer import BROKEN, GUID, IDENTIFIER, LITERALS, Token, tokenize_broken

__all__ = ["MAX_TEXT", "Frame", "Place", "place_at"]

MAX_TEXT: Final = 50_000
"""Characters of a text that is looked at."""

_DEEPEST: Final = 100
"""Brackets in each other, at most; the language itself has not many more."""
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_TABLES_WITHIN: Final = frozenset(
    ["join", "lookup", "union", "toscalar", "materialize", "totable", "in", "!in", "in~", "!in~", "has_any", "has_all"]
)
"""Words that have a query in the brackets behind them."""
_SUBQUERIES: Final = frozenset(["mv-apply", "mvapply", "partition", "fork", "facet"])
_ENDS: Final = LITERALS | {IDENTIFIER, GUID, ")", "]", "*"}
_WORD_REST: Final = re.compile(r"[A-Za-z0-9_]*")
_DASHED_REST: Final = re.compile(r"[A-Za-z0-9_]*(?:-[A-Za-z]+)*")


@dataclass(slots=True)
class Frame:
    """A bracket that is open, or the text as a whole; what is in it may be a pipeline."""

    bracket: str
    """`(`, `[`, `{`; empty: the text as a whole."""
    head: str
    """The word before it."""
    opened: int
    """Number of the token that opened it; -1: the text as a whole."""
    start: int
    """Number of the first token of the statement that stands in it now."""
    pipes: list[int] = field(default_factory=list)
    statements: list[tuple[int, int]] = field(default_factory=list)
    """First and last token (exclusive) of the statements before."""
    operator: str = ""
    """The tabular operator, in the frame around, that the bracket belongs to."""

    @property
    def is_subquery(self) -> bool:
        """Whether operators stand in it, which go on from the rows of the pipeline around."""
        if self.bracket != "(" or self.operator not in _SUBQUERIES:
            return False
        return self.operator == "fork" or self.head in ("on", "with") or self.operator == "partition"

    @property
    def is_query(self) -> bool:
        """Whether a query stands in it, or may."""
        return (
            self.bracket in ("", "{")
            or bool(self.pipes)
            or self.is_subquery
            or (self.bracket == "(" and (self.head in _TABLES_WITHIN or self.operator == "union"))
            or (self.bracket == "(" and (self.head in (";", "") or (self.head == "=" and self.operator == "let")))
        )


@dataclass(slots=True)
class Place:
    """A place, and what is before it."""

    text: str
    tokens: list[Token]
    """Those before the word that stands at the place."""
    frames: list[Frame]
    start: int
    """Where the word begins; the place itself if there is none."""
    end: int
    """Where the word ends, also the part of it behind the place."""
    word: str
    """The part of the word before the place."""
    inside: bool = False
    """Whether the place is within a string, a number, a comment: nothing of the language stands there."""

    @property
    def level(self) -> int:
        """The number of the innermost frame that is a query."""
        return max(number for number, frame in enumerate(self.frames) if frame.is_query)

    @property
    def frame(self) -> Frame:
        """The innermost frame that is a query."""
        return self.frames[self.level]

    @property
    def inner(self) -> Frame:
        """The innermost frame of any sort."""
        return self.frames[-1]

    def segment(self, level: int | None = None) -> list[Token]:
        """Return the tokens from a frame's last pipe to what is open in it; of the query's frame, to the place."""
        number = self.level if level is None else level
        frame = self.frames[number]
        first = frame.pipes[-1] + 1 if frame.pipes else frame.start
        last = self.frames[number + 1].opened + 1 if level is not None else len(self.tokens)
        return self.tokens[first:last]

    @property
    def previous(self) -> Token | None:
        """The token before the word; None at the begin."""
        return self.tokens[-1] if self.tokens else None

    @property
    def after_operand(self) -> bool:
        """Whether the token before ends an operand."""
        return bool(self.tokens) and self.tokens[-1].kind in _ENDS

    def slice(self, first: int, last: int) -> str:
        """Return the text from one token up to another (exclusive)."""
        return self.text[self.tokens[first].start : self.tokens[last - 1].end] if first < last else ""


def place_at(text: str, offset: int) -> Place | None:
    """Return the place of an offset; None if the text is too long, or too deep."""
    if len(text) > MAX_TEXT:
        return None
    offset = max(0, min(offset, len(text)))
    tokens = tokenize_broken(text[:offset])
    gap = text[tokens[-1].end if tokens else 0 : offset]
    inside = "//" in re.split(r"[\r\n\u2028\u2029]", gap)[-1]
    start = offset
    if tokens and tokens[-1].end == offset:
        last = tokens[-1]
        inside = inside or last.kind in LITERALS or (last.kind == BROKEN and last.text != "!")
        if _is_word(last) or last.text == "!":
            start = tokens.pop().start
            if tokens and tokens[-1].text == "!" and tokens[-1].end == start:
                start = tokens.pop().start
    if (dashed := _dashed(tokens, text, start, offset)) is not None:
        del tokens[dashed:]
        start = tokens[-1].end + len(text[tokens[-1].end :]) - len(text[tokens[-1].end :].lstrip()) if tokens else 0
    frames = _frames(tokens)
    if len(frames) > _DEEPEST:
        return None
    place = Place(text, tokens, frames, start, offset, text[start:offset], inside)
    rest = _DASHED_REST if place.frame.pipes or place.frame.is_subquery else _WORD_REST
    if rest is _DASHED_REST and place.segment():
        rest = _WORD_REST
    match = rest.match(text, offset)
    place.end = match.end() if match else offset
    if place.word[:1] == "!" and text[place.end : place.end + 1] == "~":
        place.end += 1
    return place


def _is_word(token: Token) -> bool:
    return token.kind == IDENTIFIER or token.kind in KEYWORDS or token.kind in DASHED or token.text[0] == "!"


def _dashed(tokens: list[Token], text: str, start: int, offset: int) -> int | None:
    """Return the number of the token with which an operator begins that is being written, such as `project-aw`."""
    at = len(tokens)
    end = start
    while at >= 2 and tokens[at - 1].text == "-" and tokens[at - 1].end == end and tokens[at - 2].end == end - 1:
        if not _is_word(tokens[at - 2]):
            return None
        at, end = at - 2, tokens[at - 2].start
    written = text[end:offset]
    if at == len(tokens) or at == 0 or tokens[at - 1].text not in ("|", "("):
        return None
    return at if any(word.startswith(written) for word in DASHED) else None


def _frames(tokens: list[Token]) -> list[Frame]:
    """Return the brackets that are open, the outermost first."""
    frames = [Frame("", "", -1, 0)]
    for number, token in enumerate(tokens):
        top = frames[-1]
        match token.kind:
            case "(" | "[" | "{":
                head = tokens[number - 1].text if number else ""
                first = top.pipes[-1] + 1 if top.pipes else top.start
                operator = tokens[first].text if first < number else ""
                frames.append(Frame(token.kind, head, number, number + 1, operator=operator))
            case ")" | "]" | "}":
                if any(frame.bracket == _CLOSING[token.kind] for frame in frames):
                    while frames.pop().bracket != _CLOSING[token.kind]:
                        pass
            case "|":
                top.pipes.append(number)
            case ";":
                while frames[-1].bracket in ("(", "["):
                    frames.pop()
                frames[-1].statements.append((frames[-1].start, number))
                frames[-1].start, frames[-1].pipes = number + 1, []
            case _:
                pass
    return frames
