"""The one place where a thread waits for all watchers of Windows: an I/O completion port.

Folders complete into it by themselves. Events, of which a thread can wait for 64 only, are waited for by the system's
thread pool, which posts. Services call back in a thread that waits alertably, as this wait is.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import itertools
import threading
from collections.abc import Callable
from ctypes import wintypes

from whatchanged.errors import WatchError

__all__ = ["EventWait", "Port"]

_INVALID_HANDLE = ctypes.c_void_p(-1)
_FOREVER = 0xFFFFFFFF
_EXECUTE_IN_WAIT_THREAD = 4
"""WT_EXECUTEINWAITTHREAD: for a callback that returns at once; without it a second thread would be woken."""
_TIMEOUT, _CALLED_BACK = 258, 192
"""WAIT_TIMEOUT, WAIT_IO_COMPLETION."""
_ENTRIES = 256
_WAKE = 0
"""The completion key of what only wakes."""


class _Entry(ctypes.Structure):
    """OVERLAPPED_ENTRY."""

    _fields_ = (
        ("key", ctypes.c_size_t),
        ("overlapped", ctypes.c_void_p),
        ("internal", ctypes.c_size_t),
        ("size", wintypes.DWORD),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_create = _kernel32.CreateIoCompletionPort
_create.argtypes = (wintypes.HANDLE, wintypes.HANDLE, ctypes.c_size_t, wintypes.DWORD)
_create.restype = wintypes.HANDLE
_dequeue = _kernel32.GetQueuedCompletionStatusEx
_dequeue.argtypes = (
    wintypes.HANDLE, ctypes.POINTER(_Entry), wintypes.ULONG, ctypes.POINTER(wintypes.ULONG), wintypes.DWORD,
    wintypes.BOOL,
)  # fmt: skip
_dequeue.restype = wintypes.BOOL
_post = _kernel32.PostQueuedCompletionStatus
_post.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.c_size_t, ctypes.c_void_p)
_post.restype = wintypes.BOOL
_close = _kernel32.CloseHandle
_close.argtypes = (wintypes.HANDLE,)
_close.restype = wintypes.BOOL
_Called = ctypes.WINFUNCTYPE(None, ctypes.c_void_p, wintypes.BOOLEAN)
"""WAITORTIMERCALLBACK."""
_register = _kernel32.RegisterWaitForSingleObject
_register.argtypes = (
    ctypes.POINTER(wintypes.HANDLE), wintypes.HANDLE, _Called, ctypes.c_void_p, wintypes.ULONG, wintypes.ULONG,
)  # fmt: skip
_register.restype = wintypes.BOOL
_unregister = _kernel32.UnregisterWaitEx
_unregister.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_unregister.restype = wintypes.BOOL


class EventWait:
    """An event that the thread pool waits for, again and again."""

    def __init__(self, handle: wintypes.HANDLE) -> None:
        self._handle = handle

    def close(self) -> None:
        """Wait no longer; when this returns nothing is posted any more. Raises WatchError."""
        if not _unregister(self._handle, _INVALID_HANDLE):
            raise _failure("an event is still waited for")


class Port:
    """Owns the port. One thread waits; `post` and `end` may be called by any."""

    def __init__(self) -> None:
        """Raises WatchError."""
        handle = _create(_INVALID_HANDLE, None, 0, 1)
        if not handle:
            raise _failure("no completion port")
        self._handle = handle
        self._lock = threading.RLock()  # a signal's handler may end it while this thread posts
        self._open = True
        self._ended = False
        self._failure: WatchError | None = None
        self._numbers = itertools.count(_WAKE + 1)
        self._takers: dict[int, Callable[[int], None]] = {}
        self._called = _Called(self._signalled)  # the pool calls it as long as somebody waits: it must live as we do
        self._entries = (_Entry * _ENTRIES)()

    def enlist(self, take: Callable[[int], None]) -> int:
        """Return a number, never given again, whose completions go to `take` with their size, in the waiting thread."""
        number = next(self._numbers)
        self._takers[number] = take
        return number

    def dismiss(self, number: int) -> None:
        """Throw away what still comes for a number."""
        self._takers.pop(number, None)

    def attach(self, handle: int, number: int) -> None:
        """Let what completes on an overlapped handle come here. Raises WatchError."""
        if not _create(handle, self._handle, number, 0):
            raise _failure("a handle does not complete into the port")

    def wait_for(self, event: int, number: int) -> EventWait:
        """Post for `number` whenever an event, which resets itself, is set. Raises WatchError."""
        waiting = wintypes.HANDLE()
        if not _register(
            ctypes.byref(waiting), event, self._called, ctypes.c_void_p(number), _FOREVER, _EXECUTE_IN_WAIT_THREAD
        ):
            raise _failure("an event cannot be waited for")
        return EventWait(waiting)

    def _signalled(self, number: int | None, _timed_out: bool) -> None:
        """Called by a thread of the pool, in which nobody could catch an error."""
        try:
            self.post(number or _WAKE)
        except WatchError as error:
            self._failure = error

    def post(self, number: int = _WAKE) -> None:
        """Wake the wait; with a number, as if something completed for it."""
        with self._lock:
            if self._open and not _post(self._handle, 0, number, None):
                raise _failure("the port takes nothing")

    def end(self) -> None:
        """Let the wait, now and ever after, return False at once."""
        self._ended = True
        self.post()

    def wait(self, seconds: float) -> bool:
        """Wait until something completed or was posted, hand it out, return whether to go on. Raises WatchError."""
        left = max(0, round(seconds * 1000))
        count = wintypes.ULONG(_ENTRIES)
        while not self._ended and count.value == _ENTRIES:
            count.value = 0
            done = _dequeue(self._handle, self._entries, _ENTRIES, ctypes.byref(count), left, True)
            if not done:
                if ctypes.get_last_error() not in (_TIMEOUT, _CALLED_BACK):
                    raise _failure("the completion port is lost")
                break
            left = 0
            for number, size in [(entry.key, entry.size) for entry in self._entries[: count.value]]:
                take = self._takers.get(number)
                if take is not None:
                    take(size)
        if self._failure is not None:
            raise self._failure
        return not self._ended

    def close(self) -> None:
        """Close the port, after all that completes into it, in the thread that waited."""
        with self._lock:
            if self._open:
                self._open = False
                _close(self._handle)


def _failure(what: str) -> WatchError:
    return WatchError(f"{what}: error {ctypes.get_last_error()}")
