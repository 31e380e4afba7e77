"""The top-level scalars of a YAML document: what `snap.yaml` is asked for. Pure.

No YAML parser: plain, single- and double-quoted values on the key's own line, and lists of plain words as
`[a, b]` or `- a` lines. Block texts (`|`, `>`) and anything nested are left out.
"""

from __future__ import annotations

import re

__all__ = ["top_level"]

_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(?:\s+(.*?))?\s*$")
_ITEM = re.compile(r"\s*-\s+([\w.+-]+)\s*$")
_LIST = re.compile(r"\[([^\[\]{}]*)\]")
_COMMENT = re.compile(r"\s#.*$")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0"}


def top_level(raw: bytes) -> dict[str, list[str]]:
    """Return key → values; a scalar is a list of one."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in raw.decode(errors="replace").split("\n"):
        if match := _KEY.match(line):
            current = found.setdefault(match[1], [])
            current += _values(match[2] or "")
        elif match := _ITEM.match(line):
            current.append(match[1])
        elif line.strip() and not line.lstrip().startswith("#"):
            current = []  # something nested: its items belong to nobody here
    return found


def _values(text: str) -> list[str]:
    if text[:1] == '"' and (end := re.match(r'"((?:[^"\\]|\\.)*)"', text)):
        return [_ESCAPE.sub(_unescaped, end[1])]
    if text[:1] == "'" and (end := re.match(r"'((?:[^']|'')*)'", text)):
        return [end[1].replace("''", "'")]
    plain = _COMMENT.sub("", text).strip()
    if match := _LIST.fullmatch(plain):
        return [word.strip().strip("\"'") for word in match[1].split(",") if word.strip()]
    return [] if not plain or plain[0] in "|>&*!{[#" else [plain]


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPES.get(code, code)
