"""What a service's process does besides its work: answers the service control manager, keeps a log, writes events."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import faulthandler
import logging
import logging.handlers
import os
import threading
from collections.abc import Callable

import pywintypes
import servicemanager
import win32service

from whatchanged import logs
from whatchanged.cli.windows_services import event_log
from whatchanged.cli.windows_services.definition import STOP_SECONDS, Service
from whatchanged.cli.windows_services.event_log import Event
from whatchanged.errors import OperationError, SettingsError, WhatchangedError
from whatchanged.settings import DataFolder

__all__ = ["Host"]

_log = logging.getLogger(__name__)
_NO_CONTROLLER = 1063  # ERROR_FAILED_SERVICE_CONTROLLER_CONNECT
_SERVICE_SPECIFIC = 1066  # ERROR_SERVICE_SPECIFIC_ERROR: the code is the service's own
_STOPS = frozenset(
    {
        win32service.SERVICE_CONTROL_STOP,
        win32service.SERVICE_CONTROL_SHUTDOWN,
        win32service.SERVICE_CONTROL_PRESHUTDOWN,
    }
)
_ACCEPTED = (
    win32service.SERVICE_ACCEPT_STOP | win32service.SERVICE_ACCEPT_SHUTDOWN | win32service.SERVICE_ACCEPT_PRESHUTDOWN
)
_START_SECONDS = 60
_LOG_BYTES, _OLD_LOGS = 5 * 1024 * 1024, 3


class Host:
    """Hosts one service in this process. `run` returns when it has stopped."""

    def __init__(self, service: Service, work: Callable[[Host], int]) -> None:
        """Take what to run: `work` gets this host, and returns the exit code."""
        self._service = service
        self._work = work
        self._where = ""
        self._handle = 0
        self._stop: threading.Event | None = None
        self._steps = 0
        self._code = 1

    def run(self) -> int:
        """Connect to the service control manager, which calls for the service; return the exit code."""
        try:
            servicemanager.Initialize()
            servicemanager.PrepareToHostSingle(self._begin)
            servicemanager.StartServiceCtrlDispatcher()  # type: ignore[no-untyped-call]
        except pywintypes.error as error:
            if error.winerror != _NO_CONTROLLER:
                raise OperationError(f"this is no service: {error.strerror}") from error
            raise SettingsError(
                "only the service control manager starts this", hint=f"run `whatchanged {self._service.process}`"
            ) from error
        return self._code

    # --- for whoever works ---

    def configure_logs(self, level: str, data: DataFolder) -> None:
        """Send the log to files in the process's own folder: a service has no standard error."""
        folder = os.path.join(getattr(data, self._service.process), "log")
        os.makedirs(folder, exist_ok=True)
        self._where = f"; its log is in {folder}"
        path = os.path.join(folder, self._service.process)
        logs.configure(
            level,
            logging.handlers.RotatingFileHandler(
                f"{path}.log", maxBytes=_LOG_BYTES, backupCount=_OLD_LOGS, encoding="utf-8"
            ),
        )
        # Open for good: what tells of a crash cannot open a file any more.
        faulthandler.enable(open(f"{path}.crash.log", "a", encoding="utf-8"))  # noqa: SIM115

    def stop_on_request(self, stop: threading.Event) -> None:
        """Set `stop` when the service shall stop. From now on it runs."""
        self._stop = stop
        self._report(win32service.SERVICE_RUNNING)
        self._tell(Event.STARTED, "started")

    # --- for the service control manager ---

    def _begin(self, arguments: tuple[str, ...]) -> Host:
        self._handle = servicemanager.RegisterServiceCtrlHandler(self._service.name, self._control, True)
        return self

    def SvcRun(self) -> None:  # noqa: N802 - servicemanager calls it by that name
        """Work, in a thread of the service control manager's."""
        self._report(win32service.SERVICE_START_PENDING, wait=_START_SECONDS)
        why = ""
        try:
            self._code = self._work(self)
            if self._code:
                why = f"a part of it died{self._where}"
        except WhatchangedError as error:
            hint = getattr(error, "hint", "")
            why = f"{error}{hint and f' ({hint})'}"
            _log.error("%s", why)
        except Exception as error:  # noqa: BLE001 - nobody is above who could tell of it
            _log.exception("the service ends")
            why = f"{error!r}{self._where}"
        if why:
            self._tell(Event.FAILED, f"cannot go on: {why}")
        else:
            self._tell(Event.STOPPED, "stopped")
        self._report(win32service.SERVICE_STOPPED)

    def _control(self, control: int, kind: int, data: object) -> int:
        if control in _STOPS:
            self._report(win32service.SERVICE_STOP_PENDING, wait=STOP_SECONDS + 5)
            last = threading.Timer(STOP_SECONDS, self._end)
            last.daemon = True
            last.start()
            if self._stop is not None:
                self._stop.set()
        return 0

    def _end(self) -> None:
        """End a process that does not manage to stop: a crash is something every store survives."""
        self._tell(Event.FAILED, f"did not stop within {STOP_SECONDS} s and was ended{self._where}")
        self._code = 0  # it was to stop: nobody shall start it again
        self._report(win32service.SERVICE_STOPPED)
        os._exit(1)

    def _tell(self, event: Event, what: str) -> None:
        try:
            event_log.write(event, f"The {self._service.display_name} {what}.")
        except OperationError as error:  # the service goes on without
            _log.error("%s", error)

    def _report(self, state: int, *, wait: int = 0) -> None:
        passing = state in (win32service.SERVICE_START_PENDING, win32service.SERVICE_STOP_PENDING)
        failed = state == win32service.SERVICE_STOPPED and self._code != 0
        self._steps = self._steps + 1 if passing else 0
        win32service.SetServiceStatus(
            self._handle,
            (
                win32service.SERVICE_WIN32_OWN_PROCESS,
                state,
                _ACCEPTED if state == win32service.SERVICE_RUNNING else 0,
                _SERVICE_SPECIFIC if failed else 0,
                self._code if failed else 0,
                self._steps,
                1000 * wait,
            ),
        )
