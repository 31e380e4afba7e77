r"""Software of a Windows machine as the registry knows it: programs, Windows Installer's products, and updates.

Programs stand below `Uninstall`, of the machine (64 and 32 bits) and of every user, signed in or not; products and
their patches in Windows Installer's own keys; updates of Windows among the packages of component-based servicing;
Store packages where the machine provides them to everybody, and in the repository of each user. One
thing is one item, in whichever of these it stands: a product that has an uninstall entry is that entry, and an update
is one item however many packages it came in. Its KB number stands in its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from whatchanged.collectors.outcome import Snapshot
from whatchanged.collectors.registry.environment import native_architecture, system_variables
from whatchanged.collectors.registry.hive_format import filetime_ns
from whatchanged.collectors.registry.source import (
    MACHINE,
    USERS,
    RegistryKey,
    RegistrySource,
    clean_text,
    number_at,
    text_at,
)
from whatchanged.records.items import SoftwareItem

__all__ = ["KEYS", "SOURCES", "RegistrySoftware", "kb_number", "packed_guid", "windows_update"]

_CURRENT = r"Microsoft\Windows\CurrentVersion"
_MACHINE_SOFTWARE = rf"{MACHINE}\SOFTWARE"
_INSTALLER = rf"{_MACHINE_SOFTWARE}\{_CURRENT}\Installer\UserData"
_PACKAGES = rf"{_MACHINE_SOFTWARE}\{_CURRENT}\Component Based Servicing\Packages"
_SYSTEM_ACCOUNT = "S-1-5-18"
_STORE = rf"{_MACHINE_SOFTWARE}\{_CURRENT}\Appx\AppxAllUserStore\Applications"
_REPOSITORY = rf"Local Settings\Software\{_CURRENT}\AppModel\Repository\Packages"
_UNINSTALL = rf"{_CURRENT}\Uninstall"
_CLASSES = "_Classes"
KEYS = (
    rf"{_MACHINE_SOFTWARE}\{_UNINSTALL}",
    _INSTALLER,
    _PACKAGES,
    _STORE,
    rf"{USERS}\*\Software\{_UNINSTALL}",
    rf"{USERS}\*{_CLASSES}\{_REPOSITORY}",
)
"""Where it is written, with all below, what software there is, in the 64-bit view: changes there are worth a look."""
_PROGRAMS, _PRODUCTS, _UPDATES, _APPS = "uninstall", "msi", "cbs", "appx"
SOURCES = frozenset({_PROGRAMS, _PRODUCTS, _UPDATES, _APPS})
_OF_USERS = (_PROGRAMS, _PRODUCTS, _APPS)
_APPLICATION, _UPDATE = "Application", "Update"
_PACKED = re.compile(r"[0-9A-F]{32}\Z", re.IGNORECASE)
_KB = re.compile(r"KB[0-9]{5,}", re.IGNORECASE)
_UPDATE_PACKAGE = re.compile(r"Package(_[0-9]+)?_for_", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)\Z", re.ASCII)
_INSTALLED = (0x70, 0x80)
"""CurrentState of a package that is installed, and of one that is so for good."""
_PATCH_APPLIED = 1
_MICROSOFT_TOKEN = "31bf3856ad364e35"  # noqa: S105  # the public key token of packages that Microsoft signed
_PACKAGE_ARCHITECTURES = {"amd64": "x64", "x86": "x86", "wow64": "x86", "arm64": "arm64", "arm": "arm"}


class _Found(NamedTuple):
    """A program, and what tells it apart from others of its name."""

    item: SoftwareItem
    mark: str


class RegistrySoftware:
    """Looks at the software that a registry knows."""

    name = "software"

    def __init__(self, source: RegistrySource) -> None:
        self._source = source

    def run(self) -> Snapshot[SoftwareItem]:
        """Return all software."""
        tally = self._source.tally
        if self._source.open(_MACHINE_SOFTWARE) is None:
            tally.broken = True
            return Snapshot(items=(), outcome=tally.outcome(), scopes=frozenset())
        native = native_architecture(system_variables(self._source))
        users = self._source.users()
        programs, apps = self._of("", native), list(_apps(self._source.open(_STORE), ""))
        unread: set[str] = set()
        for user in users:  # one after the other, so that each hive is opened once
            programs += self._of(user, native)
            apps += _apps(self._source.open(rf"{USERS}\{user}{_CLASSES}\{_REPOSITORY}"), user)
            if self._source.open(rf"{USERS}\{user}") is None:
                unread.add(user)
        unread |= {user for folder in tally.outcome().denied if (user := _user_of(folder))}
        codes = {(found.item.instance, found.mark.upper()) for found in programs}
        products, patches = self._products(codes, unread)
        entries = [found for found in programs if found.item.software_type == _UPDATE]
        others = [found for found in programs if found.item.software_type != _UPDATE]
        told = [*_told_apart([*others, *products, *apps]), *_once(self._updates(), entries, patches)]
        items = {item.key(): item for item in told}
        tally.seen = tally.looked = len(items)
        outcome = tally.outcome()
        kept = _parts(unread)
        blind = any(folder.upper().startswith(_MACHINE_SOFTWARE.encode()) for folder in outcome.denied)
        if blind:  # whose keys the damaged ones were nobody knows
            kept |= SOURCES
        return Snapshot(
            items=tuple(item for _, item in sorted(items.items())),
            outcome=outcome,
            kept=tuple(sorted(beginning.encode() for beginning in kept)),
            # Each user is a part, so that what was there before he could be looked at is no change.
            scopes=frozenset() if blind else SOURCES | _parts(set(users) - unread),
        )

    def _of(self, owner: str, native: str) -> list[_Found]:
        """Return the programs with an uninstall entry of a user, or of the machine."""
        software = rf"{USERS}\{owner}\Software" if owner else _MACHINE_SOFTWARE
        places = ((software, "" if owner else native), (rf"{software}\Wow6432Node", "x86"))
        return [
            found
            for place, architecture in places
            for key in _subkeys(self._source.open(rf"{place}\{_UNINSTALL}"))
            if (found := _program(key, owner, architecture)) is not None
        ]

    def _products(self, codes: set[tuple[str, str]], unread: set[str]) -> tuple[list[_Found], list[_Found]]:
        """Return Windows Installer's products that have no uninstall entry, and the patches of all its products.

        Of users whose own keys could not be read nobody knows which have one.
        """
        products: list[_Found] = []
        patches: dict[str, tuple[_Found, set[str]]] = {}
        for account in _subkeys(self._source.open(_INSTALLER)):
            owner = "" if account.name == _SYSTEM_ACCOUNT else clean_text(account.name)
            for key in _subkeys(account.subkey("Products")):
                facts = key.subkey("InstallProperties")
                name = text_at(facts, "DisplayName")
                if facts is None or not name or not _PACKED.match(key.name):
                    continue
                code = packed_guid(key.name)
                if owner not in unread and (owner, code) not in codes:
                    products.append(_Found(_facts(facts, name, _PRODUCTS, owner, ""), code))
                for patch in _subkeys(key.subkey("Patches")):
                    if (item := _patch(patch)) is not None:
                        patches.setdefault(item.name, (_Found(item, patch.name), set()))[1].add(name)
        told = [
            _Found(msgspec.structs.replace(item, description=", ".join(sorted(names))), mark)
            for (item, mark), names in patches.values()
        ]
        return products, told

    def _updates(self) -> Iterator[_Found]:
        """Yield the updates of Windows, each once."""
        best: dict[str, tuple[bool, tuple[int, ...], SoftwareItem]] = {}
        for key in _subkeys(self._source.open(_PACKAGES)):
            if number_at(key, "CurrentState") not in _INSTALLED or (item := _update(key)) is None:
                continue
            # The package of the whole update stands for its parts (`Package_1_for_…`).
            rank = (key.name.lower().startswith("package_for_"), _version_order(item.version), item)
            if item.name not in best or best[item.name][:2] < rank[:2]:
                best[item.name] = rank
        yield from (_Found(item, item.description) for _, _, item in best.values())


def _parts(users: set[str]) -> set[str]:
    """Return the locations of what users have each for themselves."""
    return {f"{source}/{user}" for source in _OF_USERS for user in users}


def _subkeys(key: RegistryKey | None) -> Iterator[RegistryKey]:
    return iter(()) if key is None else key.subkeys()


def _program(key: RegistryKey, owner: str, architecture: str) -> _Found | None:
    """Return the program of an uninstall entry; None of what has no name, which no list of programs shows."""
    name = text_at(key, "DisplayName").strip()
    if not name:
        return None
    item = _facts(key, name, _PROGRAMS, owner, architecture)
    parent = text_at(key, "ParentKeyName")
    if parent or text_at(key, "ReleaseType") or _KB.search(name):
        number = _KB.search(key.name)
        shown = name if number is None or _KB.search(name) else f"{name} ({number[0].upper()})"
        item = msgspec.structs.replace(item, name=shown, software_type=_UPDATE)
    return _Found(item, clean_text(key.name))


def _facts(key: RegistryKey, name: str, source: str, owner: str, architecture: str) -> SoftwareItem:
    size = number_at(key, "EstimatedSize")
    return SoftwareItem(
        name=name,
        version=text_at(key, "DisplayVersion"),
        architecture=architecture,
        source=source,
        software_type=_APPLICATION,
        publisher=text_at(key, "Publisher"),
        description=text_at(key, "Comments"),
        instance=owner,
        installed_ns=_date_ns(text_at(key, "InstallDate")),
        size=None if size is None else size * 1024,
    )


def _apps(repository: RegistryKey | None, owner: str) -> Iterator[_Found]:
    """Return the Store packages of a user, or of the machine."""
    return (found for key in _subkeys(repository) if (found := _app(key, owner)) is not None)


def _app(key: RegistryKey, owner: str) -> _Found | None:
    """Return the Store package that a key is named after: `name_version_architecture_resource_publisher`.

    None for what belongs to another package: its languages and scales.
    """
    full = clean_text(key.name)
    name, *parts = full.split("_")
    if len(parts) != 4 or not name or parts[2].lower().startswith("split."):
        return None
    shown = text_at(key, "DisplayName")
    return _Found(
        SoftwareItem(
            name=name,
            version=parts[0],
            architecture=parts[1].lower(),
            source=_APPS,
            software_type=_APPLICATION,
            # `@{…}` names a text in the package's resources.
            description="" if shown.startswith("@") else shown,
            instance=owner,
        ),
        full,
    )


def _user_of(denied: bytes) -> str:
    """Return whose hive a key that could not be read belongs to; empty for the machine's."""
    top, _, rest = denied.decode(errors="replace").partition("\\")
    return rest.partition("\\")[0].removesuffix(_CLASSES) if top == USERS else ""


