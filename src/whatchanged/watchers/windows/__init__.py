"""Windows: registry, folders and services tell of their changes through one completion port."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from whatchanged.watchers.windows.folders import FolderWatcher, can_watch_trees
    from whatchanged.watchers.windows.port import Port
    from whatchanged.watchers.windows.registry import RegistryWatcher
    from whatchanged.watchers.windows.services import ServiceHint, ServiceWatcher

    __all__ = ["FolderWatcher", "Port", "RegistryWatcher", "ServiceHint", "ServiceWatcher", "can_watch_trees"]
