"""Installed Arch packages, from pacman's local database: what `pacman -Q` says, without running it.

Format: one folder a package with the files `desc` and `files`: sections of a `%HEADING%` line, values, an empty line
(libalpm's lib/libalpm/be_local.c). An upgrade takes the old folder away before the new one is written, so while
pacman holds its lock (the file `db.lck`) a package that is not seen may come back.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import time
from collections.abc import Iterator

from whatchanged.collectors.software.instances import Installation, settled
from whatchanged.collectors.software.os_release import Distribution
from whatchanged.collectors.software.package_facts import METADATA_NAMES, PackageDatabaseError, whole_number
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.purl import distribution_purl
from whatchanged.records.items import SoftwareItem

__all__ = ["FOLDER", "LARGEST_DESC", "LARGEST_FILES", "Pacman", "is_locked", "pacman_item", "sections"]

FOLDER = b"/var/lib/pacman"
LARGEST_DESC = 1024 * 1024
LARGEST_FILES = 64 * 1024 * 1024
_STALE_SECONDS = 3600
"""A lock file older than this was left behind: no operation takes as long, and pacman refuses to work meanwhile."""


class Pacman:
    """pacman's local database."""

    source = "pacman"
    owns_files = True

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the installed packages. Raises OSError."""
        folder = root.folder(FOLDER)
        if folder is None:
            return Look()
        before = root.stamps(folder + b"/local")
        locked = is_locked(root, folder)
        found: list[Installation] = []
        files: set[bytes] = set()
        broken = False
        for name in root.entries(folder + b"/local"):
            entry = folder + b"/local/" + name
            if root.folder(entry) is None:  # ALPM_DB_VERSION
                continue
            try:
                item = pacman_item(root.content(entry + b"/desc", LARGEST_DESC), root.distribution)
                files.update(_metadata_files(root, entry))
            except (OSError, PackageDatabaseError) as error:
                if not locked:
                    root.fail(entry, error if isinstance(error, OSError) else str(error))
                    broken = True
            else:
                found.append(Installation(item, (item.installed_ns or 0, item.version)))
        locked = locked or is_locked(root, folder) or root.stamps(folder + b"/local") != before
        items, unsettled = settled(found, busy=locked)
        return Look(
            items=items,
            unsettled=unsettled,
            busy=locked,
            moving=locked,
            incomplete=broken,
            owned=frozenset(files),
        )


def pacman_item(raw: bytes, distribution: Distribution) -> SoftwareItem:
    """Return the package of a `desc` file. Raises PackageDatabaseError. Pure."""
    first = {heading: values[0] for heading, values in sections(raw) if values}
    name, version, architecture = (first.get(heading, "") for heading in ("NAME", "VERSION", "ARCH"))
    if not name or not version:
        raise PackageDatabaseError("no package: a name or a version is missing")
    installed = whole_number(first.get("INSTALLDATE", ""))
    return SoftwareItem(
        name=name,
        version=version,
        architecture=architecture,
        source=Pacman.source,
        publisher=first.get("PACKAGER", ""),
        description=first.get("DESC", ""),
        installed_ns=None if installed is None else installed * 10**9,
        size=whole_number(first.get("SIZE", "")),
        purl=distribution_purl("alpm", distribution, name, version, architecture=architecture),
    )


def sections(raw: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield heading and values of each section. Pure."""
    heading = None
    values: list[str] = []
    for line in raw.decode(errors="replace").split("\n"):
        if len(line) > 2 and line[0] == line[-1] == "%" and not values and heading is None:
            heading = line[1:-1]
        elif line:
            values.append(line)
        else:
            if heading is not None:
                yield heading, values
            heading, values = None, []
    if heading is not None:
        yield heading, values


def _metadata_files(root: Root, entry: bytes) -> set[bytes]:
    raw = root.content(entry + b"/files", LARGEST_FILES)
    return {b"/" + line for line in raw.split(b"\n") if line.endswith(METADATA_NAMES)}


def is_locked(root: Root, folder: bytes) -> bool:
    """Say whether pacman is at work. Raises OSError."""
    status = root.status(folder + b"/db.lck")
    return status is not None and time.time() - status.st_mtime < _STALE_SECONDS
