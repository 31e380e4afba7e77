"""Where the kinds that are looked at whole have their files: a change there means that the kind may have changed."""

from __future__ import annotations

from whatchanged.records.items import Kind
from whatchanged.rules import FileRule, FileScope, FileType

__all__ = ["EVERY_UNIT", "LINK", "fits_unit", "place_scope", "subject_of"]

_UNITS = b"units"
_SCRIPTS = b"scripts"
_STATES = b"states"

_PLACES: dict[Kind, dict[bytes, tuple[bytes, ...]]] = {
    # By package system, as its packages' keys begin.
    Kind.SOFTWARE: {
        b"dpkg": (b"/var/lib/dpkg/status", b"/var/lib/dpkg/status.d/*", b"/var/lib/dpkg/updates/*"),
        b"rpm": (b"/var/lib/rpm/*", b"/usr/lib/sysimage/rpm/*"),
        b"apk": (b"/lib/apk/db/installed", b"/usr/lib/apk/db/installed"),
        b"pacman": (b"/var/lib/pacman/local/*",),
        b"snap": (b"/var/lib/snapd/state.json",),
        b"flatpak": (b"/var/lib/flatpak/.changed",),
    },
    Kind.DAEMONS: {
        _UNITS: (
            b"/etc/systemd/system/**",
            b"/etc/systemd/system.attached/**",
            b"/etc/systemd/system.control/**",
            b"/usr/lib/systemd/system/**",
            b"/usr/local/lib/systemd/system/**",
            b"/lib/systemd/system/**",
            b"/run/systemd/system/**",
            b"/run/systemd/system.attached/**",
            b"/run/systemd/system.control/**",
            b"/run/systemd/generator/**",
            b"/run/systemd/generator.early/**",
            b"/run/systemd/generator.late/**",
        ),
        _SCRIPTS: (b"/etc/init.d/*", b"/etc/rc?.d/*", b"/etc/runlevels/**"),
        _STATES: (
            b"/run/openrc/*",
            b"/run/openrc/started/*",
            b"/run/openrc/starting/*",
            b"/run/openrc/stopping/*",
        ),
    },
}

EVERY_UNIT = b"*"
"""The subject of files that belong to every unit."""
LINK = b"+"
"""What a subject begins with that is only a link in a folder such as `multi-user.target.wants`."""
_FOLDERS = tuple(place.removesuffix(b"**") for place in _PLACES[Kind.DAEMONS][_UNITS])
_SERVICE = b".service"


def place_scope(kind: Kind) -> FileScope | None:
    """Return the paths that mark a kind, or None if no file does."""
    places = _PLACES.get(kind)
    if places is None:
        return None
    return FileScope(
        [
            FileRule(name=group.decode(), destination_path=place, type=FileType.ANY)
            for group, found in places.items()
            for place in found
        ]
    )


def subject_of(kind: Kind, path: bytes) -> bytes | None:
    """Return what a file of a kind belongs to: a package system, or a service unit; None if to none.

    `fits_unit` says which units that of a unit's file is about.
    """
    if kind is not Kind.DAEMONS:
        folder = path.rpartition(b"/")[0]
        places = _PLACES.get(kind, {}).items()
        return next((group for group, found in places if not {path, folder + b"/*"}.isdisjoint(found)), None)
    folder = next((folder for folder in _FOLDERS if path.startswith(folder)), b"")
    return _unit_of_file(path[len(folder) :]) if folder else _unit_of_script(path)


def _unit_of_file(path: bytes) -> bytes | None:
    """Return the unit of a path within a unit folder: its file, a drop-in of its, or a link that enables it."""
    first, _, rest = path.partition(b"/")
    if first.endswith(b".d"):
        name = first.removesuffix(b".d")
        # Of `service.d` and `a-.service.d` (systemd.unit(5)): every unit, or many.
        return EVERY_UNIT if name == b"service" or name.endswith(b"-.service") else _service(name)
    if not rest:
        return _service(first)
    unit = _service(rest.rpartition(b"/")[2])
    return unit and LINK + unit


def _unit_of_script(path: bytes) -> bytes | None:
    folder, _, name = path.rpartition(b"/")
    if folder.startswith(b"/run/"):  # a state, and whoever wrote it is not whoever asked for it
        return None
    if folder.startswith(b"/etc/rc"):
        name = name[3:]  # S01name, K01name
    return name + _SERVICE if name else None


def _service(name: bytes) -> bytes | None:
    return name if name.endswith(_SERVICE) else None


def fits_unit(subject: bytes, unit: bytes) -> bool:
    """Whether a file that belongs to `subject` may say something of `unit`: templates and instances are of one kind."""
    subject = subject.removeprefix(LINK)
    if subject in (EVERY_UNIT, unit):
        return True
    return b"@" in subject and subject.partition(b"@")[0] == unit.partition(b"@")[0]
