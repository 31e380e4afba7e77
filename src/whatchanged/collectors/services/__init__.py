"""Daemons and services."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.collectors.services.systemd import SystemdCollector

    __all__ = ["SystemdCollector"]
