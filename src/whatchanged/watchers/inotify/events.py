"""The bytes that an inotify instance gives, as values (inotify(7)). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from whatchanged.errors import WatchError

__all__ = [
    "CREATE",
    "DELETE",
    "IGNORED",
    "ISDIR",
    "MOVED_FROM",
    "MOVED_TO",
    "Q_OVERFLOW",
    "UNMOUNT",
    "WATCHED",
    "Event",
    "parse",
]

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
UNMOUNT = 0x2000
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ISDIR = 0x40000000
_ONLYDIR = 0x01000000
_DONT_FOLLOW = 0x02000000
_EXCL_UNLINK = 0x04000000
WATCHED = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | _ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK
)
"""The mask of a watch on a folder."""

_HEAD = struct.Struct("=iIII")


class Event(NamedTuple):
    """One event."""

    watch: int
    """Number of the watch; -1 of an overflow."""
    mask: int
    cookie: int
    """Joins the two halves of a rename."""
    name: bytes
    """Name in the watched folder; empty for the folder itself."""


def parse(buffer: bytes) -> Iterator[Event]:
    """Yield the events of what one read(2) gave. Raises WatchError for bytes that are no events."""
    at, end = 0, len(buffer)
    while at < end:
        if end - at < _HEAD.size:
            raise WatchError(f"inotify: {end - at} bytes where an event should be")
        watch, mask, cookie, length = _HEAD.unpack_from(buffer, at)
        at += _HEAD.size
        if length > end - at:
            raise WatchError(f"inotify: a name of {length} bytes in {end - at}")
        yield Event(watch, mask, cookie, buffer[at : at + length].partition(b"\0")[0])
        at += length
