r"""The paths of Windows file rules, as patterns of the one kind that `patterns` reads.

`\` and `/` separate names. `*.*` is every name, also one without a dot, as everywhere on Windows; elsewhere `*`, `?`,
`[…]` and `**` are what they are for Linux, and upstream's reading of `.*` plays no part.
"""

from __future__ import annotations

import re
import sys

from whatchanged.errors import RuleError
from whatchanged.records.windows_paths import carried
from whatchanged.rules import windows_variables
from whatchanged.rules.variables import Variables

__all__ = ["compared", "fold", "fold_pattern", "windows_exclusion", "windows_pattern"]

_ABSOLUTE = re.compile(r"[A-Za-z]:|[\\/]{2}|%")
_CLASS = re.compile(rb"(\[:[a-z]+:\])")


def windows_pattern(path: str, variables: Variables | None = None) -> bytes:
    """Return the path of a rule as a pattern. Raises RuleError, and ValueError if it is no absolute Windows path.

    Without `variables`, or with those of another system, one that begins the path stands for a drive.
    """
    filled = None if variables is None else variables.fill_windows(path)
    if filled is None:
        filled = windows_variables.stand_in(path)
    if "\0" in filled:
        raise RuleError("contains a NUL character, which no path can")
    return _names(carried(filled.encode("utf-8", "surrogatepass")))


def windows_exclusion(entry: str, variables: Variables | None = None) -> bytes:
    """Return what a rule leaves out as a pattern; one that is no absolute path fits at any depth. Raises as above."""
    if _ABSOLUTE.match(entry):
        return windows_pattern(entry, variables)
    return _names(entry.replace("\\", "/").lstrip("/").encode("utf-8", "surrogatepass"))


def _names(pattern: bytes) -> bytes:
    *names, last = [b"*" if name == b"*.*" else name for name in pattern.split(b"/")]
    return b"/".join([*names, last.replace(b".*", b"[.]*")])


def fold(name: bytes) -> bytes:
    """Return a name (WTF-8) as NTFS compares it: letter by letter in upper case, none becomes two."""
    if name.isascii():
        return name.upper()
    try:
        text = name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # no name of Windows
        return name.upper()
    return "".join(map(_upper, text)).encode("utf-8", "surrogatepass")


def compared(path: bytes) -> bytes:
    """Return a path as this system compares it: on Windows letter case counts for nothing."""
    return fold(path) if sys.platform == "win32" else path


def fold_pattern(pattern: bytes) -> bytes:
    """Return a pattern that takes the folded names of what it takes."""
    parts = _CLASS.split(pattern)
    return b"".join(part.replace(b"lower", b"upper") if at % 2 else fold(part) for at, part in enumerate(parts))


def _upper(letter: str) -> str:
    # Beyond the first plane Windows compares halves of pairs, which have no case; and only letters that come back
    # (unlike a dotless i) are paired in its table.
    upper = letter.upper()
    return upper if len(upper) == 1 and letter < "\U00010000" and upper.lower() == letter else letter
