"""rpm's own database `Packages.db` (SUSE): slot pages that say where the header blobs lie. Pure.

Format: rpm's lib/backend/ndb/rpmpkg.c. All numbers are little endian, 4 bytes. The file begins with a header of 32
bytes (magic `RpmP`, version 0, generation, number of slot pages, next index) and continues with slots of 16 bytes
(magic `Slot`, package index, first block, number of blocks; first block 0: free) to the end of the slot pages of 4096
bytes. A block is 16 bytes. A blob is a head (magic `BlbS`, package index, time, length), the header, padding, and in
the last 12 bytes of its blocks a tail (Adler-32 of all before, length, magic `BlbE`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.page_reader import Reader
from whatchanged.collectors.software.rpm_header import LARGEST_HEADER

__all__ = ["ndb_blobs"]

_HEADER = struct.Struct("<4sIIIIIII")
_SLOT = struct.Struct("<4sIII")
_TAIL = struct.Struct("<II4s")
_PAGE = 4096
_BLOCK = 16
_MOST_SLOT_PAGES = 4096
"""A million packages."""


def ndb_blobs(file: Reader) -> Iterator[bytes | PackageDatabaseError]:
    """Yield the header blobs by package index, or what is wrong with one. Raises PackageDatabaseError, OSError."""
    for index, first, count in _slots(file):
        try:
            yield _blob(file, index, first, count)
        except PackageDatabaseError as error:
            yield error


def _slots(file: Reader) -> list[tuple[int, int, int]]:
    raw = file.at(0, _HEADER.size)
    if len(raw) < _HEADER.size:
        raise PackageDatabaseError("the database ends in its header")
    magic, version, _, pages, *_ = _HEADER.unpack(raw)
    if magic != b"RpmP" or version != 0:
        raise PackageDatabaseError("no ndb database of version 0")
    if not 0 < pages <= _MOST_SLOT_PAGES or pages * _PAGE > file.size:
        raise PackageDatabaseError("the database is shorter than its slots")
    table = file.at(_HEADER.size, pages * _PAGE - _HEADER.size)
    if len(table) % _SLOT.size:
        raise PackageDatabaseError("the database ends in its slots")
    slots = []
    for magic, index, first, count in _SLOT.iter_unpack(table):
        if magic != b"Slot":
            raise PackageDatabaseError("a slot has no mark")
        if first:
            slots.append((index, first, count))
    return sorted(slots)


def _blob(file: Reader, index: int, first: int, count: int) -> bytes:
    if not 2 <= count <= LARGEST_HEADER // _BLOCK:
        raise PackageDatabaseError(f"package {index}: {count} blocks")
    raw = file.at(first * _BLOCK, count * _BLOCK)
    if len(raw) < count * _BLOCK:
        raise PackageDatabaseError(f"package {index}: the database ends before it")
    magic, owner, _, length = _SLOT.unpack_from(raw)
    adler, same_length, end_magic = _TAIL.unpack_from(raw, len(raw) - _TAIL.size)
    if (magic, end_magic, owner, length) != (b"BlbS", b"BlbE", index, same_length):
        raise PackageDatabaseError(f"package {index}: its blob has other marks")
    if not 0 <= len(raw) - _SLOT.size - _TAIL.size - length < _BLOCK:
        raise PackageDatabaseError(f"package {index}: its blob has another length")
    if zlib.adler32(memoryview(raw)[: -_TAIL.size]) != adler:
        raise PackageDatabaseError(f"package {index}: wrong checksum")
    return raw[_SLOT.size : _SLOT.size + length]
