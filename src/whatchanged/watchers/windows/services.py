"""What the service control manager tells (NotifyServiceStatusChangeW): states of services, and which come and go.

A notification is asked for anew each time, and of states that were passed through meanwhile only the last is told: but
the first of them was, so that a service that stopped and started is looked at. A handle keeps a service that was
removed from vanishing, so it is closed when that is told. Where the manager does not tell what comes and goes (Wine),
all handles are given back every few seconds, and the services listed anew.

Callbacks come in the thread that asked, while it waits at a port, which wakes by them.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import itertools
import time
from collections import deque
from collections.abc import Callable
from ctypes import wintypes
from typing import TYPE_CHECKING, Any, NamedTuple

import pywintypes
import win32service
import winerror

from whatchanged.errors import WatchError
from whatchanged.records.registry_values import name_bytes
from whatchanged.records.times import now_ns
from whatchanged.watchers.hints import Area, Coverage, Hint

if TYPE_CHECKING:
    from _win32typing import PySC_HANDLE

__all__ = ["ServiceHint", "ServiceWatcher"]

_CREATED, _DELETED, _DELETE_PENDING = 0x80, 0x100, 0x200
_STATES = 0x7F | _DELETE_PENDING
"""SERVICE_NOTIFY_STOPPED to SERVICE_NOTIFY_PAUSED."""
_VERSION = 2
_GONE = (winerror.ERROR_SERVICE_DOES_NOT_EXIST, winerror.ERROR_SERVICE_MARKED_FOR_DELETE)
_USER_INSTANCE = 0x80
"""A copy of a per-user service, made at each sign-in; its template is watched."""
_MOST = 2048
_LIST_SECONDS = 5.0
_LONGEST_WAIT = 60.0


class ServiceHint(Hint, frozen=True):
    """A service may have changed; `path` is its name."""

    state: int = 0
    """Its state, as in SERVICE_STATUS (1: stopped, 4: running); 0 where that was not told."""
    process_id: int = 0


class _Notify(ctypes.Structure):
    """SERVICE_NOTIFY_2W."""

    _fields_ = (
        ("version", wintypes.DWORD),
        ("callback", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("status", wintypes.DWORD),
        ("service_type", wintypes.DWORD),
        ("state", wintypes.DWORD),
        ("accepted", wintypes.DWORD),
        ("exit_code", wintypes.DWORD),
        ("specific_exit_code", wintypes.DWORD),
        ("check_point", wintypes.DWORD),
        ("wait_hint", wintypes.DWORD),
        ("process_id", wintypes.DWORD),
        ("flags", wintypes.DWORD),
        ("triggered", wintypes.DWORD),
        ("names", ctypes.c_void_p),
    )


_Called = ctypes.WINFUNCTYPE(None, ctypes.POINTER(_Notify))
_notify = ctypes.WinDLL("advapi32").NotifyServiceStatusChangeW
_notify.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(_Notify))
_notify.restype = wintypes.DWORD
_free = ctypes.WinDLL("kernel32").LocalFree
_free.argtypes = (ctypes.c_void_p,)
_free.restype = ctypes.c_void_p


class _Told(NamedTuple):
    """What a callback said."""

    watch: _Watch
    status: int
    triggered: int
    state: int
    process_id: int


_takers: dict[int, Callable[[_Notify], None]] = {}
"""Who takes the calls for a number that was given as context."""
_closed: deque[_Notify] = deque(maxlen=4096)
"""The memory of handles that were closed: a call that was on its way when that happened writes to it, and comes."""
_numbers = itertools.count(1)


def _take(told: ctypes._Pointer[_Notify]) -> None:
    notify = told.contents
    if notify.names:
        _free(notify.names)
        notify.names = None
    if (take := _takers.get(notify.context or 0)) is not None:
        take(notify)


_called = _Called(_take)
"""Lives as long as the process, for calls that come late."""


class ServiceWatcher:
    """Watches all services of this machine. To be used by one thread, which waits at a port."""

    name = "notifications"

    def __init__(self, *, most: int = _MOST, list_seconds: float = _LIST_SECONDS) -> None:
        """`most`: services to hold open at most; those beyond are polled.

        `list_seconds`: how often services are listed where the manager does not tell which come and go.
        """
        self._list_seconds = list_seconds
        self._most = most
        self._told: list[_Told] = []
        self._services: dict[str, _Watch] = {}
        self._manager: _Watch | None = None
        self._refused: dict[str, str] = {}
        self._full = False
        self._listed_by = ""
        """Why the manager is asked for its services every few seconds."""
        self._list_at = 0.0
        self._known: dict[str, tuple[int, int]] = {}
        """State and process of each service, as was last told."""
        self._since_ns = now_ns()

    def subscribe(self) -> Coverage:
        """Watch from now on, in this thread. Raises WatchError when there is no service control manager."""
        self._since_ns = now_ns()
        self._listen_to_manager()
        self._list()
        return self.coverage()

    @property
    def longest_wait(self) -> float:
        """Seconds after which `read` wants to be called, though nothing was told."""
        return max(0.0, self._list_at - time.monotonic()) if self._listed_by else _LONGEST_WAIT

    def read(self) -> list[ServiceHint]:
        """Return which services may have changed since the last time, without waiting. Raises WatchError."""
        told = list(self._told)
        self._told.clear()
        found: list[ServiceHint] = []
        moved = False
        for said in told:
            watch = said.watch
            if watch is self._manager:
                if said.status or not watch.asked():
                    self._listen_to_manager()
                moved = True
            elif watch is self._services.get(watch.name):
                found += self._heard(watch, said)
        if self._listed_by and time.monotonic() >= self._list_at:
            for name in list(self._services):
                self._services.pop(name).close()
            moved = True
        if moved:
            found += [self._hint(name) for name in self._list()]
        return found

    @property
    def drained(self) -> bool:
        """Whether the last `read` took everything that there was."""
        return not self._told

    def coverage(self) -> Coverage:
        """Return whether services are watched, and which are not."""
        now = now_ns()
        areas = [Area(b"services", self.name, self._since_ns)]
        areas += [Area(name_bytes(name), "poll", now, why) for name, why in self._refused.items()]
        limits = [f"{self._most} services are watched, no more"] if self._full else []
        if self._listed_by:
            limits.append(
                f"services that come and go are looked for every {self._list_seconds:g} seconds, for the service "
                f"control manager does not tell of them: {self._listed_by}"
            )
        return Coverage(tuple(areas), len(self._services) + (self._manager is not None), tuple(limits))

    def close(self) -> None:
        """Give all handles back."""
        for watch in self._services.values():
            watch.close()
        self._services.clear()
        if self._manager is not None:
            self._manager.close()
        self._manager = None
        self._told.clear()

    # What is told

    def _hint(self, name: str) -> ServiceHint:
        state, process_id = self._known.get(name, (0, 0))
        return ServiceHint(name_bytes(name), time.monotonic(), state=state, process_id=process_id)

    def _heard(self, watch: _Watch, said: _Told) -> list[ServiceHint]:
        """Ask a service for its next notification; return what to tell of this one."""
        # A status, such as ERROR_SERVICE_NOTIFY_CLIENT_LAGGING, means that this handle is told nothing more.
        if said.status or said.triggered & _DELETE_PENDING:
            self._services.pop(watch.name).close()
            if not said.triggered & _DELETE_PENDING:
                self._open(watch.name)
            self._known.pop(watch.name, None)
            return [self._hint(watch.name)]
        if not watch.asked():
            self._services.pop(watch.name).close()
            self._open(watch.name)  # which says why, if that cannot be either
        before, now = self._known.get(watch.name), (said.state, said.process_id)
        self._known[watch.name] = now
        # The first notification of a handle tells the state that there is.
        return [] if before == now else [self._hint(watch.name)]

    # What is watched

    def _listen_to_manager(self) -> None:
        """Ask the manager, by a new handle, for what comes and goes."""
        if self._manager is not None:
            self._manager.close()
        self._manager, self._listed_by = None, ""
        try:
            self._manager = self._begin("", _manager(), _CREATED | _DELETED)
        except WatchError as error:
            self._listed_by = error.message

    def _list(self) -> list[str]:
        """Watch the services that are there now; return the names of those that came, went or changed unheard."""
        try:
            listed = win32service.EnumServicesStatusEx(
                _manager(), win32service.SERVICE_WIN32, win32service.SERVICE_STATE_ALL, None
            )
        except pywintypes.error as error:
            raise _refusal(error.winerror) from error
        self._list_at = time.monotonic() + self._list_seconds
        before, self._known = self._known, {
            status["ServiceName"]: (status["CurrentState"], status["ProcessId"])
            for status in listed
            if not status["ServiceType"] & _USER_INSTANCE
        }  # fmt: skip
        for name in self._services.keys() - self._known.keys():
            self._services.pop(name).close()
        self._refused.clear()
        self._full = False
        for name in self._known.keys() - self._services.keys():
            self._open(name)
        return sorted({name for name, _ in before.items() ^ self._known.items()})

    def _open(self, name: str) -> None:
        """Watch a service, if it can be."""
        if len(self._services) >= self._most:
            self._full = True
            self._refused[name] = f"{self._most} services are watched already"
            return
        try:
            handle = win32service.OpenService(_manager(), name, win32service.SERVICE_QUERY_STATUS)
        except pywintypes.error as error:
            if error.winerror not in _GONE:
                self._refused[name] = _refusal(error.winerror).message
            return
        try:
            self._services[name] = self._begin(name, handle, _STATES)
        except WatchError as error:
            self._refused[name] = error.message

    def _begin(self, name: str, handle: PySC_HANDLE, mask: int) -> _Watch:
        """Return a watch that was asked for its first notification. Raises WatchError."""
        watch = _Watch(name, handle, mask, self._told.append)
        try:
            watch.ask()
        except WatchError:
            watch.close()
            raise
        return watch


class _Watch:
    """A handle that is asked for notifications; of the manager if it has no name."""

    def __init__(self, name: str, handle: PySC_HANDLE, mask: int, told: Callable[[_Told], None]) -> None:
        self.name = name
        self._handle: Any = handle
        self._mask = mask
        self._told = told
        self._number = next(_numbers)
        callback = ctypes.cast(_called, ctypes.c_void_p)
        self._notify = _Notify(version=_VERSION, callback=callback.value, context=self._number)
        _takers[self._number] = self._take

    def _take(self, notify: _Notify) -> None:
        self._told(_Told(self, notify.status, notify.triggered, notify.state, notify.process_id))

    def asked(self) -> bool:
        """Ask for the next notification; return whether there will be one."""
        try:
            self.ask()
        except WatchError:
            return False
        return True

    def ask(self) -> None:
        """Ask for the next notification. Raises WatchError."""
        status = _notify(int(self._handle), self._mask, ctypes.byref(self._notify))
        if status:
            raise _refusal(status)

    def close(self) -> None:
        """Close the handle; nothing is taken any more."""
        del _takers[self._number]
        win32service.CloseServiceHandle(self._handle)
        _closed.append(self._notify)


def _manager() -> PySC_HANDLE:
    """Raises WatchError."""
    try:
        return win32service.OpenSCManager(
            None, None, win32service.SC_MANAGER_CONNECT | win32service.SC_MANAGER_ENUMERATE_SERVICE
        )
    except pywintypes.error as error:
        raise _refusal(error.winerror) from error


def _refusal(number: int) -> WatchError:
    return WatchError("access is denied" if number == winerror.ERROR_ACCESS_DENIED else f"error {number}")
