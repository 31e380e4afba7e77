"""Windows: registry, folders and services tell of their changes through one completion port."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from whatchanged.watchers.windows.port import Port
    from whatchanged.watchers.windows.registry import RegistryWatcher

    __all__ = ["Port", "RegistryWatcher"]
