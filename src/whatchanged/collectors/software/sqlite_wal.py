"""SQLite's write-ahead log: which pages are committed in it (sqlite.org/fileformat2.html, section 4). Pure.

A foreign database is read without SQLite's own recovery, which would write `-wal` and `-shm` files beside it.
"""

from __future__ import annotations

import struct

import msgspec

from whatchanged.collectors.software.page_reader import Reader

__all__ = ["Committed", "committed"]

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
"""Magic number → byte order of the checksums."""
_MASK = 0xFFFFFFFF


class Committed(msgspec.Struct, frozen=True):
    """The pages that committed transactions left in the log."""

    page_size: int
    pages: int
    """Size of the database after the last commit, in pages."""
    places: dict[int, int]
    """Page number (from 1) → where its newest content stands in the log."""


def committed(log: Reader) -> Committed | None:
    """Return what the log holds, or None if it holds no committed transaction.

    The log ends at the first frame of an older log or with a wrong checksum: what follows was never committed.
    """
    raw = log.at(0, _HEADER.size)
    if len(raw) < _HEADER.size:
        return None
    magic, _, page_size, _, *salts, first, second = _HEADER.unpack(raw)
    if magic not in _MAGICS or page_size not in (1 << shift for shift in range(9, 17)):
        return None
    words = struct.Struct(f"{_MAGICS[magic]}II")
    sums = _checksum(words, raw[:24], (0, 0))
    if sums != (first, second):
        return None
    pages = 0
    places: dict[int, int] = {}
    pending: dict[int, int] = {}
    offset = _HEADER.size
    while len(frame := log.at(offset, _FRAME.size + page_size)) == _FRAME.size + page_size:
        number, size, *rest = _FRAME.unpack_from(frame)
        sums = _checksum(words, memoryview(frame)[_FRAME.size :], _checksum(words, frame[:8], sums))
        if rest != [*salts, *sums] or not number:
            break
        pending[number] = offset + _FRAME.size
        if size:
            places.update(pending)
            pending.clear()
            pages = size
        offset += len(frame)
    return Committed(page_size, pages, places) if pages else None


def _checksum(words: struct.Struct, content: bytes | memoryview, start: tuple[int, int]) -> tuple[int, int]:
    first, second = start
    for even, odd in words.iter_unpack(content):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
