r"""The registry of the running system, with its bytes as they are and both views.

`winreg` turns data into objects of Python, from which the bytes do not come back, and does not tell how a key spells
itself, so values and names are read by the system's own calls. Keys are opened as a 64-bit program sees them.
Hives of users who are signed out are read where they lie (docs/adr/0024), so that signing in and out changes nothing.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import struct
import winreg
from collections.abc import Iterator
from ctypes import wintypes

from whatchanged.collectors.outcome import Failure, Tally
from whatchanged.collectors.registry.mounted import MountedRegistry, is_account
from whatchanged.collectors.registry.source import MACHINE, USERS, RegistryKey, RegistryValue, text_at
from whatchanged.collectors.registry.unloaded_file import UnloadedFile
from whatchanged.records.registry_values import RegistryType, name_bytes

__all__ = ["LiveRegistry"]

_SYSTEM = "S-1-5-18"
"""Another name of `.DEFAULT`."""
_WINDOWS = rf"{MACHINE}\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_TOPS = {MACHINE: winreg.HKEY_LOCAL_MACHINE, USERS: winreg.HKEY_USERS}
_ACCESS = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
_OPEN_LINK = 8
"""REG_OPTION_OPEN_LINK: the link itself."""
_LINK_VALUE = "SymbolicLinkValue"
_LONGEST_NAME = 16_384
"""Characters of a value's name, with its end (documented limit: 16,383)."""
_FIRST_DATA = 4096
_SUCCESS, _NOT_FOUND, _INVALID_NAME, _MORE, _NO_MORE, _DELETED = 0, 2, 123, 234, 259, 1018
_GONE = (_NOT_FOUND, _DELETED)
_UNIX_EPOCH = 116_444_736_000_000_000
"""1970 in units of 100 ns since 1601."""
_BASIC = struct.Struct("<qII")
"""KEY_BASIC_INFORMATION: last write, title index, bytes of the name, which follows."""

_advapi32 = ctypes.WinDLL("advapi32")
_enumerate_value = _advapi32.RegEnumValueW
_enumerate_value.argtypes = (
    wintypes.HKEY, wintypes.DWORD, ctypes.c_void_p, ctypes.POINTER(wintypes.DWORD), ctypes.c_void_p,
    ctypes.POINTER(wintypes.DWORD), ctypes.c_void_p, ctypes.POINTER(wintypes.DWORD),
)  # fmt: skip
_enumerate_value.restype = wintypes.LONG
_query_value = _advapi32.RegQueryValueExW
_query_value.argtypes = (
    wintypes.HKEY, wintypes.LPCWSTR, ctypes.c_void_p, ctypes.POINTER(wintypes.DWORD), ctypes.c_void_p,
    ctypes.POINTER(wintypes.DWORD),
)  # fmt: skip
_query_value.restype = wintypes.LONG
_query_key = ctypes.WinDLL("ntdll").NtQueryKey
_query_key.argtypes = (
    wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.ULONG, ctypes.POINTER(wintypes.ULONG)
)  # fmt: skip
_query_key.restype = wintypes.LONG


class LiveRegistry:
    """The registry of this machine, for one look: who is signed in is asked once."""

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = Tally() if tally is None else tally
        self._loaded: dict[str, str] | None = None
        self._signed_out: MountedRegistry | None = None
        self._parted: set[str] = set()

    def open(self, path: str) -> RegistryKey | None:
        """Return the key at a full path, links followed."""
        top, *names = [name for name in path.split("\\") if name] or [""]
        if top.upper() not in _TOPS:
            return None
        key: RegistryKey | None = _Users(self) if top.upper() == USERS else _LiveKey(self, _TOPS[MACHINE], MACHINE)
        for name in names:
            key = None if key is None else key.subkey(name)
        return key

    def users(self) -> tuple[str, ...]:
        """Return the accounts that have a hive, signed in or not."""
        loaded = self.loaded()
        here = (name for folded, name in loaded.items() if is_account(name) and folded != _SYSTEM)
        return (*here, *(name for name in self.signed_out().profiles() if name.upper() not in loaded))

    def loaded(self) -> dict[str, str]:
        """Return the names below `USERS` when the look began, by themselves in upper case."""
        if self._loaded is None:
            self._loaded = {name.upper(): name for name in _Users(self).loaded_names()}
        return self._loaded

    def signed_out(self) -> MountedRegistry:
        """Return the source of what is not loaded."""
        if self._signed_out is None:
            root = text_at(self.open(_WINDOWS), "SystemRoot")[:2] or "C:"
            self._signed_out = MountedRegistry(f"{root}\\".encode(), self.tally, running=self, file=UnloadedFile)
        return self._signed_out

    def deny(self, path: str, error: OSError) -> None:
        """Tell that a key could not be read; one that has gone meanwhile is none of the failures.

        The keys of a user go when he signs out, and are there all the same.
        """
        if error.winerror not in _GONE:
            self.tally.deny(name_bytes(path), _reason(error.winerror or 0))
        elif error.winerror == _DELETED and path.startswith(f"{USERS}\\"):
            users = _Users(self)
            name = path.split("\\")[1]
            if name.upper() not in (there.upper() for there in users.loaded_names()):
                self.part(name)

    def part(self, name: str) -> None:
        """Tell that a hive was unloaded since the look began."""
        if name.upper() not in self._parted:
            self._parted.add(name.upper())
            self.tally.deny(name_bytes(f"{USERS}\\{name}"), "was unloaded while it was looked at")


