"""The service control manager: services registered, started, stopped, deleted."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pywintypes
import win32api
import win32con
import win32event
import win32service

from whatchanged.cli.windows_services.definition import Service
from whatchanged.errors import OperationError

if TYPE_CHECKING:
    from _win32typing import PySC_HANDLE

__all__ = ["STATES", "Manager"]

_NO_SUCH_SERVICE, _NOT_ACTIVE, _INVALID_LEVEL = 1060, 1062, 124
_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.1

STATES = {
    win32service.SERVICE_STOPPED: "stopped",
    win32service.SERVICE_START_PENDING: "starting",
    win32service.SERVICE_STOP_PENDING: "stopping",
    win32service.SERVICE_RUNNING: "running",
}
"""State of a service → its name; those that can be paused are not ours."""


class Manager:
    """A connection to the service control manager. Its methods raise OperationError."""

    def __init__(self, *, change: bool = False) -> None:
        """Connect, to `change` services or to look at them."""
        access = win32service.SC_MANAGER_CONNECT | (win32service.SC_MANAGER_CREATE_SERVICE if change else 0)
        with _told("the service control manager"):
            self._manager = win32service.OpenSCManager(None, None, access)

    def __enter__(self) -> Manager:
        """Use it in a `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        win32service.CloseServiceHandle(self._manager)

    def configuration(self, name: str) -> tuple[str, str, int] | None:
        """Return ImagePath, account and start type (SERVICE_…_START) of a service; None if there is none."""
        with self._opened(name, win32service.SERVICE_QUERY_CONFIG) as service:
            if service is None:
                return None
            _, start, _, path, _, _, _, account, _ = win32service.QueryServiceConfig(service)
            return path, account, start

    def status(self, name: str) -> dict[str, Any] | None:
        """Return SERVICE_STATUS_PROCESS of a service; None if there is none."""
        with self._opened(name, win32service.SERVICE_QUERY_STATUS) as service:
            return None if service is None else _status(service)

    def register(self, service: Service, path: str) -> tuple[str, list[str]]:
        """Register a service with ImagePath `path`, or set one that is there to the same.

        Returns `registered` or `set anew`, and names of what this system does not know (none, since Windows 7).
        """
        kind, start = win32service.SERVICE_WIN32_OWN_PROCESS, win32service.SERVICE_AUTO_START
        trouble = win32service.SERVICE_ERROR_NORMAL
        with self._opened(service.name, win32service.SERVICE_ALL_ACCESS) as found:
            if found is not None:
                win32service.ChangeServiceConfig(
                    found, kind, start, trouble, path, None, False, [], service.account, None, service.display_name
                )
                return "set anew", self._set_extras(found, service)
        with _told(service.name):
            made = win32service.CreateService(
                self._manager, service.name, service.display_name, win32service.SERVICE_ALL_ACCESS, kind, start,
                trouble, path, None, False, None, service.account, None,
            )  # fmt: skip
            try:
                return "registered", self._set_extras(made, service)
            finally:
                win32service.CloseServiceHandle(made)

    @staticmethod
    def _set_extras(handle: PySC_HANDLE, service: Service) -> list[str]:
        unknown = []
        for extra in service.extras:
            try:
                win32service.ChangeServiceConfig2(handle, extra.level, extra.value)
            except pywintypes.error as error:
                if error.winerror != _INVALID_LEVEL:
                    raise
                unknown.append(extra.name)
        return unknown

    def start(self, name: str) -> None:
        """Start a service, and wait until it runs."""
        with self._opened(name, win32service.SERVICE_START | win32service.SERVICE_QUERY_STATUS) as service:
            if service is None:
                raise OperationError(f"there is no service {name}")
            win32service.StartService(service, None)
            status = _settled(service, name, win32service.SERVICE_START_PENDING)
        if status["CurrentState"] != win32service.SERVICE_RUNNING:
            code = status["ServiceSpecificExitCode"] or status["Win32ExitCode"]
            raise OperationError(
                f"{name} ended at once (code {code})", hint="the event log says why: source whatchanged"
            )

    def stop(self, name: str) -> bool:
        """Stop a service, and wait until its process is gone; return False if it did not run."""
        access = win32service.SERVICE_STOP | win32service.SERVICE_QUERY_STATUS
        with self._opened(name, access) as service:
            if service is None:
                return False
            status = _settled(service, name, win32service.SERVICE_START_PENDING)  # until then it takes no controls
            if status["CurrentState"] == win32service.SERVICE_STOPPED:
                return False
            process = _process(status["ProcessId"])
            if status["CurrentState"] != win32service.SERVICE_STOP_PENDING:
                try:
                    win32service.ControlService(service, win32service.SERVICE_CONTROL_STOP)
                except pywintypes.error as error:
                    if error.winerror != _NOT_ACTIVE:  # it has just stopped by itself
                        raise
            _settled(service, name, win32service.SERVICE_STOP_PENDING)
        # It says `stopped` before it ends, and until then holds its files open.
        if process is not None:
            with contextlib.closing(process):
                if win32event.WaitForSingleObject(process, int(1000 * _WAIT_SECONDS)) != win32event.WAIT_OBJECT_0:
                    raise OperationError(f"the process of {name} does not end")
        return True

    def delete(self, name: str) -> bool:
        """Delete a service, which goes when it has stopped and nobody looks at it; return whether there was one."""
        with self._opened(name, win32con.DELETE) as service:
            if service is None:
                return False
            win32service.DeleteService(service)
            return True

    @contextlib.contextmanager
    def _opened(self, name: str, access: int) -> Iterator[PySC_HANDLE | None]:
        with _told(name):
            try:
                service = win32service.OpenService(self._manager, name, access)
            except pywintypes.error as error:
                if error.winerror != _NO_SUCH_SERVICE:
                    raise
                service = None
            try:
                yield service
            finally:
                if service is not None:
                    win32service.CloseServiceHandle(service)


def _status(service: PySC_HANDLE) -> dict[str, Any]:
    status: Any = win32service.QueryServiceStatusEx(service)  # a dict, whatever its type stub says
    return dict(status)


def _settled(service: PySC_HANDLE, name: str, passing: int) -> dict[str, Any]:
    """Return the status once it is no longer `passing`."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (status := _status(service))["CurrentState"] == passing:
        if time.monotonic() > deadline:
            raise OperationError(f"{name} is still {STATES[passing]} after {_WAIT_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
    return status


def _process(number: int) -> Any:
    """Return the process with that number, opened to wait for its end; None if there is none (any more)."""
    try:
        return win32api.OpenProcess(win32con.SYNCHRONIZE, False, number) if number else None
    except pywintypes.error as error:
        if error.winerror == 87:  # ERROR_INVALID_PARAMETER: no such process
            return None
        raise


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn Windows' errors into ours."""
    try:
        yield
    except pywintypes.error as error:
        raise OperationError(f"{what}: {error.strerror} ({error.funcname}, {error.winerror})") from error
