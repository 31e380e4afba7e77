"""Signatures: a few bytes that move whenever the entry may have changed.

Size, modification and change time, inode, device, mode and owner; of a followed link those of the link and of
what it leads to. Equal signatures mean that nothing has to be read. They are opaque to the caller, who keeps them.
"""

from __future__ import annotations

import os
import struct
import time

__all__ = ["SETTLE_NS", "UNREAD", "UNSETTLED", "pack_status", "settled"]

UNSETTLED = b"~"
"""Before a signature: the entry changed so shortly before the look that a later change may bear the same time."""
UNREAD = b"?"
"""Before a signature: the content could not be read."""

SETTLE_NS = 20_000_000
"""Time stamps of files move in steps of the kernel's tick (up to 10 ms): a change within it may leave no trace."""

_pack = struct.Struct("<qqqQQIII").pack
_MASK = (1 << 64) - 1
_pack_masked = struct.Struct("<QQQQQIII").pack


def pack_status(status: os.stat_result) -> bytes:
    """Return the signature of one status."""
    size, modified, changed = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    rest = (status.st_ino, status.st_dev & _MASK, status.st_mode, status.st_uid, status.st_gid)
    try:
        return _pack(size, modified, changed, *rest)
    except struct.error:  # a forged time beyond the year 2262
        return _pack_masked(size & _MASK, modified & _MASK, changed & _MASK, *rest)


def settled(signature: bytes, status: os.stat_result, settle_ns: int = SETTLE_NS) -> bytes:
    """Return `signature`, marked if the entry changed within the last `settle_ns` (racy-git's problem)."""
    age = time.time_ns() - status.st_ctime_ns
    return UNSETTLED + signature if 0 <= age < settle_ns else signature
