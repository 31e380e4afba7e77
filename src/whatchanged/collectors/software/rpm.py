"""Installed rpm packages, from rpm's own database: what `rpm -qa` says, without running it.

The database is one of three files: `rpmdb.sqlite`, `Packages.db` (ndb) or `Packages` (Berkeley DB). rpm adds the new
version of a package before it takes the old one out, so a package is never missing during an upgrade, but there
are two of it: while rpm holds its lock such a package is *unsettled*. Two versions without the lock are two
packages, as `rpm -qa` shows them: those that are meant to stand side by side (kernels) have their version as part of
their identity always, so that installing one more is an Added and not a Modified; of any others the one installed
last keeps the plain identity.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
from collections.abc import Callable, Iterable, Iterator

from whatchanged.collectors.software.instances import Installation, beside, settled
from whatchanged.collectors.software.locks import is_write_locked
from whatchanged.collectors.software.os_release import Distribution
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.page_reader import FileReader, Reader
from whatchanged.collectors.software.purl import distribution_purl
from whatchanged.collectors.software.rpm_bdb import bdb_values
from whatchanged.collectors.software.rpm_header import Header, read_header
from whatchanged.collectors.software.rpm_ndb import ndb_blobs
from whatchanged.collectors.software.rpm_sqlite import sqlite_blobs
from whatchanged.records.items import SoftwareItem

__all__ = ["NO_PACKAGE", "Rpm", "blobs", "find_database", "is_locked", "rpm_item"]

_FOLDERS = (b"/usr/lib/sysimage/rpm", b"/var/lib/rpm", b"/usr/share/rpm")
_SQLITE = b"/rpmdb.sqlite"
_PAGED: tuple[tuple[bytes, Callable[[Reader], Iterator[bytes | PackageDatabaseError]]], ...] = (
    (b"/Packages.db", ndb_blobs),
    (b"/Packages", bdb_values),
)
_LOCK = b"/.rpm.lock"
_ATTEMPTS = 5
_MOST_PACKAGES = 200_000
# What dnf (installonlypkgs), yum and zypper (multiversion) never upgrade but install beside: names of provides.
_SIDE_BY_SIDE = frozenset(
    {
        "kernel",
        "kernel-PAE",
        "kernel-devel",
        "installonlypkg(kernel)",
        "installonlypkg(kernel-module)",
        "installonlypkg(vm)",
        "multiversion(kernel)",
    }
)
NO_PACKAGE = "gpg-pubkey"
"""rpm keeps the keys it trusts as if they were packages."""


class Rpm:
    """The rpm database."""

    source = "rpm"
    owns_files = True

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the installed packages. Raises OSError, PackageDatabaseError."""
        path = find_database(root)
        return Look() if path is None else _look(root, path)


def find_database(root: Root) -> bytes | None:
    """Return the canonical path of the file that holds the packages, or None. Raises OSError."""
    for folder in dict.fromkeys(filter(None, map(root.folder, _FOLDERS))):
        for name in (_SQLITE, *(name for name, _ in _PAGED)):
            if root.status(folder + name) is not None:
                return folder + name
    return None


def is_locked(root: Root, path: bytes) -> bool:
    """Say whether rpm is at work on the database at `path`. Raises OSError."""
    return is_write_locked(root.tree, path[: path.rindex(b"/")] + _LOCK)


def rpm_item(header: Header, distribution: Distribution) -> SoftwareItem:
    """Return the header as an item."""
    epoch = "" if header.epoch is None else str(header.epoch)
    version = f"{header.version}-{header.release}" if header.release else header.version
    item = SoftwareItem(
        name=header.name,
        version=header.evr,
        architecture=header.architecture,
        source=Rpm.source,
        publisher=header.vendor or header.packager,
        description=header.summary,
        installed_ns=None if header.installed is None else header.installed * 10**9,
        size=header.size,
        purl=distribution_purl(
            "rpm", distribution, header.name, version, architecture=header.architecture, epoch=epoch
        ),
    )
    return item if _SIDE_BY_SIDE.isdisjoint(header.provides | {header.name}) else beside(item)


def _look(root: Root, path: bytes) -> Look:
    """Read until nothing moved in between."""
    files = (path, path + b"-wal")
    for _ in range(_ATTEMPTS):
        before = root.stamps(*files)
        # Between the stamps: if nothing was written since the first, the lock of whoever wrote before is still held.
        locked = is_locked(root, path)
        if path.endswith(_SQLITE) and (root.status(path + b"-journal") or os.stat_result([0] * 10)).st_size:
            raise PackageDatabaseError("a rollback journal waits to be played back")
        try:
            found, broken = _headers(blobs(root, path))
        except (FileNotFoundError, PackageDatabaseError):
            if root.stamps(*files) == before:
                raise
            continue
        if root.stamps(*files) == before:
            return _judge(root, found, broken, path, locked=locked)
    return Look(busy=True, moving=True)


def blobs(root: Root, path: bytes) -> Iterator[bytes | PackageDatabaseError]:
    """Yield the headers of the database at `path`, and errors for those that cannot be read.

    Raises OSError, PackageDatabaseError.
    """
    if path.endswith(_SQLITE):
        yield from sqlite_blobs(root, path)
        return
    with os.fdopen(root.tree.open_file(path), "rb") as file:
        yield from dict(_PAGED)[path[path.rindex(b"/") :]](FileReader(file))


def _headers(raw: Iterable[bytes | PackageDatabaseError]) -> tuple[list[Header], list[str]]:
    found: list[Header] = []
    broken: list[str] = []
    for blob in raw:
        try:
            if isinstance(blob, PackageDatabaseError):
                raise blob
            found.append(read_header(blob))
        except PackageDatabaseError as error:
            broken.append(str(error))
        if len(found) + len(broken) > _MOST_PACKAGES:
            raise PackageDatabaseError("more packages than any machine has")
    if broken and not found:
        raise PackageDatabaseError(broken[0])
    return found, broken


def _judge(root: Root, found: list[Header], broken: list[str], path: bytes, *, locked: bool) -> Look:
    for reason in broken:
        root.fail(path, reason)
    headers = [header for header in found if header.name != NO_PACKAGE]
    items, unsettled = settled(
        (
            Installation(rpm_item(header, root.distribution), (header.installed or 0, header.transaction, header.evr))
            for header in headers
        ),
        busy=locked,
    )
    return Look(
        items=items,
        unsettled=unsettled,
        busy=locked,
        moving=locked,
        incomplete=bool(broken),
        owned=frozenset().union(*(header.metadata_files for header in headers)),
    )
