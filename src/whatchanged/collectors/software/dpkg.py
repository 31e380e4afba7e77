"""Installed Debian packages, from dpkg's own database: what `dpkg-query -W` says, without running it.

A package counts as installed when the third word of its Status is `installed`, or names waiting triggers (its
files are in place and configured; only another package's work is due). The states in between:

- while dpkg or apt holds its lock, a package that is being unpacked or configured is *unsettled*: it is not among
  the items, its key is in `Snapshot.unsettled`, and the caller keeps what was known of it;
- without the lock nobody is at work, so the operation broke off: its files are on the machine, so it is an item,
  and a failure says which state it is in.

Fresh states stand in the journal `updates/` until dpkg writes them into `status` (dpkg's `lib/dpkg/dbmodify.c`).
Images without dpkg (distroless) have one file a package in `status.d/`.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import fcntl
import os
import stat
import struct
from collections.abc import Iterable

import msgspec

from whatchanged.collectors.files.links import Resolver
from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.outcome import Failure, Snapshot, Tally, reason_of
from whatchanged.collectors.software.deb822 import Damaged, paragraphs
from whatchanged.records.items import SoftwareItem

__all__ = ["DpkgCollector", "Package", "judge", "packages"]

_FOLDER = b"/var/lib/dpkg"
_LOCKS = (b"/lock", b"/lock-frontend")
_LARGEST = 512 * 1024 * 1024
_JOURNAL_LARGEST = 10_000
_ATTEMPTS = 5
_WANTED = frozenset({b"package", b"version", b"architecture", b"status", b"maintainer", b"description"})
_INSTALLED = frozenset({"installed", "triggers-awaited", "triggers-pending"})
_BETWEEN = frozenset({"unpacked", "half-configured", "half-installed"})
_VERSIONLESS = frozenset({"not-installed", "half-installed"})
# struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, pid
_FLOCK = struct.Struct("hhqqi4x")


class Package(msgspec.Struct, frozen=True):
    """A package as the database has it."""

    item: SoftwareItem
    state: str


class DpkgCollector:
    """Reads the package database below `root`."""

    name = "dpkg"

    def __init__(self, root: bytes = b"/") -> None:
        self._root = root

    def run(self) -> Snapshot[SoftwareItem]:
        """Return all installed packages. A machine without dpkg has none."""
        tally = Tally()
        found: dict[bytes, Package] = {}
        locked = True
        try:
            with Tree(self._root) as tree:
                folder = Resolver(tree, ()).canonical(_FOLDER)
                if folder is not None:
                    found, locked = _read_database(tree, folder, tally)
        except (OSError, Damaged) as error:
            found, locked = {}, True
            tally.broken = True
            reason = reason_of(error) if isinstance(error, OSError) else f"the package database is damaged: {error}"
            tally.fail(Failure(_FOLDER, reason), item=False)
        items, unsettled = judge(found, tally, locked=locked)
        tally.seen = tally.looked = len(items)
        return Snapshot(items=items, outcome=tally.outcome(), unsettled=unsettled)


def judge(
    found: dict[bytes, Package], tally: Tally, *, locked: bool
) -> tuple[tuple[SoftwareItem, ...], frozenset[bytes]]:
    """Return the items, and the keys of those that are in the middle of an operation."""
    items = []
    unsettled = set()
    for key, package in sorted(found.items()):
        if package.state in _INSTALLED:
            items.append(package.item)
        elif package.state in _BETWEEN:
            if locked:
                unsettled.add(key)
            else:
                items.append(package.item)
                tally.fail(Failure(package.item.name.encode(), f"dpkg left it {package.state}"))
    return tuple(items), frozenset(unsettled)


def packages(raw: bytes, *, state: str = "", strict: bool = False) -> Iterable[Package]:
    """Yield the packages of a status file; `state` is that of paragraphs without a Status.

    `strict` raises Damaged for what dpkg would not accept: half a database must not look like half the packages.
    """
    for fields in paragraphs(raw, _WANTED, strict=strict):
        name = fields.get(b"package", "")
        words = fields.get(b"status", "").split()
        if strict and not name:
            raise Damaged("a package without a name")
        if not name or not (state or len(words) == 3):
            continue
        package = Package(
            SoftwareItem(
                name=name,
                version=fields.get(b"version", ""),
                architecture=fields.get(b"architecture", ""),
                source="dpkg",
                publisher=fields.get(b"maintainer", ""),
                description=fields.get(b"description", ""),
            ),
            words[2] if len(words) == 3 else state,
        )
        if strict and not package.item.version and package.state not in _VERSIONLESS:
            raise Damaged(f"{name} is {package.state} in no version")
        yield package


def _read_database(tree: Tree, folder: bytes, tally: Tally) -> tuple[dict[bytes, Package], bool]:
    """Read until nothing moved in between: dpkg renames a new status file into place, then empties the journal."""
    locked = False
    found: dict[bytes, Package] = {}
    for _ in range(_ATTEMPTS):
        before = _version(tree, folder)
        locked = _is_locked(tree, folder, tally)
        try:
            found = _read_once(tree, folder)
        except FileNotFoundError:  # a part of the journal was merged away
            continue
        locked = _is_locked(tree, folder, tally) or locked
        if _version(tree, folder) == before:
            return found, locked
    # It moves faster than it can be read, so somebody is at work on it.
    return found, True


def _read_once(tree: Tree, folder: bytes) -> dict[bytes, Package]:
    found: dict[bytes, Package] = {}
    parts = []
    if _exists(tree, folder + b"/status"):
        parts.append((folder + b"/status", ""))
    parts += [(path, "installed") for path in _entries(tree, folder + b"/status.d") if not path.endswith(b".md5sums")]
    # dpkg numbers its journal; other names there are unfinished.
    journal = [p for p in _entries(tree, folder + b"/updates") if p.rpartition(b"/")[2].isdigit()]
    parts += [(path, "") for path in journal[:_JOURNAL_LARGEST]]
    for path, state in parts:
        for package in packages(_content(tree, path), state=state, strict=not state):
            found[package.item.key()] = package
    if not found and any(name.endswith(b".list") for name in _entries(tree, folder + b"/info")):
        raise Damaged("it names no package, but lists of installed files are there")
    return found


def _content(tree: Tree, path: bytes) -> bytes:
    with os.fdopen(tree.open_file(path), "rb") as file:
        raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise OSError(27, "larger than any package database", path)
    return raw


def _exists(tree: Tree, path: bytes) -> bool:
    try:
        return stat.S_ISREG(tree.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _entries(tree: Tree, folder: bytes) -> list[bytes]:
    try:
        fd = tree.open_folder(folder)
    except FileNotFoundError:
        return []
    try:
        return sorted(folder + b"/" + os.fsencode(name) for name in os.listdir(fd))
    finally:
        os.close(fd)


def _version(tree: Tree, folder: bytes) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []
    for name in (b"/status", b"/updates", b"/status.d"):
        try:
            status = tree.lstat(folder + name)
        except FileNotFoundError:
            seen.append((0,))
        else:
            seen.append((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return seen


def _is_locked(tree: Tree, folder: bytes, tally: Tally) -> bool:
    """Say whether dpkg (`lock`) or a frontend that calls it several times (`lock-frontend`) is at work."""
    for name in _LOCKS:
        try:
            fd = tree.open_file(folder + name)
        except FileNotFoundError:
            continue
        except PermissionError:
            if _in_proc_locks(tree.lstat(folder + name)):
                return True
            continue
        try:
            # Asks only; closing the descriptor would drop a lock of this process, which holds none.
            answer = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        finally:
            os.close(fd)
        if _FLOCK.unpack(answer)[0] != fcntl.F_UNLCK:
            return True
    return False


def _in_proc_locks(status: os.stat_result) -> bool:
    """Look the file up in /proc/locks (proc_locks(5)): what is left to an account that may not open it."""
    device = status.st_dev
    wanted = b"%02x:%02x:%d" % (os.major(device), os.minor(device), status.st_ino)
    with open("/proc/locks", "rb") as file:
        return any(wanted in line.split() for line in file)
