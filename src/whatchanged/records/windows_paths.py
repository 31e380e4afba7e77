r"""Paths of Windows as they are carried: WTF-8, `/` between names, beginning at the root of all, as on Linux. Pure.

That root is the name space of `\\?\`: `C:\a` is `/C:/a`, `\\server\share\a` is `/UNC/server/share/a`, and a volume
without a letter is `/Volume{…}`. No name on Windows holds either slash, so both forms say the same. WTF-8 is UTF-8 that
also takes halves of surrogate pairs (Python's `surrogatepass`), which Windows does not keep out of names.
"""

from __future__ import annotations

import os
import re
import sys

__all__ = ["carried", "is_windows", "path_of", "path_text", "shown", "shown_link"]

_WINDOWS = re.compile(rb"[A-Za-z]:(?:\\|\Z)|\\\\")
_DRIVE = re.compile(rb"[A-Za-z]:\Z")
_UNC = b"UNC"


def is_windows(path: bytes) -> bool:
    """Whether an absolute path is one of Windows as people write it; those of Linux begin with `/`."""
    return _WINDOWS.match(path) is not None


def carried(path: bytes) -> bytes:
    r"""Return how an absolute Windows path (`C:\…`, `\\server\…`, `\\?\…`) is carried. Raises ValueError for others.

    A `/` separates like a backslash; the letter of a drive becomes upper case; what stands behind the last separator
    stays, also when it is nothing.
    """
    slashes = path.replace(b"\\", b"/")
    if slashes.startswith((b"//?/", b"/??/")):
        rest = slashes[4:]
    elif slashes.startswith(b"//./"):
        raise ValueError("names a device")
    elif slashes.startswith(b"//"):
        rest = _UNC + b"/" + slashes[2:].lstrip(b"/")
    else:
        rest = slashes
    top, slash, below = rest.partition(b"/")
    if _DRIVE.match(top):
        return b"/" + top.upper() + slash + below
    if top.upper() == _UNC and below.partition(b"/")[2]:
        return b"/" + _UNC + slash + below
    if top.startswith(b"Volume{") and top.endswith(b"}"):
        return b"/" + top + slash + below
    raise ValueError("is no absolute Windows path")


def shown(path: bytes) -> bytes:
    """Return a carried path as people write it; WTF-8."""
    top, _, below = path[1:].partition(b"/")
    names = below.replace(b"/", b"\\")
    if top == _UNC:
        return b"\\\\" + names
    return (top if _DRIVE.match(top) else b"\\\\?\\" + top) + b"\\" + names


def shown_link(target: bytes) -> bytes:
    """Return where a link leads, an absolute path or one from the folder of the link, as people write it."""
    return shown(target) if target.startswith(b"/") else target.replace(b"/", b"\\")


def path_text(path: bytes) -> str:
    """Return the path of an item of this system as its people write it (with what is no text as os.fsdecode has it).

    The root of all stays `/`.
    """
    if sys.platform == "win32" and path.startswith(b"/") and path != b"/":
        return os.fsdecode(shown(path))
    return os.fsdecode(path)


def path_of(text: str) -> bytes:
    """Return the path of an item of this system that people write so. Raises ValueError if it is not absolute."""
    path = os.fsencode(text)
    if sys.platform == "win32":
        return carried(path).rstrip(b"/")
    if not path.startswith(b"/"):
        raise ValueError("does not begin at the root")
    return path
