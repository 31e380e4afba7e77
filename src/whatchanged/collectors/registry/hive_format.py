"""The records of a hive file, one function each: bytes in, values out. Pure.

The format has no public specification of its maker; the one that everybody works from is Maxim Suhanov's
(github.com/msuhanov/regf). All numbers are little-endian; a cell's offset counts from the end of the base block.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from whatchanged.errors import ItemError

__all__ = [
    "BASE_BLOCK",
    "MAX_KEY_RECORD",
    "MAX_VALUE_RECORD",
    "NONE",
    "BaseBlock",
    "HiveError",
    "KeyRecord",
    "ValueRecord",
    "filetime_ns",
    "name_hash",
    "parse_base_block",
    "parse_key",
    "parse_value",
    "upper",
]

BASE_BLOCK = 4096
"""Bytes before the first cell."""
NONE = 0xFFFFFFFF
"""The offset of nothing."""
_SUM_AT = 508
_HEADER = struct.Struct("<4sIIQIIIIII")
_KEY = struct.Struct("<2sHQIIIIIIII")
_KEY_NAME = struct.Struct("<HH")
_KEY_NAME_AT = 72
_KEY_SIZE = 76
_VALUE = struct.Struct("<2sHIIIH")
_VALUE_SIZE = 20
MAX_KEY_RECORD = _KEY_SIZE + 2 * 255
"""Bytes of the longest key record: names have at most 255 letters."""
MAX_VALUE_RECORD = _VALUE_SIZE + 2 * 16_383
"""Bytes of the longest value record, likewise 16,383."""
_KEY_LINK = 0x10
_KEY_COMPRESSED = 0x20
_VALUE_COMPRESSED = 0x01
_RESIDENT = 0x8000_0000
_FILETIME_1970 = 116_444_736_000_000_000


class HiveError(ItemError):
    """A hive file, its log, or a record in it is not what the format says."""


class BaseBlock(NamedTuple):
    """What stands at the beginning of a hive, and of its logs."""

    primary: int
    """Number of the last write that began."""
    secondary: int
    """Number of the last write that ended."""
    minor: int
    kind: int
    """0: a hive; 1, 2, 6: a log."""
    root: int
    cells_size: int
    """Bytes of all cells, behind the base block."""
    intact: bool
    """Whether its own checksum is right."""


class KeyRecord(NamedTuple):
    """A key (`nk`)."""

    name: str
    link: bool
    written: int
    parent: int
    key_count: int
    key_list: int
    value_count: int
    value_list: int


class ValueRecord(NamedTuple):
    """A value (`vk`) without its data, unless it is short enough to stand in the record."""

    name: str
    type: int
    size: int
    offset: int
    resident: bytes | None


def parse_base_block(raw: bytes) -> BaseBlock:
    """Return the base block that `raw` begins with; it need not be intact. Raises HiveError."""
    if len(raw) < 512:
        raise HiveError(f"ends after {len(raw)} bytes: this is no registry hive")
    signature, primary, secondary, _, major, minor, kind, form, root, size = _HEADER.unpack_from(raw)
    if signature != b"regf":
        raise HiveError("does not begin with 'regf': this is no registry hive")
    if major != 1 or form != 1:
        raise HiveError(f"is a hive of version {major}.{minor}, format {form}, which is not known")
    return BaseBlock(primary, secondary, minor, kind, root, size, _checksum(raw) == _number(raw, _SUM_AT))


def _checksum(raw: bytes) -> int:
    total = 0
    for (word,) in struct.iter_unpack("<I", raw[:_SUM_AT]):
        total ^= word
    return {0: 1, NONE: NONE - 1}.get(total, total)


def _number(raw: bytes, offset: int) -> int:
    return int.from_bytes(raw[offset : offset + 4], "little")


def parse_key(cell: bytes) -> KeyRecord:
    """Return the key in a cell. Raises HiveError."""
    if len(cell) < _KEY_SIZE or cell[:2] != b"nk":
        raise HiveError("is no key record")
    _, flags, written, _, parent, key_count, _, key_list, _, value_count, value_list = _KEY.unpack_from(cell)
    length, _ = _KEY_NAME.unpack_from(cell, _KEY_NAME_AT)
    name = _name(cell, _KEY_SIZE, length, compressed=bool(flags & _KEY_COMPRESSED))
    if "\\" in name:
        raise HiveError("has a name that is a path")
    return KeyRecord(name, bool(flags & _KEY_LINK), written, parent, key_count, key_list, value_count, value_list)


def parse_value(cell: bytes) -> ValueRecord:
    """Return the value in a cell. Raises HiveError."""
    if len(cell) < _VALUE_SIZE or cell[:2] != b"vk":
        raise HiveError("is no value record")
    _, length, size, offset, kind, flags = _VALUE.unpack_from(cell)
    name = _name(cell, _VALUE_SIZE, length, compressed=bool(flags & _VALUE_COMPRESSED))
    if not size & _RESIDENT:
        return ValueRecord(name, kind, size, offset, None)
    size &= ~_RESIDENT
    if size > 4:
        raise HiveError(f"says that {size} bytes stand in a field of 4")
    return ValueRecord(name, kind, size, offset, cell[8 : 8 + size])


def _name(cell: bytes, start: int, length: int, *, compressed: bool) -> str:
    raw = cell[start : start + length]
    if len(raw) < length or (length % 2 and not compressed):
        raise HiveError("has a name that is cut off")
    return raw.decode("latin-1") if compressed else raw.decode("utf-16-le", "surrogatepass")


def name_hash(name: str) -> int:
    """Return the number by which an `lh` list finds a name."""
    total = 0
    for letter in upper(name):
        total = total * 37 + ord(letter) & NONE
    return total


def upper(name: str) -> str:
    """Return a name as Windows compares it: letter by letter, none becomes two."""
    if name.isascii():
        return name.upper()
    return "".join(big if len(big := letter.upper()) == 1 else letter for letter in name)


def filetime_ns(filetime: int) -> int | None:
    """Return a count of 100 ns since 1601 as nanoseconds since 1970; None for zero, which stands for none."""
    return (filetime - _FILETIME_1970) * 100 if filetime else None
