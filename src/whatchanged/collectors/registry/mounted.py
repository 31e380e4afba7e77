r"""The registry of a Windows disk that is mounted somewhere: its hive files in the places where the system loads them.

What exists only while Windows runs is put back: `SYSTEM\CurrentControlSet` is the control set that `Select` names, a
user's `Software\Classes` is the hive of his classes. What is missing then is `HARDWARE`, and volatile keys.

Of a Windows that runs it is the source of what is not loaded: the hives of users who are signed out.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from whatchanged.collectors.outcome import Failure, Tally, reason_of
from whatchanged.collectors.registry.environment import expanded
from whatchanged.collectors.registry.hive import Hive, HiveKey
from whatchanged.collectors.registry.hive_file import Bytes
from whatchanged.collectors.registry.hive_format import HiveError
from whatchanged.collectors.registry.hive_log import open_hive_file
from whatchanged.collectors.registry.mounted_files import MountedFile, find
from whatchanged.collectors.registry.source import (
    MACHINE,
    USERS,
    RegistryKey,
    RegistrySource,
    RegistryValue,
    number_at,
    text_at,
)
from whatchanged.records.registry_values import RegistryType, name_bytes

__all__ = ["MountedRegistry", "is_account"]

_CONFIG = ("Windows", "System32", "config")
_SERVICE_PROFILES = ("Windows", "ServiceProfiles")
_MACHINE_HIVES: dict[str, tuple[str, ...]] = {
    "SAM": (*_CONFIG, "SAM"),
    "SECURITY": (*_CONFIG, "SECURITY"),
    "SOFTWARE": (*_CONFIG, "SOFTWARE"),
    "SYSTEM": (*_CONFIG, "SYSTEM"),
    "BCD00000000": ("Boot", "BCD"),
}
_EXPECTED = ("SOFTWARE", "SYSTEM")
_ACCOUNT_HIVES: dict[str, tuple[str, ...]] = {
    ".DEFAULT": (*_CONFIG, "DEFAULT"),
    "S-1-5-18": (*_CONFIG, "DEFAULT"),
    "S-1-5-19": (*_SERVICE_PROFILES, "LocalService", "NTUSER.DAT"),
    "S-1-5-20": (*_SERVICE_PROFILES, "NetworkService", "NTUSER.DAT"),
}
_PROFILES = rf"{MACHINE}\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList"
_WINDOWS = rf"{MACHINE}\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_CLASSES = "_Classes"
_CLASSES_HIVE = ("AppData", "Local", "Microsoft", "Windows", "UsrClass.dat")
_LOGS = (".LOG1", ".LOG2", ".LOG")
_MAX_OPEN = 8
"""Hives of users that are kept open."""
_MAX_USERS = 10_000
_MAX_LINKS = 16
_MAX_TOLD = 10_000
_ACCOUNT = re.compile(r"S(-[0-9]+){2,}\Z", re.ASCII | re.IGNORECASE)
_DRIVE = re.compile(r"[A-Z]:\Z", re.ASCII)
_TARGETS = (("\\REGISTRY\\MACHINE\\", MACHINE), ("\\REGISTRY\\USER\\", USERS))


class MountedRegistry:
    """The registry of the system below `root`. Links of its file system are not followed."""

    def __init__(
        self,
        root: bytes,
        tally: Tally | None = None,
        *,
        running: RegistrySource | None = None,
        file: Callable[[bytes], Bytes] = MountedFile,
    ) -> None:
        """`running`: the registry of the system that runs from this disk, which knows the users; their profiles may be
        on any drive then. `file` opens a file.
        """
        self.tally = Tally() if tally is None else tally
        self.notes: list[str] = []
        """What whoever looks should know, and is no failure: hives whose logs were taken in."""
        self._root = root
        self._running = running
        self._file = file
        self._machine: dict[str, Hive | None] = {}
        self._users: OrderedDict[str, Hive | None] = OrderedDict()
        self._profiles: dict[str, _Place] | None = None
        self._users_known: tuple[str, ...] | None = None
        self._spelled: dict[str, dict[str, str]] = {}
        """Below each top the names of hives, by themselves in upper case."""
        self._told: set[tuple[str, str]] = set()

    def open(self, path: str) -> RegistryKey | None:
        """Return the key at a full path, links followed."""
        return self.follow(path, 0)

    def follow(self, path: str, links: int) -> RegistryKey | None:
        """Return the key at a full path, which `links` links have led to."""
        top, *names = [name for name in path.split("\\") if name] or [""]
        if top.upper() not in (MACHINE, USERS):
            return None
        key: RegistryKey | None = _Top(self, top.upper())
        for name in names:
            if key is None:
                return None
            key = key.linked_key(name, links) if isinstance(key, _MountedKey) else key.subkey(name)
        return key

    def may_lead(self, path: str, target: str) -> bool:
        """Whether a link at `path` is followed to `target`.

        Where the system runs, hives of others are loaded, and nobody may make us fail at them: only to his own.
        """
        return self._running is None or _account_of(path) == _account_of(target)

    def users(self) -> tuple[str, ...]:
        """Return the accounts that have a hive on the disk."""
        return tuple(name for name in (*_ACCOUNT_HIVES, *self.profiles()) if name != "S-1-5-18")

    def profiles(self) -> tuple[str, ...]:
        """Return the accounts that have a profile, without those that Windows itself runs as.

        Of the running system only those with a hive: what was deleted leaves its entry behind.
        """
        if self._users_known is None:
            folders = self._profile_folders()
            self._users_known = tuple(n for n in folders if self._running is None or self._may_have_hive(n))
        return self._users_known

    def _may_have_hive(self, name: str) -> bool:
        place = self._place(name)
        try:
            return not place.names or not os.path.isdir(place.root) or find(place.root, *place.names) is not None
        except OSError:
            return True  # whoever opens it will say why

    def root_names(self, top: str) -> Iterator[str]:
        """Yield the names of the hives that there may be below `MACHINE` or `USERS`."""
        if top == MACHINE:
            yield from _MACHINE_HIVES
        else:
            for name in self.users():
                yield name
                if name in self._profile_folders():
                    yield name + _CLASSES

    def root_key(self, top: str, name: str) -> RegistryKey | None:
        """Return the root of the hive `name`, in any case."""
        if top not in self._spelled:
            self._spelled[top] = {known.upper(): known for known in self.root_names(top)}
        spelled = self._spelled[top].get(name.upper())
        if spelled is None and top == USERS and name.upper() in _ACCOUNT_HIVES:
            spelled = name.upper()
        if spelled is None or (hive := self._hive(top, spelled)) is None:
            return None
        path = f"{top}\\{spelled}"
        try:
            return _MountedKey(self, hive.root(), path, 0)
        except HiveError as error:
            self._damaged(path, str(error))
            return None

    def _hive(self, top: str, name: str) -> Hive | None:
        if top == MACHINE:
            if name not in self._machine:
                place = _Place(self._root, _MACHINE_HIVES[name])
                self._machine[name] = self._opened(f"{top}\\{name}", place, needed=name in _EXPECTED)
            return self._machine[name]
        if name not in self._users:
            needed = name not in _ACCOUNT_HIVES and not name.endswith(_CLASSES)
            self._users[name] = self._opened(f"{top}\\{name}", self._place(name), needed=needed)
            if len(self._users) > _MAX_OPEN:
                self._users.popitem(last=False)
        return self._users[name]

    def _place(self, name: str) -> _Place:
        if name in _ACCOUNT_HIVES:
            return _Place(self._root, _ACCOUNT_HIVES[name])
        root, folder = self._profile_folders()[name.removesuffix(_CLASSES)]
        return _Place(root, folder and (*folder, *(_CLASSES_HIVE if name.endswith(_CLASSES) else ("NTUSER.DAT",))))

    def _opened(self, path: str, place: _Place, *, needed: bool) -> Hive | None:
        if not place.names:  # of a profile on another disk, which was told of
            return None
        shown = "/".join(place.names)
        try:
            file = find(place.root, *place.names)
            if file is None:
                if needed:
                    self.tally.deny(name_bytes(path), f"{shown} is not there")
                return None
            opened = open_hive_file(self._file(file), tuple(self._logs(path, place)))
            hive = Hive(
                opened.file, opened.base, lambda below, why: self._damaged(f"{path}\\{below}".rstrip("\\"), why)
            )
            hive.root()
        except OSError as error:
            self.tally.deny(name_bytes(path), f"{shown}: {reason_of(error)}")
            return None
        except HiveError as error:
            self.tally.deny(name_bytes(path), f"{shown} {error}")
            return None
        if opened.trouble:
            self.tally.fail(Failure(name_bytes(path), f"{shown} {opened.trouble}"), item=False)
        elif opened.recovered:
            self.notes.append(f"{path}: {opened.recovered} writes that its logs held were taken in")
        return hive

    def _logs(self, path: str, place: _Place) -> Iterator[Bytes]:
        """Yield the logs of a hive; without one that cannot be opened the hive is read all the same."""
        *folder, name = place.names
        for ending in _LOGS:
            shown = "/".join((*folder, name + ending))
            try:
                if (log := find(place.root, *folder, name + ending)) is not None:
                    yield self._file(log)
            except OSError as error:
                self.tally.fail(Failure(name_bytes(path), f"{shown}: {reason_of(error)}"), item=False)

    def _damaged(self, path: str, reason: str) -> None:
        """Say it once, however often it is met."""
        if (path, reason) in self._told:
            return
        if len(self._told) < _MAX_TOLD:
            self._told.add((path, reason))
        self.tally.deny(name_bytes(path), reason)

    def _profile_folders(self) -> dict[str, _Place]:
        """Return where users' profiles are, by security identifier; without names if they are elsewhere."""
        if self._profiles is None:
            self._profiles = {}  # ProfileList is below MACHINE, so looking at it does not come back here
            machine = self._running or self
            windows = text_at(machine.open(_WINDOWS), "SystemRoot")
            listed = machine.open(_PROFILES)
            for key in () if listed is None else listed.subkeys():
                if len(self._profiles) >= _MAX_USERS:
                    self._damaged(_PROFILES, f"only the first {_MAX_USERS} profiles are looked at")
                    break
                if is_account(key.name) and key.name.upper() not in _ACCOUNT_HIVES:
                    self._profiles[key.name] = self._profile(key.name, text_at(key, "ProfileImagePath"), windows)
        return self._profiles

    def _profile(self, name: str, path: str, windows: str) -> _Place:
        drive = windows[:2].upper() or "C:"
        full = expanded(path, {"SYSTEMDRIVE": drive, "SYSTEMROOT": windows, "WINDIR": windows}).replace("/", "\\")
        head, *names = full.split("\\")
        if names and not {".", "..", ""} & set(names):
            if head.upper() == drive:
                return _Place(self._root, tuple(names))
            if self._running is not None and _DRIVE.match(head.upper()):
                return _Place(f"{head}\\".encode(), tuple(names))
        self._damaged(f"{USERS}\\{name}", f"its profile is at {path!r}, and not on this disk")
        return _Place(self._root, ())


