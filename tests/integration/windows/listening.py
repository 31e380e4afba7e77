"""A watcher and its port, and a way to wait for what it tells."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import gc
import os
import struct
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from whatchanged.watchers.hints import Hint
from whatchanged.watchers.windows import Port

_SECONDS = 30.0
_QUIET = 0.3
_LISTED = 0.5
"""Some watchers list anew when they are asked to read."""
_HANDLES = 64
"""SystemExtendedHandleInformation."""
_HEAD = struct.Struct("<QQ")
_ENTRY = struct.Struct("<QQ24x")
_MISMATCH = 0xC0000004


class Reader(Protocol):
    """What all watchers do."""

    def read(self) -> Sequence[Hint]: ...

    def close(self) -> None: ...


Watching = TypeVar("Watching", bound=Reader)


class Listening(Generic[Watching]):
    """Owns both."""

    def __init__(self, make: Callable[[Port], Watching]) -> None:
        self.port = Port()
        self.watcher = make(self.port)

    def __enter__(self) -> Listening[Watching]:
        return self

    def __exit__(self, *_: object) -> None:
        self.watcher.close()
        self.port.close()

    def until(self, enough: Callable[[list[Hint]], bool]) -> list[Hint]:
        """Return all hints up to those that were enough."""
        end = time.monotonic() + _SECONDS
        found: list[Hint] = []
        while not enough(found):
            assert time.monotonic() < end, found
            self.port.wait(_LISTED)
            found += self.watcher.read()
        return found

    def quiet(self) -> None:
        """Read until nothing more comes of what was done before."""
        last = time.monotonic()
        while time.monotonic() - last < _QUIET:
            self.port.wait(_QUIET)
            if self.watcher.read():
                last = time.monotonic()


def open_handles() -> int:
    """Return how many handles this process has open (GetProcessHandleCount is always 0 under Wine)."""
    gc.collect()  # a lock of Python's has a handle
    size = 1 << 20
    while True:
        buffer = ctypes.create_string_buffer(size)
        status = ctypes.WinDLL("ntdll").NtQuerySystemInformation(_HANDLES, buffer, size, None) & 0xFFFFFFFF
        if status != _MISMATCH:
            break
        size *= 2
    assert status == 0
    raw = buffer.raw
    count, _ = _HEAD.unpack_from(raw)
    entries = _ENTRY.iter_unpack(raw[_HEAD.size : _HEAD.size + count * _ENTRY.size])
    return sum(process == os.getpid() for _, process in entries)
