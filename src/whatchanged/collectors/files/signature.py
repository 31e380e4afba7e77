"""Signatures: a few bytes that move whenever the entry may have changed.

Size, modification and change time, inode, mode and owner; of a followed link those of the link and of what it
leads to. Not the device: its number may be another one after every start of the machine (device mapper, btrfs).
Equal signatures mean that nothing has to be read. They are opaque to the caller, who keeps them.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import time

__all__ = [
    "INODE_AT",
    "NOWHERE",
    "SETTLE_NS",
    "STATUS_SIZE",
    "changed_ns",
    "content_inode",
    "content_size",
    "followed",
    "inode",
    "mark_unread",
    "pack_status",
    "settled",
    "unread",
    "unsettled",
]

_PACKED = struct.Struct("<qqqQIII")
_pack = _PACKED.pack
STATUS_SIZE = _PACKED.size
"""Bytes of one status in a signature."""
INODE_AT = struct.calcsize("<qqq")
"""Where the inode number (8 bytes) stands in a status."""
_MASK = (1 << 64) - 1
_pack_masked = struct.Struct("<QQQQIII").pack

# Marks stand behind a signature, so that its length tells whether there is one.
_UNSETTLED = b"~"
"""The entry changed so shortly before the look that a later change may bear the same time."""
_UNREAD = b"?"
"""The content could not be read."""

NOWHERE = bytes(_PACKED.size)
"""In place of the status of what a followed link leads to, when it leads nowhere."""

SETTLE_NS = 20_000_000
"""Time stamps of files move in steps of the kernel's tick (up to 10 ms): a change within it may leave no trace."""


def pack_status(status: os.stat_result) -> bytes:
    """Return the signature of one status."""
    size, modified, changed = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    first, second = _own(status)
    try:
        return _pack(size, modified, changed, status.st_ino, status.st_mode, first, second)
    except struct.error:  # a forged time beyond the year 2262
        rest = (status.st_ino & _MASK, status.st_mode, first, second)
        return _pack_masked(size & _MASK, modified & _MASK, changed & _MASK, *rest)


def _own(status: os.stat_result) -> tuple[int, int]:
    """Return owner and group; of Windows, where a change of those moves the change time, attributes and reparse tag."""
    if sys.platform == "win32":
        return status.st_file_attributes, status.st_reparse_tag
    return status.st_uid, status.st_gid


def settled(signature: bytes, status: os.stat_result, settle_ns: int = SETTLE_NS) -> bytes:
    """Return `signature`, marked if the entry changed within the last `settle_ns` (racy-git's problem)."""
    age = time.time_ns() - status.st_ctime_ns
    return signature + _UNSETTLED if 0 <= age < settle_ns else signature


def mark_unread(signature: bytes) -> bytes:
    """Return `signature`, marked as that of an entry whose content could not be read."""
    return signature + _UNREAD


def unread(signature: bytes) -> bool:
    """Whether the content was not read."""
    return len(signature) % _PACKED.size == 1 and signature.endswith(_UNREAD)


def unsettled(signature: bytes) -> bool:
    """Whether the entry changed so shortly before the look that a later change may bear the same time."""
    return len(signature) % _PACKED.size == 1 and signature.endswith(_UNSETTLED)


def inode(signature: bytes) -> bytes:
    """Return the inode number of the entry itself (of a link its own), packed."""
    return signature[INODE_AT : INODE_AT + 8]


def content_inode(signature: bytes) -> bytes:
    """Return the inode number of what was looked at (of a followed link of what it leads to), packed."""
    at = (len(signature) // STATUS_SIZE - 1) * STATUS_SIZE + INODE_AT
    return signature[at : at + 8]


def followed(signature: bytes) -> bool:
    """Whether it is that of a link which was looked at together with what it leads to (perhaps nowhere)."""
    return len(signature) >= 2 * _PACKED.size


def content_size(signature: bytes) -> int:
    """Return how many bytes of content were read for it; 0 for what has none: folders, links that are not followed."""
    status = _PACKED.unpack_from(signature, (len(signature) // _PACKED.size - 1) * _PACKED.size)
    return int(status[0]) if stat.S_ISREG(status[4]) and not unread(signature) else 0


def changed_ns(signature: bytes) -> int:
    """Return the change time in it, in nanoseconds since 1970; of a followed link that of what it leads to."""
    return int(_PACKED.unpack_from(signature, (len(signature) // _PACKED.size - 1) * _PACKED.size)[2])