def _patch(key: RegistryKey) -> SoftwareItem | None:
    name = text_at(key, "DisplayName").strip()
    if not name or number_at(key, "State") != _PATCH_APPLIED:
        return None
    installed = _date_ns(text_at(key, "Installed"))
    return SoftwareItem(name=name, version="", source=_PRODUCTS, software_type=_UPDATE, installed_ns=installed)


def _update(key: RegistryKey) -> SoftwareItem | None:
    """Return the update that a package belongs to; None for parts of Windows itself, which are no updates."""
    name, token, architecture, _, version = ([*clean_text(key.name).split("~"), "", "", "", ""])[:5]
    number = _KB.search(name)
    if number is None and not _UPDATE_PACKAGE.match(name):
        return None
    # A cumulative update (`Package_for_RollupFix`) has its number in the name of the file it came in.
    for value in ("InstallLocation", "InstallName"):
        number = number or _KB.search(text_at(key, value))
    high, low = number_at(key, "InstallTimeHigh"), number_at(key, "InstallTimeLow")
    return SoftwareItem(
        name=name if number is None else windows_update(number[0]),
        version=version,
        architecture=_PACKAGE_ARCHITECTURES.get(architecture.lower(), ""),
        source=_UPDATES,
        software_type=_UPDATE,
        publisher="Microsoft Corporation" if token.lower() == _MICROSOFT_TOKEN else "",
        description=name,
        installed_ns=None if high is None or low is None else filetime_ns(high << 32 | low),
    )


