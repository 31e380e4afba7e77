"""The bytes that a fanotify group gives, as values (fanotify(7)). Pure.

An event is a head (length, version, mask, process) and information records: the folder and name of the entry (of a
rename: both), the object itself, a descriptor of the process.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from whatchanged.errors import WatchError

__all__ = [
    "ATTRIB",
    "CHANGES",
    "CONTENTS",
    "CREATE",
    "DELETE",
    "ENTRIES",
    "EVENT_ON_CHILD",
    "ONDIR",
    "OPEN_EXEC",
    "Q_OVERFLOW",
    "RENAME",
    "Event",
    "Place",
    "parse",
]

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
CREATE = 0x100
DELETE = 0x200
OPEN_EXEC = 0x1000
Q_OVERFLOW = 0x4000
EVENT_ON_CHILD = 0x08000000
RENAME = 0x10000000
ONDIR = 0x40000000
ENTRIES = CREATE | DELETE | RENAME
CONTENTS = MODIFY | ATTRIB | CLOSE_WRITE
CHANGES = ENTRIES | CONTENTS
_NEVER_OUTSIDE = ONDIR | RENAME | OPEN_EXEC | Q_OVERFLOW

_VERSION = 3
_HEAD = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH")
_INFO_FD = struct.Struct("=BBHi")
_HANDLE_BYTES = struct.Struct("=I")
_FSID = 8
_HANDLE_AT = _INFO.size + _FSID
_FID, _DFID_NAME, _DFID, _PIDFD = 1, 2, 3, 4
_OLD_DFID_NAME, _NEW_DFID_NAME = 10, 12


class Place(NamedTuple):
    """An entry of a folder."""

    folder: bytes
    """File system id and handle of the folder."""
    name: bytes
    """`.` for the folder itself."""


class Event(NamedTuple):
    """One event."""

    mask: int
    pid: int
    place: Place | None
    """The entry; of a rename the new one."""
    old: Place | None
    """Of a rename: where it was."""
    target: bytes
    """File system id and handle of the object itself; empty if the kernel did not say."""
    pidfd: int
    """Descriptor of the process, the reader's to close; negative if there is none."""


def parse(buffer: bytes, outside: Collection[bytes] = ()) -> Iterator[Event]:
    """Yield the events of what one read(2) gave. Raises WatchError for bytes that are no events.

    Events of files in the folders `outside` are passed over: most of a busy machine's, so this must cost little.
    """
    at, end = 0, len(buffer)
    while at < end:
        if end - at < _HEAD.size:
            raise WatchError(f"fanotify: {end - at} bytes where an event should be")
        length, version, _, head, mask, _, pid = _HEAD.unpack_from(buffer, at)
        if version != _VERSION:
            raise WatchError(f"fanotify: events of version {version}, this program knows {_VERSION}")
        if head < _HEAD.size or length < head or at + length > end:
            raise WatchError(f"fanotify: an event of {length} bytes with a head of {head} in {end - at} bytes")
        if mask & _NEVER_OUTSIDE or not outside or _first_handle(buffer, at + head, length - head) not in outside:
            yield _event(buffer, at + head, at + length, mask, pid)
        at += length


def _event(buffer: bytes, at: int, end: int, mask: int, pid: int) -> Event:
    place: Place | None = None
    old: Place | None = None
    target = b""
    pidfd = -1
    while at < end:
        if end - at < _INFO.size:
            raise WatchError("fanotify: an information record is cut off")
        kind, _, length = _INFO.unpack_from(buffer, at)
        if length < _INFO.size or at + length > end:
            raise WatchError(f"fanotify: an information record of {length} bytes in {end - at}")
        if kind in (_DFID_NAME, _NEW_DFID_NAME, _DFID):
            place = _place(buffer, at, length)
        elif kind == _OLD_DFID_NAME:
            old = _place(buffer, at, length)
        elif kind == _FID:
            target = _handle(buffer, at, length)
        elif kind == _PIDFD and length >= _INFO_FD.size:
            pidfd = _INFO_FD.unpack_from(buffer, at)[3]
        at += length
    return Event(mask, pid, place, old, target, pidfd)


def _first_handle(buffer: bytes, at: int, length: int) -> bytes:
    """Return the handle in the first record: the kernel writes the entry's folder first."""
    return _handle(buffer, at, length) if length >= _HANDLE_AT + _FSID else b""


def _handle(buffer: bytes, at: int, length: int) -> bytes:
    if length < _HANDLE_AT + 8:
        raise WatchError("fanotify: a handle is cut off")
    size = 8 + _HANDLE_BYTES.unpack_from(buffer, at + _HANDLE_AT)[0]
    if _HANDLE_AT + size > length:
        raise WatchError("fanotify: a handle is longer than its record")
    return buffer[at + _INFO.size : at + _HANDLE_AT + size]


def _place(buffer: bytes, at: int, length: int) -> Place:
    folder = _handle(buffer, at, length)
    name = buffer[at + _INFO.size + len(folder) : at + length]
    return Place(folder, name[: name.find(b"\0")] if b"\0" in name else name)