class _LiveKey:
    """An open key; the system closes it when nobody has it any more."""

    def __init__(self, source: LiveRegistry, handle: winreg.HKEYType | int, path: str, *, link: bool = False) -> None:
        self._source = source
        self._handle = handle
        self.path = path
        self.name = path.rpartition("\\")[2]
        self.link = link

    @property
    def written_ns(self) -> int | None:
        try:
            written = _basic(self._handle)[0]
        except OSError as error:
            self._source.deny(self.path, error)
            return None
        return (written - _UNIX_EPOCH) * 100 if written else None

    def subkeys(self) -> Iterator[RegistryKey]:
        for name in self._names():
            path = f"{self.path}\\{name}"
            if "\0" in name:
                self._source.tally.deny(
                    name_bytes(path), "its name holds NUL, so that no program but the kernel opens it"
                )
            elif (handle := self._opened(name, _OPEN_LINK)) is not None:
                yield _LiveKey(self._source, handle, path, link=_is_link(handle))

    def subkey(self, name: str) -> RegistryKey | None:
        if "\0" in name or (handle := self._opened(name, _OPEN_LINK)) is None:
            return None
        try:
            path = f"{self.path}\\{_basic(handle)[1]}"
        except OSError as error:
            self._source.deny(f"{self.path}\\{name}", error)
            return None
        if not _is_link(handle):
            return _LiveKey(self._source, handle, path)
        followed = self._opened(name, 0)
        return None if followed is None else _LiveKey(self._source, followed, path, link=True)

    def values(self) -> Iterator[RegistryValue]:
        name = ctypes.create_unicode_buffer(_LONGEST_NAME)
        data = ctypes.create_string_buffer(_FIRST_DATA)
        index = 0
        while True:
            length, size, kind = wintypes.DWORD(_LONGEST_NAME), wintypes.DWORD(len(data)), wintypes.DWORD()
            status = _enumerate_value(
                int(self._handle), index, name, ctypes.byref(length), None, ctypes.byref(kind), data, ctypes.byref(size)
            )
            if status == _MORE and size.value > len(data):
                data = ctypes.create_string_buffer(size.value)
                continue
            if status != _SUCCESS:
                if status != _NO_MORE:
                    self._source.deny(self.path, ctypes.WinError(status))
                return
            index += 1
            yield RegistryValue(ctypes.wstring_at(name, length.value), kind.value, data.raw[: size.value])

    def value(self, name: str) -> RegistryValue | None:
        if "\0" in name:
            return None
        size, kind, status = _FIRST_DATA, wintypes.DWORD(), _MORE
        data = ctypes.create_string_buffer(size)
        length = wintypes.DWORD()
        while status == _MORE:
            data = ctypes.create_string_buffer(size)
            length = wintypes.DWORD(size)
            status = _query_value(int(self._handle), name, None, ctypes.byref(kind), data, ctypes.byref(length))
            size = max(length.value, size * 2)  # it may have grown once more
        if status == _SUCCESS:
            return RegistryValue(name, kind.value, data.raw[: length.value])
        if status == _DELETED:
            self._source.deny(self.path, ctypes.WinError(status))
        elif status != _NOT_FOUND:
            self._source.tally.fail(Failure(name_bytes(f"{self.path}\\{name}"), _reason(status)))
        return None

    def _names(self) -> Iterator[str]:
        index = 0
        while True:
            try:
                yield winreg.EnumKey(self._handle, index)
            except OSError as error:
                if error.winerror != _NO_MORE:
                    self._source.deny(self.path, error)
                return
            index += 1

    def _opened(self, name: str, options: int) -> winreg.HKEYType | None:
        try:
            return winreg.OpenKeyEx(self._handle, name, options, _ACCESS)
        except OSError as error:
            if error.winerror != _INVALID_NAME:
                self._source.deny(f"{self.path}\\{name}", error)
            return None


class _Users(_LiveKey):
    """HKEY_USERS with every hive that there is, loaded or not."""

    def __init__(self, source: LiveRegistry) -> None:
        super().__init__(source, _TOPS[USERS], USERS)

    def loaded_names(self) -> Iterator[str]:
        """Yield the names of the hives that are loaded now."""
        return self._names()

    def subkeys(self) -> Iterator[RegistryKey]:
        yield from super().subkeys()
        loaded = self._source.loaded()
        for name in self._source.signed_out().root_names(USERS):
            if name.upper() not in loaded and (key := self.subkey(name)) is not None:
                yield key

    def subkey(self, name: str) -> RegistryKey | None:
        if name.upper() not in self._source.loaded():
            return self._source.signed_out().root_key(USERS, name)
        key = super().subkey(name)
        if key is None:
            self._source.part(name)
        return key


def _basic(handle: winreg.HKEYType | int) -> tuple[int, str]:
    """Return when a key was last written to (100 ns since 1601), and its name as it spells it."""
    buffer = ctypes.create_string_buffer(_BASIC.size + 2 * 256)
    length = wintypes.ULONG()
    status = _query_key(int(handle), 0, buffer, len(buffer), ctypes.byref(length))
    if status != 0:
        raise ctypes.WinError(ctypes.WinDLL("ntdll").RtlNtStatusToDosError(status))
    written, _, size = _BASIC.unpack_from(buffer.raw)
    name = buffer.raw[_BASIC.size : _BASIC.size + size].decode("utf-16-le", "surrogatepass")
    return written, name


def _is_link(handle: winreg.HKEYType) -> bool:
    kind = wintypes.DWORD()
    status = _query_value(int(handle), _LINK_VALUE, None, ctypes.byref(kind), None, None)
    return bool(status == _SUCCESS and kind.value == RegistryType.REG_LINK)


def _reason(number: int) -> str:
    """Return an error as text; not the system's, which is in the language of the machine."""
    return "access is denied" if number == 5 else f"error {number}"
