"""The bytes that ReadDirectoryChangesW gives, as values (FILE_NOTIFY_INFORMATION). Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from whatchanged.errors import WatchError

__all__ = ["ADDED", "MODIFIED", "REMOVED", "RENAMED_NEW", "RENAMED_OLD", "Notification", "parse", "short_from"]

ADDED, REMOVED, MODIFIED, RENAMED_OLD, RENAMED_NEW = 1, 2, 3, 4, 5

_HEAD = struct.Struct("<III")
"""Bytes to the next entry (0: the last), action, bytes of the name, which follows."""

_SHORT = re.compile(rb"[^/.]{1,6}~[0-9]{1,6}(?:\.[^/.]{1,3})?\Z")
"""What a name of eight and three looks like ([MS-FSCC] 2.1.5.2.1)."""


class Notification(NamedTuple):
    """One entry."""

    action: int
    name: bytes
    """Below the watched folder, as paths are carried: WTF-8, with `/` between names."""


def parse(buffer: bytes) -> Iterator[Notification]:
    """Yield the entries of what one call gave; not empty. Raises WatchError for bytes that are none."""
    at = 0
    while True:
        if len(buffer) - at < _HEAD.size:
            raise WatchError(f"folders: {len(buffer) - at} bytes where a notification should be")
        step, action, length = _HEAD.unpack_from(buffer, at)
        begin = at + _HEAD.size
        room = (step or len(buffer) - at) - _HEAD.size
        if length % 2 or length > min(room, len(buffer) - begin):
            raise WatchError(f"folders: a name of {length} bytes in {room}")
        name = buffer[begin : begin + length].decode("utf-16-le", "surrogatepass")
        yield Notification(action, name.replace("\\", "/").encode("utf-8", "surrogatepass"))
        if not step:
            return
        at += step


def short_from(name: bytes) -> int | None:
    """Return at which part of a name (0: the first) one may begin that is a short name of something; None: at none.

    Whoever opens a file by its short name is told of by that (ReadDirectoryChangesW, "Remarks").
    """
    return next((at for at, part in enumerate(name.split(b"/")) if _SHORT.match(part)), None)
