r"""The registry as collectors see it, whoever holds it: the running system, or the hive files of a mounted disk.

A `RegistrySource` opens keys by their full path, `HKEY_LOCAL_MACHINE\SOFTWARE\…`, as a 64-bit program sees them (the
32-bit view stands below `Wow6432Node`). Names are text that may hold halves of surrogate pairs and even NUL, and are
compared without regard to case. "Not there" is None. What is there and cannot be read is told to the source's tally
under its path (`tally.deny` for a key and all below, `tally.fail` for one value) and left out, so that the readers
above need no error handling. They are pure: they know keys and values, and never where these come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from whatchanged.collectors.outcome import Tally
from whatchanged.records.registry_values import RegistryType, multi_text, string_text

__all__ = [
    "CURRENT_CONTROL_SET",
    "MACHINE",
    "USERS",
    "RegistryKey",
    "RegistrySource",
    "RegistryValue",
    "clean_text",
    "number_at",
    "text_at",
    "texts_at",
]

MACHINE = "HKEY_LOCAL_MACHINE"
USERS = "HKEY_USERS"
CURRENT_CONTROL_SET = rf"{MACHINE}\SYSTEM\CurrentControlSet"

_STRINGS = (RegistryType.REG_SZ, RegistryType.REG_EXPAND_SZ)
_NUMBERS = {RegistryType.REG_DWORD: 4, RegistryType.REG_QWORD: 8}


class RegistryValue(msgspec.Struct, frozen=True):
    """A value as it is; the default value of a key has no name."""

    name: str
    type: int
    data: bytes


class RegistryKey(Protocol):
    """A key that was opened. It holds what it needs by itself; nobody closes it."""

    @property
    def path(self) -> str:
        """Full path in the key's own spelling, as it was come to."""

    @property
    def name(self) -> str:
        """Last part of the path."""

    @property
    def written_ns(self) -> int | None:
        """When the key was last written to, in nanoseconds since 1970."""

    @property
    def link(self) -> bool:
        """Whether a symbolic link stands there: `subkeys` gives the link itself, `subkey` and `open` follow it."""

    def subkeys(self) -> Iterator[RegistryKey]:
        """Yield the keys in this one."""

    def subkey(self, name: str) -> RegistryKey | None:
        """Return the key of that name in this one, at the end of a link if it is one; `name` holds no backslash."""

    def values(self) -> Iterator[RegistryValue]:
        """Yield the values, each name once."""

    def value(self, name: str) -> RegistryValue | None:
        """Return the value of that name; of "" the default value."""


class RegistrySource(Protocol):
    """The registry of one machine, or as much of it as there is."""

    tally: Tally
    """Where it says what it could not read."""

    def open(self, path: str) -> RegistryKey | None:
        """Return the key at a full path, which begins with `MACHINE` or `USERS`, links followed."""

    def users(self) -> tuple[str, ...]:
        r"""Return the names below `USERS` of accounts that have a hive (`S-1-5-21-…`, `.DEFAULT`), signed in or not."""


def clean_text(text: str) -> str:
    """Return `text` without halves of surrogate pairs, which no row can carry."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def text_at(key: RegistryKey | None, name: str) -> str:
    """Return the string of a value; "" if it is not there or no string."""
    value = None if key is None else key.value(name)
    if value is None or value.type not in _STRINGS:
        return ""
    return clean_text(string_text(value.data))


def texts_at(key: RegistryKey | None, name: str) -> tuple[str, ...]:
    """Return the strings of a list of strings; none if it is not there or no such list."""
    value = None if key is None else key.value(name)
    strings = multi_text(value.data) if value is not None and value.type == RegistryType.REG_MULTI_SZ else ()
    return tuple(clean_text(string) for string in strings)


def number_at(key: RegistryKey | None, name: str) -> int | None:
    """Return the number of a value; None if it is not there or no number."""
    value = None if key is None else key.value(name)
    if value is None or value.type not in _NUMBERS or len(value.data) != _NUMBERS[RegistryType(value.type)]:
        return None
    return int.from_bytes(value.data, "little")
