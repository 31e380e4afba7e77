"""Installed Debian packages, from dpkg's own database: what `dpkg-query -W` says, without running it.

A package counts as installed when the third word of its Status is `installed`, or names waiting triggers (its
files are in place and configured; only another package's work is due). The states in between:

- while dpkg or apt holds its lock, a package that is being unpacked or configured is *unsettled*: it is not among
  the items, its key is in `Look.unsettled`, and the caller keeps what was known of it;
- without the lock nobody is at work, so the operation broke off: its files are on the machine, so it is an item,
  and a failure says which state it is in.

Fresh states stand in the journal `updates/` until dpkg writes them into `status` (dpkg's `lib/dpkg/dbmodify.c`).
Images without dpkg (distroless) have one file a package in `status.d/`. The time of installation is that of the
package's list of files, which dpkg writes anew whenever it unpacks the package.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import stat
import time
from collections.abc import Iterable, Mapping

import msgspec

from whatchanged.collectors.software.deb822 import paragraphs
from whatchanged.collectors.software.locks import is_write_locked
from whatchanged.collectors.software.os_release import Distribution
from whatchanged.collectors.software.package_facts import METADATA_NAMES, PackageDatabaseError, whole_number
from whatchanged.collectors.software.package_system import Look, Root, Stamp
from whatchanged.collectors.software.purl import distribution_purl
from whatchanged.records.items import SoftwareItem

__all__ = ["BETWEEN", "FOLDER", "INSTALLED", "Dpkg", "Package", "is_locked", "packages", "read_database"]

FOLDER = b"/var/lib/dpkg"
_LOCKS = (b"/lock", b"/lock-frontend")
_LARGEST = 512 * 1024 * 1024
_LARGEST_LIST = 64 * 1024 * 1024
_JOURNAL_LARGEST = 10_000
_ATTEMPTS = 5
_MERGE_ATTEMPTS, _MERGE_SECONDS = 100, 0.02
_SETTLED_NS = 2 * 10**9
_WANTED = frozenset(
    {
        b"package",
        b"version",
        b"architecture",
        b"status",
        b"maintainer",
        b"description",
        b"installed-size",
        b"multi-arch",
    }
)
INSTALLED = frozenset({"installed", "triggers-awaited", "triggers-pending"})
BETWEEN = frozenset({"unpacked", "half-configured", "half-installed"})
_VERSIONLESS = frozenset({"not-installed", "half-installed"})


class Package(msgspec.Struct, frozen=True):
    """A package as the database has it."""

    item: SoftwareItem
    state: str
    same: bool = False
    """Other architectures of it may be installed beside: its list of files carries the architecture."""

    def list_name(self) -> bytes:
        """Return the name of its list of files."""
        name = f"{self.item.name}:{self.item.architecture}" if self.same else self.item.name
        return name.encode() + b".list"


class Dpkg:
    """dpkg's database."""

    source = "dpkg"
    owns_files = True

    def __init__(self) -> None:
        self._owned: tuple[Stamp, frozenset[bytes]] | None = None

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the installed packages. Raises OSError, PackageDatabaseError."""
        folder = root.folder(FOLDER)
        if folder is None:
            return Look()
        database = read_database(root, folder)
        if database is None:
            return Look(busy=True, moving=True)
        found, locked = database
        items, unsettled = _judge(found, root, locked=locked)
        times = _unpack_times(root, folder)
        return Look(
            items=tuple(_completed(package, root.distribution, times) for package in items),
            unsettled=unsettled,
            busy=locked,
            owned=self._owned_files(root, folder),
        )

    def _owned_files(self, root: Root, folder: bytes) -> frozenset[bytes]:
        """Search the lists of files, which lie in a folder that moves whenever one of them is replaced."""
        (stamp,) = root.stamps(folder + b"/info")
        if self._owned is None or self._owned[0] != stamp:
            paths: set[bytes] = set()
            for name in root.entries(folder + b"/info"):
                if name.endswith(b".list"):
                    lines = root.content(folder + b"/info/" + name, _LARGEST_LIST).split(b"\n")
                    paths.update(line for line in lines if line.endswith(METADATA_NAMES))
            owned = frozenset(paths)
            # A folder that moved just now can move again within the same tick of its clock, and look the same.
            self._owned = (stamp, owned) if time.time_ns() - stamp[2] > _SETTLED_NS else None
            return owned
        return self._owned[1]


def packages(raw: bytes, *, state: str = "", strict: bool = False) -> Iterable[Package]:
    """Yield the packages of a status file; `state` is that of paragraphs without a Status. Pure.

    `strict` raises PackageDatabaseError for what dpkg would not accept: half a database must not look like half the
    packages.
    """
    for fields in paragraphs(raw, _WANTED, strict=strict):
        name = fields.get(b"package", "")
        words = fields.get(b"status", "").split()
        if strict and not name:
            raise PackageDatabaseError("a package without a name")
        if not name or not (state or len(words) == 3):
            continue
        kibibytes = whole_number(fields.get(b"installed-size", ""))  # deb-control(5)
        item = SoftwareItem(
            name=name,
            version=fields.get(b"version", ""),
            architecture=fields.get(b"architecture", ""),
            source="dpkg",
            publisher=fields.get(b"maintainer", ""),
            description=fields.get(b"description", ""),
            size=None if kibibytes is None or kibibytes >= 2**53 else kibibytes * 1024,
        )
        found = Package(item, words[2] if len(words) == 3 else state, fields.get(b"multi-arch", "") == "same")
        if strict and not item.version and found.state not in _VERSIONLESS:
            raise PackageDatabaseError(f"{name} is {found.state} in no version")
        yield found


def _judge(found: dict[bytes, Package], root: Root, *, locked: bool) -> tuple[list[Package], frozenset[bytes]]:
    """Return the packages, and the keys of those that are in the middle of an operation."""
    installed = []
    unsettled = set()
    for key, package in sorted(found.items()):
        if package.state in INSTALLED:
            installed.append(package)
        elif package.state in BETWEEN:
            if locked:
                unsettled.add(key)
            else:
                installed.append(package)
                root.fail(package.item.name.encode(), f"dpkg left it {package.state}")
    return installed, frozenset(unsettled)


def _completed(package: Package, distribution: Distribution, times: Mapping[bytes, int]) -> SoftwareItem:
    item = package.item
    return msgspec.structs.replace(
        item,
        installed_ns=times.get(package.list_name()),
        purl=distribution_purl("deb", distribution, item.name, item.version, architecture=item.architecture),
    )


def _unpack_times(root: Root, folder: bytes) -> dict[bytes, int]:
    """Return name of a list of files → when it was written, in nanoseconds since 1970."""
    try:
        fd = root.tree.open_folder(folder + b"/info")
    except FileNotFoundError:
        return {}
    times = {}
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.name.endswith(".list"):
                    times[os.fsencode(entry.name)] = entry.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:  # replaced while it was looked at: the next look tells
        pass
    finally:
        os.close(fd)
    return times


def read_database(root: Root, folder: bytes) -> tuple[dict[bytes, Package], bool] | None:
    """Return key → package, and whether somebody is at work; None if it could not be read whole.

    It reads until nothing moved in between: dpkg renames a new status file into place, then empties the journal, which
    on a busy machine takes its time. Raises OSError, PackageDatabaseError.
    """
    parts = [folder + name for name in (b"/status", b"/updates", b"/status.d")]
    found: dict[bytes, Package] | None = None
    for _ in range(_ATTEMPTS):
        before = root.stamps(*parts)
        locked = is_locked(root, folder)
        found = _read_whole(root, folder)
        if found is None:
            return None
        locked = is_locked(root, folder) or locked
        if root.stamps(*parts) == before:
            return found, locked
    # It moves faster than it can be read, so somebody is at work on it.
    return None if found is None else (found, True)


def _read_whole(root: Root, folder: bytes) -> dict[bytes, Package] | None:
    """Return key → package as soon as no part of the journal is merged away meanwhile; None if that goes on and on."""
    for _ in range(_MERGE_ATTEMPTS):
        try:
            return _read_once(root, folder)
        except FileNotFoundError:
            time.sleep(_MERGE_SECONDS)
    return None


def _read_once(root: Root, folder: bytes) -> dict[bytes, Package]:
    found: dict[bytes, Package] = {}
    parts = []
    status = root.status(folder + b"/status")
    if status is not None and stat.S_ISREG(status.st_mode):
        parts.append((folder + b"/status", ""))
    singles = [name for name in root.entries(folder + b"/status.d") if not name.endswith(b".md5sums")]
    parts += [(folder + b"/status.d/" + name, "installed") for name in singles]
    # dpkg numbers its journal; other names there are unfinished.
    journal = [name for name in root.entries(folder + b"/updates") if name.isdigit()]
    parts += [(folder + b"/updates/" + name, "") for name in journal[:_JOURNAL_LARGEST]]
    for path, state in parts:
        for package in packages(root.content(path, _LARGEST), state=state, strict=not state):
            found[package.item.key()] = package
    if not found and any(name.endswith(b".list") for name in root.entries(folder + b"/info")):
        raise PackageDatabaseError("it names no package, but lists of installed files are there")
    return found


def is_locked(root: Root, folder: bytes) -> bool:
    """Say whether dpkg (`lock`) or a frontend that calls it several times (`lock-frontend`) is at work."""
    return any(is_write_locked(root.tree, folder + name) for name in _LOCKS)
