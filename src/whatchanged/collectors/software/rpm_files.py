"""The files of rpm packages, from the headers in rpm's database, with their SHA-256.

The database tells of an operation only when the files of the new version are in place.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from array import array
from collections.abc import Iterator

import msgspec

from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_files import Hashed, PackageFiles, hashes
from whatchanged.collectors.software.package_system import Root
from whatchanged.collectors.software.rpm import NO_PACKAGE, blobs, find_database, is_locked, rpm_item
from whatchanged.collectors.software.rpm_header import read_files, read_header

__all__ = ["RpmFiles"]


class RpmFiles:
    """rpm's headers; each is parsed once."""

    source = "rpm"
    programs = frozenset(
        {"rpm", "dnf", "dnf-3", "dnf5", "dnf5daemon-server", "dnf-automatic", "microdnf", "tdnf", "yum", "zypper",
         "packagekitd"}
    )  # fmt: skip

    def __init__(self) -> None:
        self._parsed: dict[int, PackageFiles] = {}

    def stamp(self, root: Root) -> object:
        """Return what moves when the database or its lock does."""
        path = find_database(root)
        return None if path is None else (root.stamps(path, path + b"-wal"), is_locked(root, path))

    def busy(self, root: Root) -> bool:
        """Say whether rpm is at work."""
        path = find_database(root)
        return path is not None and is_locked(root, path)

    def packages(self, root: Root, hashed: Hashed) -> Iterator[PackageFiles]:
        """Yield the packages; one of which two versions are there is between them."""
        path = find_database(root)
        if path is None:
            return
        parsed: dict[int, PackageFiles] = {}
        found: dict[bytes, PackageFiles] = {}
        locked = is_locked(root, path)
        for blob in blobs(root, path):
            if isinstance(blob, PackageDatabaseError):
                raise blob
            number = hash(blob)
            package = self._parsed.get(number) or _package(blob, root, hashed)
            parsed[number] = package
            other = found.get(package.key)
            found[package.key] = package if other is None else _both(other, package, locked=locked)
        self._parsed = parsed
        yield from found.values()


def _package(blob: bytes, root: Root, hashed: Hashed) -> PackageFiles:
    header = read_header(blob)
    if header.name == NO_PACKAGE:
        return PackageFiles(key=b"", source=RpmFiles.source)
    item = rpm_item(header, root.distribution)
    files = read_files(blob)
    return PackageFiles(
        key=item.key(),
        source=RpmFiles.source,
        version=item.version,
        installed_ns=item.installed_ns,
        files=hashes((path for path, _ in files), hashed),
        contents=hashes_of_contents(files, hashed),
    )


def hashes_of_contents(files: list[tuple[bytes, bytes]], hashed: Hashed) -> array[int]:
    """Return the hashes of path and digest together."""
    return array("q", (hash((hashed(path), digest)) for path, digest in files if digest))


def _both(one: PackageFiles, other: PackageFiles, *, locked: bool) -> PackageFiles:
    """Return two versions of a package as one: while rpm is at work, that is an upgrade."""
    older, newer = sorted((one, other), key=lambda package: package.installed_ns or 0)
    return msgspec.structs.replace(newer, settled=not locked, at_work=locked, files=newer.files + older.files)
