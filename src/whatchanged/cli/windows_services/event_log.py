"""Windows' event log: our source in `Application`, and what the services write there.

A source names a file that holds the texts of its events. Ours is Windows' own EventCreate.exe: its events 1 to 1000
say what they are given and nothing else. A file of ours (pywin32 has one, servicemanager.pyd) would be kept open by
whoever reads the log, so that no upgrade could replace it, and old events would lose their text with the program.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import enum
import re
import winreg

import pywintypes
import win32evtlog
import win32evtlogutil

from whatchanged.errors import OperationError
from whatchanged.logs import printable

__all__ = ["SOURCE", "Event", "is_registered", "register", "unregister", "write"]

SOURCE = "whatchanged"
_KEY = rf"SYSTEM\CurrentControlSet\Services\EventLog\Application\{SOURCE}"
_TEXTS = r"%SystemRoot%\System32\EventCreate.exe"
_LONGEST = 31_000
"""Characters of a text that ReportEvent takes: 31,839."""


class Event(enum.IntEnum):
    """The events, by their numbers."""

    STARTED = 1
    STOPPED = 2
    FAILED = 3


def register() -> None:
    """Register the source; mends one that is there."""
    with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, _KEY, 0, winreg.KEY_SET_VALUE) as key:
        winreg.SetValueEx(key, "EventMessageFile", 0, winreg.REG_EXPAND_SZ, _TEXTS)
        kinds = win32evtlog.EVENTLOG_ERROR_TYPE | win32evtlog.EVENTLOG_INFORMATION_TYPE
        winreg.SetValueEx(key, "TypesSupported", 0, winreg.REG_DWORD, kinds)


def is_registered() -> bool:
    """Return whether the source is there, with the file of its texts."""
    try:
        with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, _KEY) as key:
            return bool(winreg.QueryValueEx(key, "EventMessageFile")[0] == _TEXTS)
    except FileNotFoundError:
        return False


def unregister() -> bool:
    """Take the source away; return whether there was one."""
    try:
        winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, _KEY)
    except FileNotFoundError:
        return False
    return True


def write(event: Event, text: str) -> None:
    """Write an event. Raises OperationError."""
    failed = event is Event.FAILED
    kind = win32evtlog.EVENTLOG_ERROR_TYPE if failed else win32evtlog.EVENTLOG_INFORMATION_TYPE
    # A file's name may hold control characters; and the viewer takes a %1 in it for its own (ReportEventW).
    safe = re.sub(r"%(?=[%\d])", "% ", printable(text[:_LONGEST]))
    try:
        win32evtlogutil.ReportEvent(SOURCE, event, eventType=kind, strings=(safe,))
    except pywintypes.error as error:
        raise OperationError(f"cannot write to the event log: {error.strerror}") from error
