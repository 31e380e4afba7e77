"""The files of Debian packages: dpkg's lists, what state it has a package in, and the MD5 of what it shipped.

dpkg works on one package at a time: while it holds its lock, the one that is half-installed or half-configured. It
makes a `.md5sums` itself where a package brings none; conffiles stand in the status file with theirs.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import functools
import itertools
import os
import time
from array import array
from collections.abc import Iterator

from whatchanged.collectors.software.dpkg import (
    BETWEEN,
    FOLDER,
    INSTALLED,
    Package,
    is_locked,
    packages,
    read_database,
)
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_files import NO_FILES, Hashed, PackageFiles, hashes
from whatchanged.collectors.software.package_system import Root, Stamp, stamp_of

__all__ = ["DpkgFiles", "conffile_sums", "conffiles"]

_LARGEST = 64 * 1024 * 1024
_LARGEST_STATUS = 512 * 1024 * 1024
_ATTEMPTS, _MERGE_SECONDS = 100, 0.02
_AT_WORK = frozenset({"half-installed", "half-configured"})


class DpkgFiles:
    """dpkg's lists of files; each is read again only when it was replaced."""

    source = "dpkg"
    programs = frozenset({"dpkg"})

    def __init__(self) -> None:
        self._lists: dict[bytes, tuple[Stamp, array[int]]] = {}

    def stamp(self, root: Root) -> object:
        """Return what moves when the database or its lock does."""
        folder = root.folder(FOLDER)
        if folder is None or root.status(folder + b"/info") is None:
            return None
        parts = (folder + name for name in (b"/status", b"/updates", b"/info"))
        return root.stamps(*parts), is_locked(root, folder)

    def busy(self, root: Root) -> bool:
        """Say whether dpkg, or a frontend of it, is at work."""
        folder = root.folder(FOLDER)
        return folder is not None and is_locked(root, folder)

    def packages(self, root: Root, hashed: Hashed) -> Iterator[PackageFiles]:
        """Yield the packages that the database has, also those that are removed but for their configuration."""
        folder = root.folder(FOLDER)
        if folder is None:
            return
        # The lists first: one that is newer than the state of its package would be of an operation not yet seen.
        self._read_lists(root, folder + b"/info", hashed)
        database = read_database(root, folder)
        if database is None:
            raise PackageDatabaseError("it moves faster than it can be read")
        found, locked = database
        for key, package in found.items():
            stamp, files = self._lists.get(package.list_name(), (None, NO_FILES))
            present = package.state in INSTALLED or package.state in BETWEEN
            yield PackageFiles(
                key=key,
                source=self.source,
                version=package.item.version if present else "",
                installed_ns=None if stamp is None or not present else stamp[2],
                settled=package.state not in BETWEEN,
                at_work=locked and package.state in _AT_WORK,
                files=files,
                shipped=functools.partial(_shipped, _sums_of(folder, package), hashed),
            )

    def _read_lists(self, root: Root, folder: bytes, hashed: Hashed) -> None:
        stamps: dict[bytes, Stamp] = {}
        fd = root.tree.open_folder(folder)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.name.endswith(".list"):
                        stamps[os.fsencode(entry.name)] = stamp_of(entry.stat(follow_symlinks=False))
        finally:
            os.close(fd)
        lists: dict[bytes, tuple[Stamp, array[int]]] = {}
        for name, stamp in stamps.items():
            before = self._lists.get(name)
            if before is not None and before[0] == stamp:
                lists[name] = before
            else:
                lines = root.content(folder + b"/" + name, _LARGEST).split(b"\n")
                lists[name] = (stamp, hashes((line for line in lines if line not in (b"", b"/.")), hashed))
        self._lists = lists


def _sums_of(folder: bytes, package: Package) -> bytes:
    return folder + b"/info/" + package.list_name().removesuffix(b"list") + b"md5sums"


def _shipped(sums: bytes, hashed: Hashed, root: Root) -> dict[int, str]:
    """Return hash of a path → MD5 of what the package brought."""
    found: dict[int, str] = {}
    if root.status(sums) is not None:
        for line in root.content(sums, _LARGEST).split(b"\n"):  # md5sum(1): sum, two blanks, path without its slash
            digest, _, path = line.partition(b"  ")
            found[hashed(b"/" + path)] = digest.decode(errors="replace")
    return found


def conffiles(root: Root) -> dict[bytes, dict[bytes, str]]:
    """Return key of a package → conffile → MD5 of what came with its version. Raises OSError."""
    folder = root.folder(FOLDER)
    if folder is None:
        return {}
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):  # the journal was merged into the status file
            found: dict[bytes, dict[bytes, str]] = {}
            journal = [name for name in root.entries(folder + b"/updates") if name.isdigit()]
            for path in (folder + b"/status", *(folder + b"/updates/" + name for name in journal)):
                found.update(conffile_sums(root.content(path, _LARGEST_STATUS)))
            return found
        time.sleep(_MERGE_SECONDS)
    return {}


def conffile_sums(raw: bytes) -> dict[bytes, dict[bytes, str]]:
    """Return key of a package → conffile → MD5 of what came with its version, by a status file. Pure."""
    found: dict[bytes, dict[bytes, str]] = {}
    for paragraph in raw.split(b"\n\n"):
        _, heading, rest = (b"\n" + paragraph).partition(b"\nConffiles:\n")
        if not heading:
            continue
        lines = [line[1:].removesuffix(b" obsolete") for line in itertools.takewhile(_is_more, rest.split(b"\n"))]
        for package in packages(paragraph + b"\n"):
            parts = (line.rpartition(b" ") for line in lines)
            found[package.item.key()] = {path: digest.decode(errors="replace") for path, _, digest in parts if path}
    return found


def _is_more(line: bytes) -> bool:
    return line.startswith(b" ")
