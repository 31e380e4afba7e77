"""Packages and programs."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.collectors.software.collector import PACKAGE_SYSTEMS, SoftwareCollector
    from whatchanged.collectors.software.file_owners import SOURCES, FileOwners, Ownership
    from whatchanged.collectors.software.package_files import PackageFiles

    __all__ = ["PACKAGE_SYSTEMS", "SOURCES", "FileOwners", "Ownership", "PackageFiles", "SoftwareCollector"]
