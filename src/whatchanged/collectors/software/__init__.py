"""Packages and programs."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.collectors.software.dpkg import DpkgCollector

    __all__ = ["DpkgCollector"]
