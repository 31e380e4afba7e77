"""Installed Alpine packages, from apk's own database: what `apk info -v` says, without running it.

Format: apk-tools' doc/apk_package.5, section "installed database": blocks of lines `X:value` between empty lines. Of
the packages: P name, V version, A architecture, T description, I installed size, m maintainer; then their folders `F`
and files `R`. apk replaces the file by renaming a new one into place at the end of an operation, so every look sees
one whole state. There is no time of installation in it.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from collections.abc import Iterator

import msgspec

from whatchanged.collectors.software.locks import is_flocked
from whatchanged.collectors.software.os_release import Distribution
from whatchanged.collectors.software.package_facts import METADATA_NAMES, PackageDatabaseError, whole_number
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.purl import distribution_purl
from whatchanged.records.items import SoftwareItem

__all__ = ["LARGEST", "Apk", "ApkPackage", "apk_packages", "find_database", "is_locked"]

_FOLDERS = (b"/usr/lib/apk/db", b"/lib/apk/db")
LARGEST = 512 * 1024 * 1024


class ApkPackage(msgspec.Struct, frozen=True):
    """A package of the installed database."""

    fields: dict[bytes, str]
    """First letter of the line → value."""
    files: tuple[bytes, ...]

    @property
    def metadata_files(self) -> frozenset[bytes]:
        """Files by which language package managers know a package."""
        return frozenset(path for path in self.files if path.endswith(METADATA_NAMES))

    def item(self, distribution: Distribution) -> SoftwareItem:
        """Return it as an item."""
        name, version, architecture = (self.fields.get(letter, "") for letter in (b"P", b"V", b"A"))
        return SoftwareItem(
            name=name,
            version=version,
            architecture=architecture,
            source=Apk.source,
            publisher=self.fields.get(b"m", ""),
            description=self.fields.get(b"T", ""),
            size=whole_number(self.fields.get(b"I", "")),
            purl=distribution_purl("apk", distribution, name, version, architecture=architecture),
        )


class Apk:
    """apk's database."""

    source = "apk"
    owns_files = True

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the installed packages. Raises OSError, PackageDatabaseError."""
        path = find_database(root)
        if path is None:
            return Look()
        raw = root.content(path, LARGEST)
        found = list(apk_packages(raw))
        if raw.strip() and not found:
            raise PackageDatabaseError("it holds no package")
        return Look(
            items=tuple(package.item(root.distribution) for package in found),
            busy=is_locked(root, path),
            owned=frozenset().union(*(package.metadata_files for package in found)),
        )


def find_database(root: Root) -> bytes | None:
    """Return the canonical path of the installed database, or None. Raises OSError."""
    paths = (folder + b"/installed" for folder in filter(None, map(root.folder, _FOLDERS)))
    return next((path for path in paths if root.status(path) is not None), None)


def is_locked(root: Root, path: bytes) -> bool:
    """Say whether apk is at work on the database at `path`. Raises OSError."""
    return is_flocked(root.tree, path[: path.rindex(b"/")] + b"/lock")


def apk_packages(raw: bytes) -> Iterator[ApkPackage]:
    """Yield the packages of an installed database that have a name and a version. Pure."""
    for block in raw.split(b"\n\n"):
        fields: dict[bytes, str] = {}
        files = []
        folder = b""
        for line in block.split(b"\n"):
            letter, value = line[:1], line[2:]
            if line[1:2] != b":":
                continue
            if letter == b"F":
                folder = value
            elif letter == b"R":
                files.append(b"/%b/%b" % (folder, value) if folder else b"/" + value)
            elif letter in b"PVATIm" and letter not in fields:
                fields[letter] = value.decode(errors="replace")
        if fields.get(b"P") and fields.get(b"V"):
            yield ApkPackage(fields, tuple(files))
