"""fanotify(7): whole file systems, and the process of every change."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.watchers.fanotify.watcher import FanotifyWatcher

    __all__ = ["FanotifyWatcher"]
