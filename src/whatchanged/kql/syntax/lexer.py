"""Text into tokens with places: one regular expression, one pass. Values are worked out later, by `literals`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, NoReturn

from whatchanged.kql.errors import KqlSyntaxError, Span
from whatchanged.kql.syntax.keywords import DASHED, KEYWORDS, NEGATED, TYPED

__all__ = [
    "BOOL", "BROKEN", "END", "GUID", "IDENTIFIER", "LITERALS", "LONG", "MAX_LENGTH", "MAX_TOKENS", "REAL", "STRING",
    "TIMESPAN", "TYPED_LITERAL", "Token", "tokenize", "tokenize_broken",
]  # fmt: skip

MAX_LENGTH: Final = 1 << 20
"""Characters of a query."""

MAX_TOKENS: Final = 100_000
"""Tokens of a query."""

IDENTIFIER: Final = "<identifier>"
STRING: Final = "<string>"
LONG: Final = "<long>"
REAL: Final = "<real>"
TIMESPAN: Final = "<timespan>"
BOOL: Final = "<bool>"
TYPED_LITERAL: Final = "<typed>"
GUID: Final = "<guid>"
END: Final = "<end>"
BROKEN: Final = "<broken>"
"""What is no token, in a text that is being written."""

LITERALS: Final = frozenset([STRING, LONG, REAL, TIMESPAN, BOOL, TYPED_LITERAL])


class Token(NamedTuple):
    """A word of the query. The kind of a keyword or a sign is its own text; other kinds are in angle brackets."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def span(self) -> Span:
        """The place of it."""
        return Span(self.start, self.end)


_SPACE = r"\t \r\n\f\u00a0\u1680\u180e\u2000-\u200b\u202f\u205f\u3000\ufeff"
_LINE_END = r"\r\n\u2028\u2029"
_HEX = "[0-9A-Fa-f]"
_NO_WORD = "(?![A-Za-z0-9_])"
_ESCAPE = rf"""\\(?:[\\'"abfnrtv]|u{_HEX}{{4}}|U{_HEX}{{8}}|x{_HEX}{{2}}|[0-7])"""
_UNIT = (
    "m|min|minutes?|s|sec|seconds?|d|days?|h|hrs?|hours?|ms|millis?|millisec|milliseconds?"
    "|micros?|microsec|microseconds?|nanos?|nanosec|nanoseconds?|ticks?"
)


def _words(words: Iterable[str]) -> str:
    """Return an expression for one of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


_PATTERN = re.compile(
    "|".join(
        [
            rf"(?P<skip>(?:[{_SPACE}]+|//[^{_LINE_END}]*+)++)",
            rf"(?P<guid>{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}})",
            rf"(?P<typed>(?:{_words(TYPED)})\([^){_LINE_END}]*+\)?)",
            rf"(?P<bool>(?:true|True|TRUE|false|False|FALSE){_NO_WORD})",
            rf"""(?P<string>[hH]?(?:"(?:[^"\\{_LINE_END}]++|{_ESCAPE})*+"|'(?:[^'\\{_LINE_END}]++|{_ESCAPE})*+'"""
            rf"""|@"(?:[^"{_LINE_END}]++|"")*+"|@'(?:[^'{_LINE_END}]++|'')*+'|```(?s:.*?)```|~~~(?s:.*?)~~~))""",
            r"""(?P<open>[hH]?@?(?:["'`]|~~~))""",
            rf"(?P<fixed>(?:{_words(DASHED)}|hint\.[A-Za-z_]+|in~|!(?:{_words(NEGATED)})){_NO_WORD})",
            rf"(?P<matches>matches[{_SPACE}]+regex{_NO_WORD})",
            r"(?P<word>[A-Za-z_$][A-Za-z0-9_]*)",
            rf"(?P<real>[0-9]+(?:\.(?!\.(?!\.))[0-9]*(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+){_NO_WORD})",
            rf"(?P<timespan>[0-9]+(?:\.[0-9]+)?(?:{_UNIT}){_NO_WORD})",
            rf"(?P<long>(?:0[xX]{_HEX}+|[0-9]+){_NO_WORD})",
            r"(?P<digits>[0-9]+[A-Za-z_][A-Za-z0-9_]*)",
            r"(?P<sign><=|<>|>=|==|=>|=~|!=|!~|\.\.|[()\[\]{}|.+\-*/%<>=:;,?@])",
            r"(?P<bad>(?s:.))",
        ]
    )
)

