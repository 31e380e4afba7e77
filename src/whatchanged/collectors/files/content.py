"""The bytes of a file, piece by piece; holes are not read but known to be zeros (lseek(2), SEEK_HOLE)."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os
from collections.abc import Iterator

__all__ = ["PIECE", "pieces"]

PIECE = 1024 * 1024
"""Bytes of one piece at most."""
_ZEROS = memoryview(bytes(PIECE))


def pieces(fd: int, status: os.stat_result, begin: int = 0) -> Iterator[tuple[memoryview, bool]]:
    """Yield the first `st_size` bytes, from `begin` on, and whether they were read.

    A view is good until the next one is asked for. Ends early where the file does. Raises OSError.
    """
    buffer = memoryview(bytearray(PIECE))
    sparse = status.st_blocks * 512 < status.st_size
    place, size = begin, status.st_size
    while place < size:
        data = _next(fd, place, size, os.SEEK_DATA) if sparse else place
        while place < data:
            count = min(PIECE, data - place)
            yield _ZEROS[:count], False
            place += count
        hole = _next(fd, place, size, os.SEEK_HOLE) if sparse and place < size else size
        while place < hole:
            count = os.preadv(fd, [buffer[: min(PIECE, hole - place)]], place)
            if count == 0:
                return
            yield buffer[:count], True
            place += count


def _next(fd: int, place: int, size: int, kind: int) -> int:
    """Return where the next data or hole begins, `size` at most."""
    try:
        return min(os.lseek(fd, place, kind), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole from here on, or the file has become shorter
            return size
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # the file system knows no holes: all is data
            return place if kind == os.SEEK_DATA else size
        raise