def _told_apart(found: list[_Found]) -> Iterator[SoftwareItem]:
    """Yield the items, each with a key of its own: of several with one name the newest keeps it alone."""
    groups: dict[bytes, list[_Found]] = {}
    for one in found:
        groups.setdefault(one.item.key(), []).append(one)
    for group in groups.values():
        *older, newest = sorted(group, key=lambda one: (_version_order(one.item.version), one.mark))
        yield newest.item
        for item, mark in older:
            yield msgspec.structs.replace(item, instance=f"{item.instance}/{mark}" if item.instance else mark)


def _once(*sources: Iterable[_Found]) -> Iterator[SoftwareItem]:
    """Yield updates, each once: what an earlier source knows by its number or name, the later ones do not tell again.

    In one source an update stands as often as it has products that it changed; of those with one number and name the
    last is told of.
    """
    known: set[str] = set()
    for source in sources:
        by_key: dict[bytes, _Found] = {}
        for found in sorted(source, key=lambda found: (_version_order(found.item.version), found.mark)):
            by_key[found.item.key()] = found
        told = [item for item, _ in by_key.values() if (kb_number(item.name) or item.name) not in known]
        known.update(kb_number(item.name) or item.name for item in told)
        yield from told


def _version_order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", version))


def _date_ns(text: str) -> int | None:
    """Return an installer's `20240131` in nanoseconds since 1970; None for anything else."""
    found = _DATE.match(text.strip())
    if found is None:
        return None
    try:
        moment = datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC)
    except ValueError:  # no such day
        return None
    return int(moment.timestamp()) * 10**9


def kb_number(text: str) -> str:
    """Return the number of the article on an update that `text` names, as `KB5034441`; empty if it names none."""
    found = _KB.search(text)
    return "" if found is None else found[0].upper()


def windows_update(kb: str) -> str:
    """Return the name of an update of Windows itself."""
    return f"Update for Windows ({kb.upper()})"


def packed_guid(packed: str) -> str:
    """Return the product code that Windows Installer writes without its dashes, and backwards in pieces."""
    text = packed.upper()
    head = (text[7::-1], text[11:7:-1], text[15:11:-1])
    tail = "".join(text[at + 1] + text[at] for at in range(16, 32, 2))
    return "{" + "-".join((*head, tail[:4], tail[4:])) + "}"
