"""What a package system says of the files of its packages: which it owns, which content it shipped.

Paths are kept as 64-bit hashes, so that the lists of a whole machine (a quarter of a million paths) take two megabytes.
The hashes are this process's own: they are never stored.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from whatchanged.collectors.software.package_system import Root

__all__ = ["NO_FILES", "FileLists", "Hashed", "PackageFiles", "Shipped", "hashes"]

Hashed = Callable[[bytes], int]
"""The hash of a path, whichever of its names (`/lib`, `/usr/lib`) is used."""
Shipped = Callable[[Root], dict[int, str]]
"""Reads hash of a path → MD5 (hex) of the content that came with the package. Raises OSError."""

NO_FILES = array("q")


class PackageFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A package and its files, as the database has them."""

    key: bytes
    """Key of its SoftwareItem."""
    source: str
    version: str = ""
    """Empty: it is not installed (any more)."""
    installed_ns: int | None = None
    settled: bool = True
    """It is in no state between two others."""
    at_work: bool = False
    """The package manager is working on the files of this very package."""
    files: array[int] = NO_FILES
    """Hashes of the paths it owns."""
    contents: array[int] | None = None
    """Hashes of (path hash, SHA-256) of what it shipped, where the database has that."""
    shipped: Shipped | None = None
    """Where the database has MD5 only: how to read them."""


class FileLists(Protocol):
    """The files of one package system."""

    source: str
    programs: frozenset[str]
    """Names of the processes that write its packages' files."""

    def stamp(self, root: Root) -> object:
        """Return what moves when the database or its lock does; None if there is no database. Raises OSError."""

    def busy(self, root: Root) -> bool:
        """Say whether an operation is under way. Raises OSError."""

    def packages(self, root: Root, hashed: Hashed) -> Iterator[PackageFiles]:
        """Yield the packages. Raises OSError, PackageDatabaseError."""


def hashes(paths: Iterable[bytes], hashed: Hashed) -> array[int]:
    """Return the hashes of paths."""
    return array("q", map(hashed, paths))
