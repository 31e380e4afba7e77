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
from whatchanged.watchers.windows.placement import Place, places
from whatchanged.watchers.windows.port import Port

__all__ = ["RegistryWatcher"]

_TOPS = {"HKEY_LOCAL_MACHINE": winreg.HKEY_LOCAL_MACHINE, "HKEY_USERS": winreg.HKEY_USERS}
_VIEW = winreg.KEY_WOW64_64KEY
_THREAD_AGNOSTIC = 0x10000000
"""REG_NOTIFY_THREAD_AGNOSTIC: the end of the thread that asked is no event."""
_NAMES = winreg.REG_NOTIFY_CHANGE_NAME | _THREAD_AGNOSTIC
_VALUES = winreg.REG_NOTIFY_CHANGE_LAST_SET | _NAMES
_GONE = (winerror.ERROR_FILE_NOT_FOUND, winerror.ERROR_PATH_NOT_FOUND, winerror.ERROR_KEY_DELETED)
_MOST = 1024
_ROUNDS = 4
"""How often places are looked for in a row while keys come and go; then the next read goes on."""


class _Gone(Exception):
    """A key is not there."""


class RegistryWatcher:
    """Watches the keys of rules. To be used by one thread, the one that waits at the port."""

    name = "registry"

    def __init__(self, port: Port, *, most: int = _MOST) -> None:
        """`most`: keys to be watched at most, each with two handles; those beyond are polled."""
        self._port = port
        self._most = most
        self._scope = RegistryScope(())
        self._watches: dict[str, _Watch] = {}
        self._unwatched: dict[str, str] = {}
        self._signalled: set[str] = set()
        self._unsettled = False
        self._own = port.enlist(lambda _: None)

    def subscribe(self, scope: RegistryScope) -> Coverage:
        """Watch for another scope from now on. What cannot be watched is named in the coverage, as polled."""
        self._scope = scope
        self._place()
        return self.coverage()

    def read(self) -> list[Hint]:
        """Return which keys changed since the last time, without waiting."""
        signalled, self._signalled = self._signalled, set()
        found: dict[str, Hint] = {}
        moved = self._unsettled
        for path in sorted(signalled & self._watches.keys()):
            watch = self._watches[path]
            if watch.place.taken:
                reach = Reach.TREE if watch.place.tree else Reach.FOLDER
                found[path] = Hint(name_bytes(path), time.monotonic(), reach)
            moved = not self._rearm(watch) or watch.place.way or moved
        if moved:
            for path in self._place():
                found[path] = Hint(name_bytes(path), time.monotonic(), Reach.TREE)
        return list(found.values())

    @property
    def drained(self) -> bool:
        """Whether the last `read` took everything that there was."""
        return not self._signalled and not self._unsettled

    def coverage(self) -> Coverage:
        """Return the keys that are watched, and those that are not."""
        now = now_ns()
        areas = [Area(name_bytes(w.place.path), self.name, w.since_ns) for w in self._watches.values() if w.place.taken]
        areas += [Area(name_bytes(path), "poll", now, why) for path, why in self._unwatched.items()]
        limits = (f"{self._most} keys are watched, no more",) if len(self._watches) >= self._most else ()
        return Coverage(tuple(areas), len(self._watches), limits)

    def close(self) -> None:
        """Give all handles back."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        self._port.dismiss(self._own)

    # Places

    def _place(self) -> list[str]:
        """Watch where it has to be watched now; return the taken keys whose watch is new, or ended.

        A watch that is new may stand above a key that was made before: so it is looked again until nothing is new.
        """
        moved: set[str] = set()
        rounds = 1
        while (new := self._replace(moved)) and rounds < _ROUNDS:
            rounds += 1
        self._unsettled = new
        if new:
            self._port.post(self._own)
        return sorted(moved)

    def _replace(self, moved: set[str]) -> bool:
        """Compare the watches with the places once; add to `moved`, and return whether there is a new watch."""
        wanted = places(self._scope, _Registry())
        for path, watch in list(self._watches.items()):
            place = wanted.get(path)
            if place != watch.place or not watch.is_alive():
                del self._watches[path]
                watch.close()
                if watch.place.taken:
                    moved.add(path)
        self._unwatched.clear()
        new = False
        for path, place in wanted.items():
            if path not in self._watches and self._add(place):
                new = True
                if place.taken:
                    moved.add(path)
        return new

    def _add(self, place: Place) -> bool:
        if len(self._watches) >= self._most:
            self._unwatched[place.path] = f"{self._most} keys are watched already"
            return False
        try:
            self._watches[place.path] = _Watch(self._port, place, self._signalled_at)
        except _Gone:
            return False
        except WatchError as error:
            self._unwatched[place.path] = error.message
            return False
        return True

    def _rearm(self, watch: _Watch) -> bool:
        """Ask for the next notification; return False for a watch that ended."""
        try:
            watch.arm()
        except (_Gone, WatchError):
            return False  # it is not alive: placing it again says why
        return True

    def _signalled_at(self, path: str) -> None:
        self._signalled.add(path)


class _Watch:
    """A key with a notification asked for."""

    def __init__(self, port: Port, place: Place, told: Callable[[str], None]) -> None:
        """Raises _Gone, and WatchError for a key that cannot be watched."""
        self.place = place
        self.since_ns = now_ns()
        self._port = port
        self._alive = True
        with contextlib.ExitStack() as stack:
            self._key = stack.enter_context(_opened(place.path, winreg.KEY_NOTIFY | winreg.KEY_QUERY_VALUE))
            self._event = win32event.CreateEvent(None, False, False, None)
            stack.callback(win32api.CloseHandle, self._event)
            self.number = port.enlist(lambda _: told(place.path))
            stack.callback(port.dismiss, self.number)
            stack.callback(port.wait_for(int(self._event), self.number).close)
            self.arm()
            self._stack = stack.pop_all()

    def arm(self) -> None:
        """Raises _Gone, and WatchError when it is refused; the watch is not alive then."""
        what = _VALUES if self.place.taken else _NAMES
        key: Any = int(self._key)  # win32api takes it, and has types for its own keys only
        try:
            win32api.RegNotifyChangeKeyValue(key, self.place.tree, what, int(self._event), True)
        except pywintypes.error as error:
            self._alive = False
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
        except _Gone:
            return False
        except WatchError:
            return True  # who tries to watch it says why it cannot

    def names(self, path: str, most: int) -> Sequence[str]:
        found: list[str] = []
        try:
            with _opened(path, winreg.KEY_ENUMERATE_SUB_KEYS) as key, contextlib.suppress(OSError):  # no more of them
                while len(found) < most:
                    found.append(winreg.EnumKey(key, len(found)))
        except (_Gone, WatchError):
            return ()
        return [name for name in found if "\0" not in name]


def _opened(path: str, access: int) -> AbstractContextManager[winreg.HKEYType | int]:
    """Return a key, to be left. Raises _Gone, WatchError.

    A hive's own handle is every thread's, and would be gone for all if anybody closed it.
    """
    top, _, rest = path.partition("\\")
    if not rest:
        return contextlib.nullcontext(_TOPS[top])
    try:
        return winreg.OpenKeyEx(_TOPS[top], rest, 0, access | _VIEW)
    except OSError as error:
        raise _refusal(error.winerror or 0) from error


def _refusal(number: int) -> _Gone | WatchError:
    if number in _GONE:
        return _Gone()
    return WatchError("access is denied" if number == winerror.ERROR_ACCESS_DENIED else f"error {number}")
