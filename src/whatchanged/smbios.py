"""SMBIOS tables as Windows hands them over (RawSMBIOSData of `GetSystemFirmwareTable`): the machine's UUID. Pure.

Formats: DSP0134, §6.1.2 (structures) and §7.2 (System Information).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["system_uuid"]

_TABLE_HEADER = 8
"""Calling method, major and minor version, revision of DMI: a byte each; then the table's length."""
_STRUCTURE_HEADER = 4
_SYSTEM, _END = 1, 127
_UUID = slice(8, 24)
_LITTLE_ENDIAN_SINCE = (2, 6)
_NONE = (b"\0" * 16, b"\xff" * 16)
"""There is none; it can be set and is not."""


class _Structure(NamedTuple):
    kind: int
    formatted: bytes
    """Header and fields, without the strings behind them."""


def system_uuid(raw: bytes) -> str:
    """Return the UUID of the system, lower case; empty if there is none. A broken table counts as far as it goes."""
    if len(raw) < _TABLE_HEADER:
        return ""
    length = int.from_bytes(raw[4:8], "little")
    for structure in _structures(raw[_TABLE_HEADER : _TABLE_HEADER + length]):
        if structure.kind == _SYSTEM:
            found = structure.formatted[_UUID]
            if len(found) != 16 or found in _NONE:
                return ""
            # Before 2.6 nothing was said of the order of bytes; Linux (dmi_scan.c) takes them as they stand, too.
            swapped = (raw[1], raw[2]) >= _LITTLE_ENDIAN_SINCE
            return str(uuid.UUID(bytes_le=found) if swapped else uuid.UUID(bytes=found))
    return ""


def _structures(table: bytes) -> Iterator[_Structure]:
    """Yield what stands before the end of the table, or before the first structure that is none."""
    at = 0
    while at + _STRUCTURE_HEADER <= len(table):
        kind, length = table[at], table[at + 1]
        if kind == _END or length < _STRUCTURE_HEADER or at + length > len(table):
            return
        yield _Structure(kind, table[at : at + length])
        end = table.find(b"\0\0", at + length)  # of the strings, also where there are none
        if end < 0:
            return
        at = end + 2
