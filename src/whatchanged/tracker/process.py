"""The tracker process: privileged, without a network."""

from __future__ import annotations

import ctypes
import sys
import threading

from whatchanged import memory
from whatchanged.tracker.settings import TrackerSettings

if sys.platform == "win32":
    from whatchanged.tracker.windows import WindowsTracking as SystemTracking
else:
    from whatchanged.tracker.linux import LinuxTracking as SystemTracking

__all__ = ["run"]

_FAIL_CRITICAL_ERRORS, _NO_OPEN_FILE_ERROR_BOX = 0x1, 0x8000


def run(settings: TrackerSettings, stop: threading.Event) -> int:
    """Track this machine until `stop` is set; return the exit code.

    Raises SettingsError, StateError, StorageFull when it cannot begin.
    """
    memory.use_one_arena()
    if sys.platform == "win32":
        # A drive without its disk is an error, and not a window that waits for somebody to click (SetErrorMode).
        ctypes.WinDLL("kernel32").SetErrorMode(_FAIL_CRITICAL_ERRORS | _NO_OPEN_FILE_ERROR_BOX)
    return SystemTracking(settings, stop).run()
