"""The bytes that ReadDirectoryChangesW gives, as values (FILE_NOTIFY_INFORMATION). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from whatchanged.errors import WatchError

__all__ = ["ADDED", "MODIFIED", "REMOVED", "RENAMED_NEW", "RENAMED_OLD", "Notification", "parse"]

ADDED, REMOVED, MODIFIED, RENAMED_OLD, RENAMED_NEW = 1, 2, 3, 4, 5

_HEAD = struct.Struct("<III")
"""Bytes to the next entry (0: the last), action, bytes of the name, which follows."""


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