_KINDS: Final = {
    "guid": GUID, "typed": TYPED_LITERAL, "bool": BOOL, "string": STRING, "real": REAL, "timespan": TIMESPAN,
    "long": LONG, "digits": IDENTIFIER, "matches": "matches regex",
}  # fmt: skip


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a text, the last of kind `END`.

    Raises: KqlSyntaxError for a character that is not of the language, a string or literal without its end, a text
    that is too long.
    """
    if len(text) > MAX_LENGTH:
        raise KqlSyntaxError(f"The query is longer than {MAX_LENGTH:,} characters", Span(MAX_LENGTH, MAX_LENGTH + 1))
    tokens: list[Token] = []
    append = tokens.append
    end = 0
    for match in _PATTERN.finditer(text):
        group = match.lastgroup
        if group == "skip":
            continue
        start, end = match.span()
        if len(tokens) == MAX_TOKENS:
            raise KqlSyntaxError(f"The query has more than {MAX_TOKENS:,} words", Span(start, end))
        part = match[0]
        if group == "word":
            append(Token(part if part in KEYWORDS else IDENTIFIER, part, start, end))
        elif group in ("sign", "fixed"):
            append(Token(part, part, start, end))
        elif group in ("open", "bad") or (group == "typed" and part[-1] != ")"):
            _refuse(text, start, end)
        else:
            append(Token(_KINDS[group or ""], part, start, end))
    append(Token(END, "", end, end))
    return tokens


_LINE = re.compile(rf"[^{_LINE_END}]*")


def tokenize_broken(text: str) -> list[Token]:
    """Return the tokens of a text that is being written; a string without its end, and what is none, is `BROKEN`."""
    tokens: list[Token] = []
    at = 0
    while at < len(text) and len(tokens) < MAX_TOKENS and (match := _PATTERN.match(text, at)) is not None:
        group, start, at = match.lastgroup, at, match.end()
        if group == "skip":
            continue
        kind = _KINDS.get(group or "", match[0])
        if group == "word":
            kind = match[0] if match[0] in KEYWORDS else IDENTIFIER
        elif group == "open" and (rest := _LINE.match(text, at)) is not None:
            kind, at = BROKEN, rest.end()
        elif group == "bad" or (group == "typed" and match[0][-1] != ")"):
            kind = BROKEN
        tokens.append(Token(kind, text[start:at], start, at))
    return tokens


_CONTENT = re.compile(rf"""[hH]?(?P<quote>["'])(?:(?!(?P=quote))[^\\{_LINE_END}]|{_ESCAPE})*+""")


def _refuse(text: str, start: int, end: int) -> NoReturn:
    """Say why what begins here is no token.

    Raises: KqlSyntaxError.
    """
    part = text[start:end]
    if part[-1] in "\"'":
        content = _CONTENT.match(text, start)
        stop = content.end() if content else end
        if content and text[stop : stop + 1] == "\\":
            escape = text[stop : stop + 2]
            message = f"Query could not be parsed at '{escape}': no such escape; write \\\\ for a backslash, or @'…'"
            raise KqlSyntaxError(message, Span(stop, stop + len(escape)))
    if part[-1] in "\"'`~":
        line_end = re.search(rf"[{_LINE_END}]|\Z", text[start:])
        stop = start + line_end.start() if line_end else end
        shown = text[start : min(stop, start + 40)]
        raise KqlSyntaxError(
            f"Query could not be parsed at '{shown}': the string has no end", Span(start, max(stop, end))
        )
    if len(part) > 1:
        raise KqlSyntaxError(f"Query could not be parsed at '{part[:40]}': expected )", Span(start, end))
    raise KqlSyntaxError(f"Query could not be parsed at '{part}': unexpected character", Span(start, end))
