"""What a package system offers, and the root folder it looks below.

A package system looks at its database and returns a `Look`. Trouble with the database as a whole is raised
(OSError, PackageDatabaseError); trouble with one package is a failure in the tally. "There is none" is an empty look.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

import msgspec

from whatchanged.collectors.files.links import Resolver
from whatchanged.collectors.files.mounts import barriers, parse_mountinfo
from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.outcome import Failure, Tally, reason_of
from whatchanged.collectors.software.os_release import Distribution, parse_os_release
from whatchanged.records.items import SoftwareItem

__all__ = ["Look", "PackageSystem", "Root", "Stamp", "stamp_of"]

_OS_RELEASE = (b"/etc/os-release", b"/usr/lib/os-release")  # os-release(5): the first that is there
_LARGEST_TEXT = 1024 * 1024
_MAX_ENTRIES = 200_000

Stamp = tuple[int, int, int, int]
"""Inode, size, modification and change time: a file with another stamp was written in between."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at a package system found."""

    items: tuple[SoftwareItem, ...] = ()
    unsettled: frozenset[bytes] = frozenset()
    """Keys of packages in the middle of an operation."""
    busy: bool = False
    """An operation is under way: files of its packages lie about that no database owns yet."""
    moving: bool = False
    """What is not among the items may be on its way out and in again: keep what was known, look again soon."""
    incomplete: bool = False
    """Some entries could not be read, and nobody knows of which packages: keep what was known and is not seen."""
    owned: frozenset[bytes] = frozenset()
    """Paths that belong to these packages and end as `package_facts.METADATA_NAMES`: they are not told of twice."""


class PackageSystem(Protocol):
    """One package manager's database."""

    source: str
    """Name of the system: the first part of its items' Location."""
    owns_files: bool
    """Packages of a distribution own files, and may bring language packages along."""

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Look. `owned`: what the systems before this one own. Raises OSError, PackageDatabaseError."""


class Root:
    """The folder a machine's systems lie below, for the time of one run. Reads are bounded; links never lead out."""

    def __init__(self, path: bytes, tally: Tally, scratch: bytes | None = None) -> None:
        """`scratch`: a private folder for copies that must be merged; without it the system's temporary folder."""
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = list(parse_mountinfo(file.read()))
        self.tree = Tree(path)
        self._scratch = scratch
        self.tally = tally
        self.live = self.tree.root == b"/"
        """It is the machine this process runs on, and no image of another."""
        self._resolver = Resolver(self.tree, ())
        self._local = Resolver(self.tree, barriers(iter(mounts), self.tree.root))
        self.distribution = self._distribution()

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        self.tree.close()

    def folder(self, path: bytes, *, local: bool = False) -> bytes | None:
        """Return the canonical path of a folder, or None; `local`: nothing behind automounts and the network."""
        target = (self._local if local else self._resolver).resolve(b"/", path)
        return target.path if target is not None and stat.S_ISDIR(target.status.st_mode) else None

    def file(self, path: bytes, *, folder: bytes = b"/") -> bytes | None:
        """Return the canonical path of a regular file that may be reached through links, or None."""
        target = self._resolver.resolve(folder, path)
        return target.path if target is not None and stat.S_ISREG(target.status.st_mode) else None

    def content(self, path: bytes, limit: int = _LARGEST_TEXT) -> bytes:
        """Return the content of the regular file at a canonical path. Raises OSError; EFBIG beyond `limit` bytes."""
        with os.fdopen(self.tree.open_file(path), "rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return raw

    def beginning(self, path: bytes, length: int) -> bytes:
        """Return the first bytes of the regular file at a canonical path. Raises OSError."""
        with os.fdopen(self.tree.open_file(path), "rb") as file:
            return file.read(length)

    def entries(self, folder: bytes) -> list[bytes]:
        """Return the sorted names in the folder at a canonical path; none if it is not there. Raises OSError."""
        try:
            fd = self.tree.open_folder(folder)
        except FileNotFoundError:
            return []
        try:
            with os.scandir(fd) as entries:
                names = []
                for entry in entries:
                    names.append(os.fsencode(entry.name))
                    if len(names) > _MAX_ENTRIES:
                        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), folder)
        finally:
            os.close(fd)
        return sorted(names)

    def status(self, path: bytes) -> os.stat_result | None:
        """Return the status of what is at a canonical path, or None if nothing is. Raises OSError."""
        try:
            return self.tree.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def fail(self, path: bytes, reason: str | OSError) -> None:
        """Record that one package could not be read."""
        self.tally.fail(Failure(path, reason_of(reason) if isinstance(reason, OSError) else reason))

    def stamps(self, *paths: bytes) -> tuple[Stamp, ...]:
        """Return the stamps of files; zeros for one that is not there. Raises OSError."""
        return tuple(stamp_of(self.status(path)) for path in paths)

    @contextmanager
    def scratch_file(self, name: bytes) -> Iterator[bytes]:
        """Yield the path of a private file that is not there yet, and remove it afterwards. Raises OSError."""
        with ExitStack() as stack:
            folder = self._scratch
            if folder is None:
                folder = os.fsencode(stack.enter_context(tempfile.TemporaryDirectory(prefix="whatchanged-")))
            os.makedirs(folder, mode=0o700, exist_ok=True)
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):  # left by a process that was killed
                os.unlink(path)
            try:
                yield path
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _distribution(self) -> Distribution:
        for path in _OS_RELEASE:
            if (real := self.file(path)) is not None:
                try:
                    return parse_os_release(self.content(real))
                except OSError as error:
                    self.fail(path, error)
        return Distribution()


def stamp_of(status: os.stat_result | None) -> Stamp:
    """Return what moves when a file is written; zeros for none."""
    if status is None:
        return (0, 0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
