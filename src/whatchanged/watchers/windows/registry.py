r"""The registry's notifications (RegNotifyChangeKeyValue): which rule's key changed, or something below it.

A notification says only that, and is given once: it is asked for again before anybody is told to look, so that what
happens during the look is told too. Paths in hints are folded as `RegistryScope` compares them, in the 64-bit view; the
32-bit view stands below `Wow6432Node`. An open key keeps nobody from deleting it; of a deleted key nothing is told any
more, so the key above is watched as well.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import time
import winreg
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pywintypes
import win32api
import win32event
import winerror

from whatchanged.errors import WatchError
from whatchanged.records.registry_values import name_bytes
from whatchanged.records.times import now_ns
from whatchanged.rules.registry_scope import RegistryScope
from whatchanged.watchers.hints import Area, Coverage, Hint, Reach
from whatchanged.watchers.windows.port import Port
from whatchanged.watchers.windows.registry_places import places
from whatchanged.watchers.windows.watches import Gone, Place, Watches

__all__ = ["RegistryWatcher"]

_TOPS = {"HKEY_LOCAL_MACHINE": winreg.HKEY_LOCAL_MACHINE, "HKEY_USERS": winreg.HKEY_USERS}
_VIEW = winreg.KEY_WOW64_64KEY
_THREAD_AGNOSTIC = 0x10000000
"""REG_NOTIFY_THREAD_AGNOSTIC: the end of the thread that asked is no event."""
_NAMES = winreg.REG_NOTIFY_CHANGE_NAME | _THREAD_AGNOSTIC
_VALUES = winreg.REG_NOTIFY_CHANGE_LAST_SET | _NAMES
_GONE = (winerror.ERROR_FILE_NOT_FOUND, winerror.ERROR_PATH_NOT_FOUND, winerror.ERROR_KEY_DELETED)
_MOST = 1024


class RegistryWatcher:
    """Watches the keys of rules. To be used by one thread, the one that waits at the port."""

    name = "notifications"

    def __init__(self, port: Port, *, most: int = _MOST) -> None:
        """`most`: keys to be watched at most, each with two handles; those beyond are polled."""
        self._port = port
        self._scope = RegistryScope(())
        self._signalled: set[str] = set()
        self._watches = Watches[str, _Watch](most, lambda place: _Watch(port, place, self._signalled.add))
        self._own = port.enlist(lambda _: None)

    def subscribe(self, scope: RegistryScope) -> Coverage:
        """Watch for another scope from now on. What cannot be watched is named in the coverage, as polled."""
        self._scope = scope
        self._follow()
        return self.coverage()

    def read(self) -> list[Hint]:
        """Return which keys changed since the last time, without waiting."""
        when = time.monotonic()
        found: dict[str, Hint] = {}
        moved = not self._watches.settled
        signalled = sorted(self._signalled & self._watches.held.keys())
        self._signalled.clear()
        for path in signalled:
            watch = self._watches.held[path]
            if watch.place.taken:
                found[path] = Hint(name_bytes(path), when, Reach.TREE if watch.place.tree else Reach.FOLDER)
            moved = not watch.rearmed() or watch.place.way or moved
        if moved:
            found |= {path: Hint(name_bytes(path), when, Reach.TREE) for path in self._follow()}
        return list(found.values())

    @property
    def drained(self) -> bool:
        """Whether the last `read` took everything that there was."""
        return not self._signalled and self._watches.settled

    def coverage(self) -> Coverage:
        """Return the keys that are watched, and those that are not."""
        now = now_ns()
        held = self._watches.held.values()
        areas = [Area(name_bytes(w.place.path), self.name, w.since_ns) for w in held if w.place.taken]
        areas += [Area(name_bytes(path), "poll", now, why) for path, why in self._watches.refused.items()]
        return Coverage(tuple(areas), len(held), self._watches.limits)

    def close(self) -> None:
        """Give all handles back."""
        self._watches.close()
        self._port.dismiss(self._own)

    def _follow(self) -> list[str]:
        moved = self._watches.follow(lambda: places(self._scope, _Registry()))
        if not self._watches.settled:
            self._port.post(self._own)
        return moved


class _Watch:
    """A key with a notification asked for."""

    def __init__(self, port: Port, place: Place[str], told: Callable[[str], None]) -> None:
        """Raises Gone, and WatchError for a key that cannot be watched."""
        self.place = place
        self.since_ns = now_ns()
        self._alive = True
        with contextlib.ExitStack() as stack:
            self._key = stack.enter_context(_opened(place.path, winreg.KEY_READ))
            self._event = win32event.CreateEvent(None, False, False, None)
            stack.callback(win32api.CloseHandle, self._event)
            number = port.enlist(lambda _: told(place.path))
            stack.callback(port.dismiss, number)
            stack.callback(port.wait_for(int(self._event), number).close)
            self._arm()
            self._stack = stack.pop_all()

    def rearmed(self) -> bool:
        """Ask for the next notification; return False if that cannot be: beginning anew says why."""
        try:
            self._arm()
        except (Gone, WatchError):
            self._alive = False
        return self._alive

    def _arm(self) -> None:
        """Raises Gone, WatchError."""
        what = _VALUES if self.place.taken else _NAMES
        key: Any = int(self._key)  # win32api takes it, and has types for its own keys only
        try:
            win32api.RegNotifyChangeKeyValue(key, self.place.tree, what, int(self._event), True)
        except pywintypes.error as error:
            raise _refusal(error.winerror) from error

    def is_alive(self) -> bool:
        """Whether the key was not deleted, so that a key of the same path is another one."""
        try:
            winreg.QueryInfoKey(self._key)
        except OSError:
            return False
        return self._alive

    def close(self) -> None:
        self._stack.close()


class _Registry:
    """`Keys` of the running system."""

    def exists(self, path: str) -> bool:
        try:
            with _opened(path, winreg.KEY_NOTIFY):
                return True
        except Gone:
            return False
        except WatchError:
            return True  # who tries to watch it says why it cannot

    def names(self, path: str, most: int) -> Sequence[str]:
        found: list[str] = []
        try:
            with _opened(path, winreg.KEY_ENUMERATE_SUB_KEYS) as key, contextlib.suppress(OSError):  # no more of them
                while len(found) < most:
                    found.append(winreg.EnumKey(key, len(found)))
        except (Gone, WatchError):
            return ()
        return [name for name in found if "\0" not in name]


def _opened(path: str, access: int) -> AbstractContextManager[winreg.HKEYType | int]:
    """Return a key, to be left. Raises Gone, WatchError.

    A hive's own handle is every thread's, and would be gone for all if anybody closed it.
    """
    top, _, rest = path.partition("\\")
    if not rest:
        return contextlib.nullcontext(_TOPS[top])
    try:
        return winreg.OpenKeyEx(_TOPS[top], rest, 0, access | _VIEW)
    except OSError as error:
        raise _refusal(error.winerror or 0) from error


def _refusal(number: int) -> Gone | WatchError:
    if number in _GONE:
        return Gone()
    return WatchError("access is denied" if number == winerror.ERROR_ACCESS_DENIED else f"error {number}")
