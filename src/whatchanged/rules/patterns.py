r"""Path patterns: one `destinationPath` becomes lists of segments, each a literal, a pattern or a wildcard.

In a segment `*`, `?`, `[…]` (with `!`, `^`, ranges, `[:alpha:]`) and `\` mean what they mean to fnmatch(3) in the
C locale: names are bytes, so `?` is one byte. `*` takes hidden names too, as `find -name` does. A segment `**`
stands for any number of segments. In the last segment `.*` is upstream's "anything": `/etc/.*.conf` is
`/etc/*.conf`. What a rule excludes is read without that: there `.*` is a dot and a wildcard.
"""

from __future__ import annotations

import re
from enum import Enum

from whatchanged.errors import RuleError
from whatchanged.rules.items import FileRule, FileType

__all__ = ["MAX_PATH", "Segment", "Wild", "excluded", "expand", "parts_of", "segment_of"]

MAX_PATH = 4096
"""PATH_MAX of Linux: a longer path cannot be opened."""
MAX_NAME = 255
"""NAME_MAX: no file can bear a longer name."""
_MAX_SEGMENTS = 256


class Wild(Enum):
    """Segments that take every name."""

    ANY = "*"
    """Exactly one segment."""
    DEEP = "**"
    """Any number of segments, also none."""


Segment = bytes | re.Pattern[bytes] | Wild

_CLASSES: dict[bytes, frozenset[int]] = {
    b"alpha": frozenset(range(0x41, 0x5B)) | frozenset(range(0x61, 0x7B)),
    b"digit": frozenset(range(0x30, 0x3A)),
    b"upper": frozenset(range(0x41, 0x5B)),
    b"lower": frozenset(range(0x61, 0x7B)),
    b"space": frozenset(b" \t\n\v\f\r"),
    b"blank": frozenset(b" \t"),
    b"punct": frozenset(c for c in range(0x21, 0x7F) if not chr(c).isalnum()),
    b"cntrl": frozenset(range(0x20)) | {0x7F},
    b"print": frozenset(range(0x20, 0x7F)),
    b"graph": frozenset(range(0x21, 0x7F)),
    b"xdigit": frozenset(b"0123456789abcdefABCDEF"),
}
_CLASSES[b"alnum"] = _CLASSES[b"alpha"] | _CLASSES[b"digit"]


def parts_of(path: bytes) -> list[bytes]:
    """Return the segments of a path, without empty ones and `.`."""
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def expand(rule: FileRule) -> tuple[tuple[Segment, ...], ...]:
    """Return what the rule takes, as lists of segments; a path that fits one of them is taken.

    - plain path: that path; with `recurse` also everything below it;
    - type Directory: the folder, what is in it, with `recurse` at any depth;
    - path ending in `/` or `/*`: what is in the folder, with `recurse` at any depth;
    - pattern as last segment: names that fit in the folder, with `recurse` at any depth below it.

    Raises RuleError if the path cannot work.
    """
    path = rule.destination_path
    parts = _checked(path)
    if parts:
        parts[-1] = _anything(parts[-1])
    if not parts or (path.endswith(b"/") and rule.type is not FileType.DIRECTORY):
        parts.append(b"*")
    last = parts[-1]
    below = [b"**", b"*"] if rule.recurse else [b"*"]
    if last.strip(b"*") == b"":
        deep = rule.recurse or last != b"*"
        lists = [[*parts[:-1], b"**", b"*"] if deep else parts]
    elif rule.type is FileType.DIRECTORY:
        lists = [parts, parts + below]
    elif isinstance(segment_of(last), bytes):
        lists = [parts, parts + below] if rule.recurse else [parts]
    else:
        lists = [[*parts[:-1], b"**", last] if rule.recurse else parts]
    return tuple(_compiled(one) for one in lists)


def excluded(pattern: bytes) -> tuple[Segment, ...]:
    """Return an entry of `exclude` as a list of segments; what fits is left out, with everything below.

    One that does not begin with `/` fits at any depth: `*.swp` is `/**/*.swp`, `cache/tmp` is `/**/cache/tmp`.
    Raises RuleError if it cannot work.
    """
    if pattern and not pattern.startswith(b"/"):
        pattern = b"/**/" + pattern
    parts = _checked(pattern)
    if parts[-1:] == [b"**"]:  # all that is in a folder is what is right in it, with everything below
        parts[-1] = b"*"
    if [part for part in parts if part != b"**"] in ([], [b"*"]):
        raise RuleError("leaves out everything")
    return _compiled(parts)


def _anything(last: bytes) -> bytes:
    """Read upstream's `.*`; `*.*` becomes `*`, not the `**` that would reach into folders."""
    if b".*" not in last:
        return last
    replaced = last.replace(b".*", b"*")
    return replaced if replaced.strip(b"*") else b"*"


