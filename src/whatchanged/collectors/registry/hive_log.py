"""Transaction logs of a hive: what was written there and not yet to the hive itself.

Windows writes changes to `.LOG1` and `.LOG2` first and to the hive much later, so the hive of a machine that was
switched off, or whose disk was imaged while it ran, is old or half written without them. A hive whose two sequence
numbers differ (or whose base block is torn) is such a one. The logs of today hold entries that are numbered and carry
hashes (`HvLE`); an entry counts only if both hashes are right, and only behind the one before. Older logs hold one set
of pages (`DIRT`). Nothing is written anywhere: the pages are laid over the hive as it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from whatchanged.collectors.outcome import reason_of
from whatchanged.collectors.registry.hive_file import BlockFile, Bytes
from whatchanged.collectors.registry.hive_format import BASE_BLOCK, BaseBlock, HiveError, parse_base_block

__all__ = ["Opened", "marvin32", "open_hive_file"]

_LOG_HEADER = 512
_MAX_LOG = 64 * 1024 * 1024
_ENTRY = struct.Struct("<4sIIIIIQQ")
_PAGE = struct.Struct("<II")
_HASHED_HEADER = 32
_SEED = 0x82EF4D887A4E55C5
_MASK = 0xFFFFFFFF
_OLD_LOGS = (1, 2)
_SECTOR = 512


class Opened(NamedTuple):
    """A hive file ready to be read."""

    file: BlockFile
    base: BaseBlock
    recovered: int
    """Entries of its logs that were laid over it."""
    trouble: str
    """Why it may not show the last state of the registry; empty if it does."""


class _Entry(NamedTuple):
    sequence: int
    cells_size: int
    pages: tuple[tuple[int, int, int], ...]
    """Offset behind the base block, place in the log, length."""
    log: Bytes


def open_hive_file(hive: Bytes, logs: tuple[Bytes, ...] = ()) -> Opened:
    """Return a hive with what its logs say laid over it. Raises HiveError if it is no hive, OSError."""
    file = BlockFile(hive)
    base = parse_base_block(file.at(0, BASE_BLOCK))
    if base.kind != 0:
        raise HiveError("is the log of a hive, and no hive")
    if base.intact and base.primary == base.secondary:
        return Opened(file, base, 0, "")
    unread: list[str] = []
    headers = [(log, header) for log in logs if (header := _header(log, unread)) is not None]
    if not base.intact:  # torn while it was written: the logs hold copies of it
        newest = max(headers, key=lambda pair: pair[1].primary, default=None)
        if newest is None:
            raise HiveError("has a base block whose checksum is wrong, and no log that holds a copy")
        # Where the hive stands is not known then, so every entry counts: laying one over twice changes nothing.
        base = newest[1]._replace(secondary=0)
    first, applied, cells_size = base.secondary, 0, base.cells_size
    for entry in _following(headers, first, unread):
        for offset, place, length in entry.pages:
            file.lay(BASE_BLOCK + offset, entry.log, place, length)
        applied, cells_size, first = applied + 1, entry.cells_size, entry.sequence + 1
    trouble = "".join(f"has a log that cannot be read ({reason})" for reason in unread[:1])
    if not applied:
        told = "its logs hold nothing that follows it" if headers else "there is no log of it that can be read"
        trouble = f"was not closed cleanly, and {told}: what was changed last may be missing"
    return Opened(file, base._replace(cells_size=cells_size), applied, trouble)


def _header(log: Bytes, unread: list[str]) -> BaseBlock | None:
    try:
        header = parse_base_block(log.at(0, _LOG_HEADER))
    except HiveError:  # an empty or never used log
        return None
    except OSError as error:
        unread.append(reason_of(error))
        return None
    return header if header.intact and log.size <= _MAX_LOG else None


def _following(headers: list[tuple[Bytes, BaseBlock]], first: int, unread: list[str]) -> Iterator[_Entry]:
    """Yield the entries from number `first` on, one behind the other, whichever logs they stand in."""
    runs = []
    for log, header in headers:
        entries: list[_Entry] = []
        try:
            for entry in _old_entries(log, header) if header.kind in _OLD_LOGS else _entries(log, header):
                entries.append(entry)  # noqa: PERF402  # those before a bad sector count
        except OSError as error:
            unread.append(reason_of(error))
        if entries:
            runs.append(entries)
    last: int | None = None
    for entries in sorted(runs, key=lambda run: run[0].sequence):
        for entry in entries:
            if entry.sequence >= first and (last is None or entry.sequence == last + 1):
                last = entry.sequence
                yield entry


def _entries(log: Bytes, header: BaseBlock) -> Iterator[_Entry]:
    """Yield the entries of a log up to the first that is not whole, or left from an earlier use of the log."""
    place, expected = _LOG_HEADER, header.primary
    while len(head := log.at(place, _ENTRY.size)) == _ENTRY.size:
        signature, size, _, sequence, cells_size, count, hash_body, hash_head = _ENTRY.unpack(head)
        if signature != b"HvLE" or sequence != expected or size % _SECTOR or not _ENTRY.size <= size <= log.size:
            return
        whole = log.at(place, size)
        if len(whole) < size or marvin32(whole[:_HASHED_HEADER]) != hash_head:
            return
        if marvin32(whole[_ENTRY.size :]) != hash_body or (pages := _pages(whole, count, place, cells_size)) is None:
            return
        yield _Entry(sequence, cells_size, pages, log)
        place, expected = place + size, expected + 1


def _pages(whole: bytes, count: int, place: int, cells_size: int) -> tuple[tuple[int, int, int], ...] | None:
    """Return the pages of an entry; None if they do not lie within entry and hive."""
    start = _ENTRY.size + count * _PAGE.size
    if start > len(whole):
        return None
    pages = []
    for offset, length in _PAGE.iter_unpack(whole[_ENTRY.size : start]):
        if not length or length % _SECTOR or start + length > len(whole) or offset + length > cells_size:
            return None
        pages.append((offset, place + start, length))
        start += length
    return tuple(pages)


def _old_entries(log: Bytes, header: BaseBlock) -> Iterator[_Entry]:
    """Yield the one set of pages that an old log holds, if it was written to its end."""
    bits = log.at(_LOG_HEADER, 4 + header.cells_size // BASE_BLOCK)
    if header.primary != header.secondary or bits[:4] != b"DIRT":
        return
    place = _LOG_HEADER + -(-len(bits) // _SECTOR) * _SECTOR
    pages = []
    for number in range((len(bits) - 4) * 8):
        if bits[4 + number // 8] >> number % 8 & 1:
            pages.append((number * _SECTOR, place, _SECTOR))
            place += _SECTOR
    if place <= log.size:
        yield _Entry(header.primary, header.cells_size, tuple(pages), log)


def marvin32(data: bytes, seed: int = _SEED) -> int:
    """Return the hash (Marvin32) that entries carry, of 64 bits."""
    low, high = seed & _MASK, seed >> 32
    whole = len(data) & ~3
    tail = int.from_bytes(data[whole:] + b"\x80", "little")
    words = memoryview(data)[:whole]
    for (word,) in struct.iter_unpack("<I", words):
        low, high = _mixed(low + word & _MASK, high)
    low, high = _mixed(low + tail & _MASK, high)
    low, high = _mixed(low, high)
    return high << 32 | low


def _mixed(low: int, high: int) -> tuple[int, int]:
    high ^= low
    low = (low << 20 | low >> 12) + high & _MASK
    high = (high << 9 | high >> 23) & _MASK ^ low
    low = (low << 27 | low >> 5) + high & _MASK
    return low, (high << 19 | high >> 13) & _MASK
