"""Which package owns a path, and whether what stands there is what the package shipped.

Keep one: it remembers the lists of files, also those that an operation has replaced, for a while, because the files
that the new version no longer has are taken away by the same operation.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import hashlib
import os
import stat
import time
from array import array
from collections.abc import Iterator, Mapping

from whatchanged.collectors.outcome import Tally
from whatchanged.collectors.software.dpkg_files import DpkgFiles, conffiles
from whatchanged.collectors.software.other_files import ApkFiles, PacmanFiles
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_files import NO_FILES, FileLists, PackageFiles
from whatchanged.collectors.software.package_system import Root
from whatchanged.collectors.software.rpm_files import RpmFiles
from whatchanged.records.items import FileItem

__all__ = ["SOURCES", "FileOwners", "Ownership"]

SOURCES: frozenset[str] = frozenset({"dpkg", "rpm", "apk", "pacman"})
"""The package systems whose packages own files."""
_MERGED = (b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32", b"libo32")
"""Folders that lie in /usr on most systems, while lists of files may name them as they were called before."""
_REMEMBERED_SECONDS = 600.0
_MOST_PATHS = 4_000_000
_LARGEST_CONTENT = 64 * 1024 * 1024
_MOST_CONTENT = 256 * 1024 * 1024
"""Bytes that one look reads again, where a database knows MD5 only."""
_CHUNK = 1024 * 1024


class FileOwners:
    """The lists of files of all package systems below a root."""

    def __init__(self, root: bytes, scratch: bytes | None = None) -> None:
        """`scratch`: a private folder for passing copies, nobody else's; without it the system's temporary folder."""
        self._root = root
        self._scratch = scratch
        self._systems: tuple[FileLists, ...] = (DpkgFiles(), RpmFiles(), ApkFiles(), PacmanFiles())
        self.programs: Mapping[str, frozenset[str]] = {s.source: s.programs for s in self._systems}
        """Package system → names of the processes that write its packages' files."""
        self._stamps: dict[str, object] = {}
        self._packages: dict[bytes, PackageFiles] = {}
        self._before: dict[bytes, tuple[float, array[int]]] = {}
        self._merged: tuple[bytes, ...] = ()
        self.moved_at = time.monotonic()
        """When a database was last seen to move, on the monotonic clock; at first anything may have happened."""

    @contextlib.contextmanager
    def look(self) -> Iterator[Ownership]:
        """Look at the databases as they are now. Raises OSError if the root cannot be entered."""
        with Root(self._root, Tally(), self._scratch) as root:
            names = [name for name in _MERGED if _is_link(root, b"/" + name)]
            self._merged = tuple(b"/%b/" % name for name in names)
            busy = False
            for system in self._systems:
                # A database that cannot be read now keeps what was known: the software's worker says so in health.
                with contextlib.suppress(OSError, PackageDatabaseError):
                    busy = busy or system.busy(root)
                    self._refresh(root, system)
            yield Ownership(root, self, busy=busy)

    def _refresh(self, root: Root, system: FileLists) -> None:
        stamp = system.stamp(root)
        if self._stamps.get(system.source) == stamp:
            return
        found = {package.key: package for package in system.packages(root, self.hashed) if package.key}
        if sum(len(package.files) for package in found.values()) > _MOST_PATHS:
            raise PackageDatabaseError("more files than any machine has")
        now = time.monotonic()
        self._before = {k: b for k, b in self._before.items() if now - b[0] < _REMEMBERED_SECONDS}
        for key, old in list(self._packages.items()):
            if old.source == system.source:
                new = found.get(key)
                if old.files and (new is None or new.files != old.files):
                    self._before[key] = (now, old.files)
                if new is None:
                    del self._packages[key]
        self._packages.update(found)
        self._stamps[system.source] = stamp
        self.moved_at = now

    def hashed(self, path: bytes) -> int:
        """Return the hash of a path by its name in /usr, if that is where it lies."""
        return hash(b"/usr" + path if self._merged and path.startswith(self._merged) else path)

    def index(self) -> dict[int, bytes]:
        """Return hash of a path → key of the package that owns it, or owned it until lately; empty: of several."""
        index: dict[int, bytes] = {}
        for key, package in self._packages.items():
            owned = dict.fromkeys(package.files, key)
            for shared in index.keys() & owned.keys():
                owned[shared] = b""
            index.update(owned)
        for key, (_, files) in self._before.items():
            for number in files:
                index.setdefault(number, key)
        return index

    def package(self, key: bytes) -> PackageFiles:
        """Return a package; one that the database does not have (any more) has no version."""
        found = self._packages.get(key)
        return found or PackageFiles(key=key, source=key.partition(b"\0")[0].partition(b"/")[0].decode())


class Ownership:
    """What one look at the databases says."""

    def __init__(self, root: Root, owners: FileOwners, *, busy: bool) -> None:
        self._root = root
        self._owners = owners
        self.busy = busy
        """A package manager is at work."""
        self._index: dict[int, bytes] | None = None
        self._shipped: tuple[bytes, dict[int, str]] = (b"", {})
        self._conffiles: dict[bytes, dict[int, str]] | None = None
        self._left = _MOST_CONTENT
        self._set: tuple[array[int], frozenset[int]] = (NO_FILES, frozenset())

    def owner(self, path: bytes) -> PackageFiles | None:
        """Return the one package that owns `path`, or owned it before its last operation."""
        if self._index is None:
            self._index = self._owners.index()
        key = self._index.get(self._owners.hashed(path))
        return self._owners.package(key) if key else None

    def owns(self, package: PackageFiles, path: bytes) -> bool:
        """Say whether the package owns `path` now."""
        return self._among(package.files, self._owners.hashed(path))

    def ships(self, package: PackageFiles, item: FileItem) -> bool:
        """Say whether the content of a file is that which came with the version that the database has."""
        if not stat.S_ISREG(item.mode) or not item.sha256 or item.link_target is not None:
            return False
        number = self._owners.hashed(item.path)
        if package.contents is not None:
            return self._among(package.contents, hash((number, item.sha256)))
        if package.shipped is None:
            return False
        try:
            if self._shipped[0] != package.key:
                self._shipped = (package.key, package.shipped(self._root))
            wanted = self._shipped[1].get(number) or self._conffile(package, number)
            return wanted is not None and self._md5(item) == wanted
        except OSError:  # gone or replaced meanwhile: nothing is known of it
            return False

    def _conffile(self, package: PackageFiles, number: int) -> str | None:
        if self._conffiles is None:
            self._conffiles = {
                key: {self._owners.hashed(path): digest for path, digest in sums.items()}
                for key, sums in conffiles(self._root).items()
            }
        return self._conffiles.get(package.key, {}).get(number)

    def _among(self, numbers: array[int], number: int) -> bool:
        """Look `number` up: the paths of one package come one after the other."""
        if self._set[0] is not numbers:
            self._set = (numbers, frozenset(numbers))
        return number in self._set[1]

    def _md5(self, item: FileItem) -> str:
        if item.size > min(_LARGEST_CONTENT, self._left):
            return ""
        self._left -= item.size
        digest = hashlib.md5(usedforsecurity=False)
        left = item.size + 1
        with os.fdopen(self._root.tree.open_file(item.path), "rb") as file:
            while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
        return digest.hexdigest()


def _is_link(root: Root, path: bytes) -> bool:
    status = root.status(path)
    return status is not None and stat.S_ISLNK(status.st_mode)