_VARIABLE = re.compile(rb"(?<!\\)(?:\\\\)*\$\{")


def _checked(path: bytes) -> list[bytes]:
    if not path:
        raise RuleError("is empty")
    if _VARIABLE.search(path):
        raise RuleError("holds a variable that was not filled in")
    if not path.startswith(b"/"):
        raise RuleError("is no absolute path: it must begin with '/'")
    if b"\0" in path:
        raise RuleError("contains a NUL byte, which no path can")
    if len(path) > MAX_PATH:
        raise RuleError(f"is longer than {MAX_PATH} bytes, which no path can be")
    parts = parts_of(path)
    if b".." in parts:
        raise RuleError("contains '..', which matches nothing: write the folder that is meant")
    if len(parts) > _MAX_SEGMENTS:
        raise RuleError(f"has more than {_MAX_SEGMENTS} segments")
    return parts


def _compiled(parts: list[bytes]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for part in parts:
        segment = segment_of(part)
        if segment is Wild.DEEP and segments and segments[-1] is Wild.DEEP:
            continue
        if isinstance(segment, bytes) and len(segment) > MAX_NAME:
            raise RuleError(f"has a name longer than {MAX_NAME} bytes, which no file can have")
        segments.append(segment)
    return tuple(segments)


_SPECIAL = re.compile(rb"[*?\[\\]")


def segment_of(part: bytes) -> Segment:
    """Return what one segment of a pattern takes."""
    if _SPECIAL.search(part) is None:
        return part
    if part == b"**":
        return Wild.DEEP
    pieces = _pieces(part)
    if pieces == [None]:
        return Wild.ANY
    if all(isinstance(piece, int) for piece in pieces):
        return bytes(piece for piece in pieces if isinstance(piece, int))
    return re.compile(_regex(pieces), re.DOTALL)


_Piece = int | frozenset[int] | None
"""A byte, a set of bytes, or None for any run of bytes."""
_ALL = frozenset(range(256))


def _pieces(part: bytes) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = 0
    while at < len(part):
        byte = part[at : at + 1]
        at += 1
        if byte == b"*":
            if not pieces or pieces[-1] is not None:
                pieces.append(None)
        elif byte == b"?":
            pieces.append(_ALL)
        elif byte == b"[" and (found := _set(part, at)) is not None:
            members, at = found
            pieces.append(members)
        elif byte == b"\\" and at < len(part):
            pieces.append(part[at])
            at += 1
        else:
            pieces.append(byte[0])
    return pieces


def _set(part: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """Read the set that begins behind a `[`; None if it is not closed, then the `[` is an ordinary byte."""
    negated = part[at : at + 1] in (b"!", b"^")
    first = at = at + negated
    members: set[int] = set()
    while at < len(part):
        if part[at : at + 1] == b"]" and at > first:
            return (_ALL - members if negated else frozenset(members)), at + 1
        named = re.compile(rb"\[:([a-z]+):\]").match(part, at)
        if named is not None and named[1] in _CLASSES:
            members |= _CLASSES[named[1]]
            at = named.end()
            continue
        low, at = _member(part, at)
        if part[at : at + 1] == b"-" and part[at + 1 : at + 2] not in (b"", b"]"):
            high, at = _member(part, at + 1)
            members.update(range(low, high + 1))
        else:
            members.add(low)
    return None


def _member(part: bytes, at: int) -> tuple[int, int]:
    if part[at : at + 1] == b"\\" and at + 1 < len(part):
        at += 1
    return part[at], at + 1


def _regex(pieces: list[_Piece]) -> bytes:
    """Return a regular expression in which no `*` is ever tried twice.

    Rules come from the network: with plain `.*` a name of 255 bytes against `*a*a*a*a*a*b` would take hours.
    The leftmost fit of what stands between two stars is always good enough, so each goes into an atomic group.
    """
    runs: list[list[bytes]] = [[]]
    for piece in pieces:
        if piece is None:
            runs.append([])
        else:
            runs[-1].append(_piece_regex(piece))
    head, *rest = (b"".join(run) for run in runs)
    if not rest:
        return head + rb"\Z"
    middle = b"".join(b"(?>.*?" + run + b")" for run in rest[:-1])
    # What stands behind the last star must end the name: look there only, and only if that much is left.
    tail = b"(?=.{%d}).*+(?<=" % len(runs[-1]) + rest[-1] + b")" if rest[-1] else b".*+"
    return head + middle + tail + rb"\Z"


def _piece_regex(piece: int | frozenset[int]) -> bytes:
    if isinstance(piece, int):
        return re.escape(bytes((piece,)))
    if piece == _ALL:
        return b"."
    if not piece:
        return b"(?!.)."
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(piece)) + b"]"
