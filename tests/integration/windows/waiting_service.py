"""A service that runs until it is stopped: the program behind the services that tests make."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from typing import Any

import servicemanager
import win32event
import win32service
import win32serviceutil


class Waiting(win32serviceutil.ServiceFramework):
    """Waits."""

    _svc_name_ = "Waiting"

    def __init__(self, arguments: Any) -> None:
        super().__init__(arguments)
        self._stop = win32event.CreateEvent(None, True, False, None)

    def SvcStop(self) -> None:  # noqa: N802 - pywin32 calls it
        self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING)
        win32event.SetEvent(self._stop)

    def SvcDoRun(self) -> None:  # noqa: N802
        win32event.WaitForSingleObject(self._stop, win32event.INFINITE)


if __name__ == "__main__":
    servicemanager.Initialize()
    servicemanager.PrepareToHostSingle(Waiting)
    servicemanager.StartServiceCtrlDispatcher()  # type: ignore[no-untyped-call]
