"""A service that does nothing until it is stopped; its name is the first argument."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import servicemanager
import win32event
import win32serviceutil


class Service(win32serviceutil.ServiceFramework):
    _svc_name_ = sys.argv[1]
    _svc_display_name_ = sys.argv[1]

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.ended = win32event.CreateEvent(None, True, False, None)

    def SvcStop(self) -> None:  # noqa: N802 - pywin32's name
        win32event.SetEvent(self.ended)

    def SvcDoRun(self) -> None:  # noqa: N802 - pywin32's name
        win32event.WaitForSingleObject(self.ended, win32event.INFINITE)


servicemanager.Initialize()
servicemanager.PrepareToHostSingle(Service)
servicemanager.StartServiceCtrlDispatcher()  # type: ignore[no-untyped-call]
