"""inotify(7): folder by folder, where fanotify is not allowed."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.watchers.inotify.watcher import InotifyWatcher

    __all__ = ["InotifyWatcher"]
