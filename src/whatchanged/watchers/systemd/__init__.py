"""systemd's bus, heard and not spoken to: signals of units mark their kind."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.watchers.systemd.bus import BusAbsent, SystemdBus

    __all__ = ["BusAbsent", "SystemdBus"]