def is_account(name: str) -> bool:
    """Whether the name of a hive of users is an account's; `S-1-5-21-…-1001.bak` is of a profile put aside."""
    return name.upper() == ".DEFAULT" or _ACCOUNT.match(name) is not None


class _Place(NamedTuple):
    """Where a file or folder is: names below a root, in any case; none if it cannot be come to."""

    root: bytes
    names: tuple[str, ...]


class _Top:
    """HKEY_LOCAL_MACHINE or HKEY_USERS: the hives are its keys."""

    written_ns = None
    link = False

    def __init__(self, source: MountedRegistry, path: str) -> None:
        self._source = source
        self.path = self.name = path

    def subkeys(self) -> Iterator[RegistryKey]:
        for name in self._source.root_names(self.path):
            if (key := self._source.root_key(self.path, name)) is not None:
                yield key

    def subkey(self, name: str) -> RegistryKey | None:
        return self._source.root_key(self.path, name)

    def values(self) -> Iterator[RegistryValue]:
        return iter(())

    def value(self, name: str) -> RegistryValue | None:
        return None


class _MountedKey:
    """A key of a hive under its path in the registry."""

    def __init__(
        self, source: MountedRegistry, key: HiveKey, path: str, links: int, *, through_link: bool = False
    ) -> None:
        self._source = source
        self._key = key
        self._links = links
        self._through_link = through_link
        self.path = path
        self.name = path.rpartition("\\")[2]

    @property
    def written_ns(self) -> int | None:
        return self._key.written_ns

    @property
    def link(self) -> bool:
        return self._key.link or self._through_link

    def subkeys(self) -> Iterator[RegistryKey]:
        for key in self._key.subkeys():
            yield _MountedKey(self._source, key, f"{self.path}\\{key.name}", self._links)

    def subkey(self, name: str) -> RegistryKey | None:
        return self.linked_key(name, self._links)

    def values(self) -> Iterator[RegistryValue]:
        return self._key.values()

    def value(self, name: str) -> RegistryValue | None:
        return self._key.value(name)

    def linked_key(self, name: str, links: int) -> RegistryKey | None:
        """Return the key of that name in this one, which `links` links have led to."""
        found = self._key.subkey(name)
        if found is None:
            return self._volatile(name, links)
        if not found.link:
            return _MountedKey(self._source, found, f"{self.path}\\{found.name}", links)
        target = _target(found)
        return self._at(f"{self.path}\\{found.name}", target, links) if target else None

    def _at(self, path: str, target: str, links: int) -> RegistryKey | None:
        """Return the key at `target` under the path it was come to by."""
        if links >= _MAX_LINKS or not self._source.may_lead(path, target):
            return None
        key = self._source.follow(target, links + 1)
        return (
            _MountedKey(self._source, key._key, path, links + 1, through_link=True)
            if isinstance(key, _MountedKey)
            else None
        )

    def _volatile(self, name: str, links: int) -> RegistryKey | None:
        """Return what a link leads to that is not kept in the hive."""
        upper, path = name.upper(), self.path.upper()
        if upper == "CURRENTCONTROLSET" and path == rf"{MACHINE}\SYSTEM":
            number = number_at(self._source.follow(rf"{MACHINE}\SYSTEM\Select", links), "Current")
            target = rf"{self.path}\ControlSet{number or 0:03}"
            return None if number is None else self._at(rf"{self.path}\CurrentControlSet", target, links)
        top, _, rest = path.partition("\\")
        account, _, inner = rest.partition("\\")
        if upper == "CLASSES" and top == USERS and inner == "SOFTWARE":
            return self._at(rf"{self.path}\Classes", rf"{USERS}\{account}{_CLASSES}", links)
        if upper == "CURRENT" and path.endswith(r"\HARDWARE PROFILES"):
            return self._at(rf"{self.path}\Current", rf"{self.path}\0001", links)
        return None


def _account_of(path: str) -> str:
    top, _, rest = path.upper().partition("\\")
    return rest.partition("\\")[0].removesuffix(_CLASSES.upper()) if top == USERS else ""


def _target(key: HiveKey) -> str:
    """Return the full path that a link leads to; empty if it leads to nothing known."""
    value = key.value("SymbolicLinkValue")
    if value is None or value.type != RegistryType.REG_LINK:
        return ""
    text = value.data.decode("utf-16-le", "replace").rstrip("\0")
    for prefix, hive in _TARGETS:
        if text.upper().startswith(prefix):
            return f"{hive}\\{text[len(prefix) :]}"
    return ""
