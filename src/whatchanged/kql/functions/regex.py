r"""Regular expressions: from those of the language (the manual's page "Regex syntax") to those of the engine, RE2.

They differ in little: the classes `\d`, `\s`, `\w` mean Unicode in the language and ASCII to the engine; `.` does not
match a line feed in the language; a bracket within a class opens another class in the language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported, Span
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

__all__ = ["Pattern", "constant_pattern", "pattern"]

_SPACE = r"\t-\r \x{85}\p{Z}"
_WORD = r"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}"
_CLASSES = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "s": f"[{_SPACE}]",
    "S": f"[^{_SPACE}]",
    "w": f"[{_WORD}]",
    "W": f"[^{_WORD}]",
}
_WITHIN = {"d": r"\p{Nd}", "D": r"\P{Nd}", "s": _SPACE, "w": _WORD}
"""Of a negated class within a class nothing else can be made: the engine's own stays, which is ASCII's."""
_CODE = re.compile(r"\\(?:u\{([0-9A-Fa-f]+)\}|U\{([0-9A-Fa-f]+)\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_FLAGS = re.compile(r"\(\?[imsU-]*[uRx]")
_LOOK = re.compile(r"\(\?<?[=!]")
_NAMED = re.compile(r"\(\?P?<([^>=!]+)>")
_PROPERTY = re.compile(r"\\[pP](?:\{[^}]*\}|.)|\\x(?:\{[^}]*\}|..)")
_ASCII_CLASS = re.compile(r"\[:\^?[a-z]+:\]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression as the engine takes it."""

    text: str
    groups: tuple[str, ...]
    """The capturing groups: their names, or empty."""


def constant_pattern(text: str, span: Span) -> Pattern:
    """Return a regular expression for the engine.

    Raises: KqlSemanticError if the language has no such expression, KqlUnsupported if the engine has not.
    """
    if _LOOK.search(text):
        raise KqlSemanticError("a regular expression does not look around", span)
    if _FLAGS.search(text):
        raise KqlUnsupported("the flags u, x and R of a regular expression are not answered here", span)
    out: list[str] = []
    groups: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            at = _class(text, at, out, span)
            continue
        if text[at] == "\\":
            at = _escape(text, at, out, _CLASSES, span)
            continue
        if (named := _NAMED.match(text, at)) is not None:
            groups.append(named[1])
            out.append(f"(?P<{named[1]}>")
            at = named.end()
            continue
        if text[at] == "(" and text[at + 1 : at + 2] != "?":
            groups.append("")
        out.append(text[at])
        at += 1
    translated = "".join(out)
    return Pattern(f"(?-s){translated}" if "." in text else translated, tuple(groups))


def _escape(text: str, at: int, out: list[str], classes: dict[str, str], span: Span) -> int:
    """Translate what begins with a backslash; return where it ends."""
    if (code := _CODE.match(text, at)) is not None:
        out.append(f"\\x{{{next(group for group in code.groups() if group)}}}")
        return code.end()
    if (kept := _PROPERTY.match(text, at)) is not None:
        out.append(kept[0])
        return kept.end()
    following = text[at + 1 : at + 2]
    if following in "<>" or text.startswith("b{", at + 1):
        raise KqlUnsupported("the begin and the end of a word are not told apart here: use \\b", span)
    if following.isdigit() and following != "0" and classes is _CLASSES:
        raise KqlSemanticError("a regular expression does not refer back to its groups", span)
    out.append(classes.get(following, text[at : at + 2]))
    return at + 2


def _class(text: str, at: int, out: list[str], span: Span) -> int:
    """Translate a class in brackets; return where it ends."""
    start = at
    at += 2 if text.startswith("[^", at) else 1
    if text.startswith("]", at):
        at += 1
    out.append(text[start:at])
    while at < len(text) and text[at] != "]":
        if text[at] == "\\":
            at = _escape(text, at, out, _WITHIN, span)
        elif (named := _ASCII_CLASS.match(text, at)) is not None:
            out.append(named[0])
            at = named.end()
        elif text[at] == "[" or text[at : at + 2] in ("&&", "--", "~~"):
            raise KqlUnsupported("classes within classes are not answered here: escape the sign with \\", span)
        else:
            out.append(text[at])
            at += 1
    out.append("]")
    return at + 1


def pattern(value: Scalar, span: Span) -> Scalar:
    r"""Return a regular expression for the engine; of one that is not known beforehand only `.` is put right."""
    if isinstance(value, Constant):
        return Constant(constant_pattern(str(value.value), span).text, Type.STRING)
    return Apply("concat('(?-s)', {0})", (value,), Type.STRING, nullable=False)
