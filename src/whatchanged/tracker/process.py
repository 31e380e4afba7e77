"""The tracker process: privileged, without a network."""

from __future__ import annotations

import sys
import threading

from whatchanged import memory
from whatchanged.tracker.settings import TrackerSettings

if sys.platform == "win32":
    from whatchanged.tracker.windows import WindowsTracking as SystemTracking
else:
    from whatchanged.tracker.linux import LinuxTracking as SystemTracking

__all__ = ["run"]


def run(settings: TrackerSettings, stop: threading.Event) -> int:
    """Track this machine until `stop` is set; return the exit code.

    Raises SettingsError, StateError, StorageFull when it cannot begin.
    """
    memory.use_one_arena()
    return SystemTracking(settings, stop).run()
