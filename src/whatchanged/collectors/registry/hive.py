"""A registry hive file: its keys and values, read where they stand.

Files come from disks that failed and from strangers, so nothing in them is believed: every offset is checked, a key
counts only below the key that it names as its parent (so keys are a tree, whatever the lists say), and reading stops
when far more was read than the file holds. A damaged part is told to `damaged` and left out; the rest is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from whatchanged.collectors.registry.hive_file import Bytes
from whatchanged.collectors.registry.hive_format import (
    BASE_BLOCK,
    MAX_KEY_RECORD,
    MAX_VALUE_RECORD,
    NONE,
    BaseBlock,
    HiveError,
    KeyRecord,
    ValueRecord,
    filetime_ns,
    name_hash,
    parse_key,
    parse_value,
    upper,
)
from whatchanged.collectors.registry.source import RegistryValue

__all__ = ["Hive", "HiveKey"]

_MAX_VALUE = 32 * 1024 * 1024
_SEGMENT = 16_344
"""Bytes of data in one cell; longer data stands in segments (`db`) since version 1.4."""
_TIMES_READ = 32
"""How often all that a hive holds may be read before it counts as forged."""
_SPARE_WORK = 16 * 1024 * 1024
_MAX_DEPTH = 512
"""Levels that Windows allows."""
_PIECE = 512
"""Entries of a list that are read at once."""
_CELL_COST = 64
"""What looking at a cell costs beside its bytes, counted in bytes."""

Damaged = Callable[[str, str], None]
"""Is told the path below the root, empty for the root, and what is wrong."""


class Hive:
    """An open hive."""

    def __init__(self, file: Bytes, base: BaseBlock, damaged: Damaged) -> None:
        self._file = file
        self._minor = base.minor
        self._end = min(base.cells_size, file.size - BASE_BLOCK)
        self._work = _SPARE_WORK + _TIMES_READ * file.size
        self._damaged = damaged
        self._root = base.root

    def root(self) -> HiveKey:
        """Return the root key. Raises HiveError."""
        return HiveKey(self, self._root, parse_key(self.cell(self._root, MAX_KEY_RECORD)), "", 0)

    def damaged(self, path: str, reason: str) -> None:
        """Say that something below `path` is left out."""
        self._damaged(path, reason)

    def cell(self, offset: int, length: int) -> bytes:
        """Return what is in the cell at `offset`, at most `length` bytes. Raises HiveError."""
        return self._read(BASE_BLOCK + offset + 4, min(length, self._room(offset)))

    def _room(self, offset: int) -> int:
        """Return how many bytes the cell at `offset` has room for. Raises HiveError."""
        if offset % 8 or offset + 8 > self._end:
            raise HiveError(f"lies at {offset:#x}, where no cell can be")
        size = -int.from_bytes(self._read(BASE_BLOCK + offset, 4), "little", signed=True)
        if size < 8 or offset + size > self._end:
            raise HiveError(f"at {offset:#x} is a cell that is free or cut off")
        return size - 4

    def _numbers(self, offset: int, start: int, count: int, width: int) -> Iterator[tuple[int, ...]]:
        """Yield `count` entries of `width` numbers each from the cell at `offset`, behind its first `start` bytes.

        A list is read piece by piece, so that it takes no memory however long it says it is. Raises HiveError.
        """
        room = (self._room(offset) - start) // (4 * width)
        if count > room:
            raise HiveError(f"at {offset:#x} is a list of {count} entries in room for {room}")
        layout = struct.Struct(f"<{width}I")
        place = BASE_BLOCK + offset + 4 + start
        for first in range(0, count, _PIECE):
            entries = min(_PIECE, count - first)
            yield from layout.iter_unpack(self._read(place + first * layout.size, entries * layout.size))

    def key_at(self, offset: int, parent: int) -> KeyRecord:
        """Return the key at `offset`, which must name `parent` as its own. Raises HiveError."""
        record = parse_key(self.cell(offset, MAX_KEY_RECORD))
        if record.parent != parent or offset == self._root:
            raise HiveError(f"at {offset:#x} is a key that belongs elsewhere")
        return record

    def key_offsets(self, record: KeyRecord, hashed: int | None = None) -> Iterator[int]:
        """Yield the offsets of the keys in a key; of a name's hash only those it may be. Raises HiveError."""
        if record.key_count and record.key_list != NONE:
            yield from self._listed(record.key_list, hashed, nested=False)

    def _listed(self, offset: int, hashed: int | None, *, nested: bool) -> Iterator[int]:
        header = self.cell(offset, 4)
        signature, count = header[:2], int.from_bytes(header[2:], "little")
        if signature == b"lh" and hashed is not None:
            yield from (entry for entry, number in self._numbers(offset, 4, count, 2) if number == hashed)
        elif signature in (b"lh", b"lf"):
            yield from (entry for entry, _ in self._numbers(offset, 4, count, 2))
        elif signature == b"li":
            yield from (entry for (entry,) in self._numbers(offset, 4, count, 1))
        elif signature == b"ri" and not nested:
            for (entry,) in self._numbers(offset, 4, count, 1):
                yield from self._listed(entry, hashed, nested=True)
        else:
            raise HiveError(f"at {offset:#x} is no list of keys")

    def value_offsets(self, record: KeyRecord) -> Iterator[int]:
        """Yield the offsets of the values of a key. Raises HiveError."""
        if record.value_count and record.value_list != NONE:
            for (offset,) in self._numbers(record.value_list, 0, record.value_count, 1):
                yield offset

    def value_at(self, offset: int) -> ValueRecord:
        """Return the value at `offset`, without its data. Raises HiveError."""
        return parse_value(self.cell(offset, MAX_VALUE_RECORD))

    def data(self, record: ValueRecord) -> bytes:
        """Return the data of a value. Raises HiveError."""
        if record.resident is not None or not record.size:
            return record.resident or b""
        if record.size > min(_MAX_VALUE, self._end):
            raise HiveError(f"says that it has {record.size} bytes of data")
        if record.size > _SEGMENT and self._minor > 3 and self.cell(record.offset, 2) == b"db":
            data = self._segments(self.cell(record.offset, 8), record.size)
        else:
            data = self.cell(record.offset, record.size)
        if len(data) < record.size:
            raise HiveError(f"has {len(data)} bytes of data where it says {record.size}")
        return data

    def _segments(self, header: bytes, size: int) -> bytes:
        if len(header) < 8:
            raise HiveError("has a list of segments that is cut off")
        count, offset = struct.unpack_from("<HI", header, 2)
        if count != -(-size // _SEGMENT):
            raise HiveError(f"has {count} segments of data for {size} bytes")
        data = bytearray()
        for (segment,) in self._numbers(offset, 0, count, 1):
            data += self.cell(segment, min(_SEGMENT, size - len(data)))
        return bytes(data)

    def _read(self, offset: int, length: int) -> bytes:
        self._work -= length + _CELL_COST
        if self._work < 0:
            raise HiveError("leads to the same places again and again: it is damaged or forged")
        try:
            raw = self._file.at(offset, length)
        except OSError as error:
            raise HiveError(f"cannot be read at {offset:#x}: {error.strerror}") from None
        if len(raw) < length:
            raise HiveError(f"ends before {offset + length:#x}")
        return raw


class HiveKey:
    """A key of a hive."""

    def __init__(self, hive: Hive, offset: int, record: KeyRecord, path: str, depth: int) -> None:
        self._hive = hive
        self._offset = offset
        self._record = record
        self._depth = depth
        self.path = path
        """Below the root; the root's is empty."""

    @property
    def name(self) -> str:
        """Name; the root's own name means nothing."""
        return self._record.name

    @property
    def written_ns(self) -> int | None:
        """When it was last written to."""
        return filetime_ns(self._record.written)

    @property
    def link(self) -> bool:
        """Whether it is a symbolic link."""
        return self._record.link

    def subkeys(self) -> Iterator[HiveKey]:
        """Yield the keys in this one."""
        for offset in self._key_offsets(None):
            if (key := self._key_at(offset)) is not None:
                yield key

    def subkey(self, name: str) -> HiveKey | None:
        """Return the key of that name; a link itself if it is one."""
        wanted = upper(name)
        for offset in self._key_offsets(name_hash(name)):
            key = self._key_at(offset)
            if key is not None and upper(key.name) == wanted:
                return key
        return None

    def values(self) -> Iterator[RegistryValue]:
        """Yield the values, each name once."""
        seen: set[str] = set()
        for record in self._value_records():
            if (name := upper(record.name)) not in seen:
                seen.add(name)
                if (value := self._with_data(record)) is not None:
                    yield value

    def value(self, name: str) -> RegistryValue | None:
        """Return the value of that name."""
        wanted = upper(name)
        for record in self._value_records():
            if upper(record.name) == wanted:
                return self._with_data(record)
        return None

    def _key_offsets(self, hashed: int | None) -> Iterator[int]:
        try:
            if self._depth >= _MAX_DEPTH:
                raise HiveError(f"lies {self._depth} levels deep")
            yield from self._hive.key_offsets(self._record, hashed)
        except HiveError as error:
            self._hive.damaged(self.path, f"the keys in it: {error}")

    def _key_at(self, offset: int) -> HiveKey | None:
        try:
            record = self._hive.key_at(offset, self._offset)
        except HiveError as error:
            self._hive.damaged(self.path, f"a key in it: {error}")
            return None
        path = f"{self.path}\\{record.name}" if self.path else record.name
        return HiveKey(self._hive, offset, record, path, self._depth + 1)

    def _value_records(self) -> Iterator[ValueRecord]:
        try:
            for offset in self._hive.value_offsets(self._record):
                try:
                    record = self._hive.value_at(offset)
                except HiveError as error:
                    self._hive.damaged(self.path, f"a value: {error}")
                else:
                    yield record
        except HiveError as error:
            self._hive.damaged(self.path, f"its values: {error}")

    def _with_data(self, record: ValueRecord) -> RegistryValue | None:
        try:
            return RegistryValue(record.name, record.type, self._hive.data(record))
        except HiveError as error:
            self._hive.damaged(self.path, f"the value {record.name!r}: {error}")
            return None
