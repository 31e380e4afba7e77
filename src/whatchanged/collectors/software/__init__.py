"""Packages and programs."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.collectors.software.collector import PACKAGE_SYSTEMS, SoftwareCollector

    __all__ = ["PACKAGE_SYSTEMS", "SoftwareCollector"]
