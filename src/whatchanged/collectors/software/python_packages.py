"""Python distributions in the system's folders: what `pip list` says there, without running it.

A distribution is a `NAME-VERSION.dist-info` folder with METADATA, or an `.egg-info` file or folder, or an `.egg`
(packaging.python.org, "Recording installed projects"). pip upgrades by renaming the old `dist-info` to `~…`, writing
the new one and removing the old, so a fresh `~…` whose distribution is not seen is *unsettled*.
The same distribution in two folders is two items: the folder is part of the Location.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re
from collections.abc import Iterable

import msgspec

from whatchanged.collectors.software.instances import Installation, told_apart
from whatchanged.collectors.software.language_packages import Trouble, clean, is_recent, version_folders
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.purl import pypi_purl
from whatchanged.records.items import SoftwareItem

__all__ = ["PythonPackages", "python_item", "recorded_size"]

_BASES = (b"/usr/lib", b"/usr/lib64", b"/usr/local/lib", b"/usr/local/lib64")
_INTERPRETER = re.compile(rb"python[0-9](?:\.[0-9]{1,3}t?)?")
_BELOW = (b"site-packages", b"dist-packages")
_HEADERS = 256 * 1024
"""Bytes of a metadata file that are read: the long description follows its headers."""
_LARGEST_RECORD = 16 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_*-]{0,200}")
_FORMS = ((b".dist-info", b"/METADATA"), (b".egg-info", b"/PKG-INFO"), (b".egg", b"/EGG-INFO/PKG-INFO"))
_SET_ASIDE = b"~"


class PythonPackages:
    """The distributions in the folders of the system's Python interpreters."""

    source = "python"
    owns_files = False

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the distributions that no package of the system owns. Raises OSError."""
        found: list[Installation] = []
        aside: set[bytes] = set()
        trouble = Trouble(root)
        for folder in version_folders(root, _BASES, _INTERPRETER, *_BELOW):
            for name in root.entries(folder):
                path = _metadata_path(root, folder + b"/" + name)
                if path is None or path in owned:
                    continue
                try:
                    item = _read(root, folder, path)
                except (OSError, PackageDatabaseError) as error:
                    trouble.take(folder + b"/" + name, error)
                    continue
                if name.startswith(_SET_ASIDE):
                    if is_recent(root, folder + b"/" + name):
                        aside.add(item.key())
                else:
                    found.append(Installation(item, (item.installed_ns, item.version)))
        items, _ = told_apart(found)
        return Look(
            items=tuple(items),
            unsettled=frozenset(aside - {item.key() for item in items}),
            moving=trouble.moving,
            incomplete=trouble.incomplete,
        )


def python_item(raw: bytes, folder: bytes) -> SoftwareItem:
    """Return the distribution that the headers of a METADATA or PKG-INFO file describe. Raises PackageDatabaseError.

    Pure. `folder` is where it is installed.
    """
    fields: dict[str, str] = {}
    for line in raw.decode(errors="replace").split("\n"):
        if not line.strip():
            break
        key, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(key.lower(), value.strip())
    name, version = fields.get("name", ""), fields.get("version", "")
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise PackageDatabaseError("no distribution: its name or version is none")
    people = (fields.get(key, "") for key in ("author", "author-email", "maintainer", "maintainer-email"))
    return SoftwareItem(
        name=name,
        version=version,
        source=PythonPackages.source,
        publisher=clean(next((person for person in people if person and person != "UNKNOWN"), "")),
        description=clean(fields.get("summary", "").removeprefix("UNKNOWN")),
        instance=folder.lstrip(b"/").decode(errors="replace"),
        purl=pypi_purl(name, version),
    )


def recorded_size(lines: Iterable[bytes]) -> int:
    """Return the sum of the sizes in a RECORD file (path, digest, size; commas in a path are quoted). Pure."""
    sizes = (line.rstrip().rpartition(b",")[2] for line in lines)
    return sum(int(size) for size in sizes if size.isdigit() and len(size) < 16)


def _metadata_path(root: Root, entry: bytes) -> bytes | None:
    for ending, below in _FORMS:
        if entry.endswith(ending):
            folder = root.folder(entry)
            if folder is not None:
                return folder + below
            return entry if ending == b".egg-info" else None
    return None


def _read(root: Root, folder: bytes, path: bytes) -> SoftwareItem:
    item = python_item(root.beginning(path, _HEADERS), folder)
    record = path.removesuffix(b"/METADATA") + b"/RECORD"
    status = root.status(record) if path.endswith(b"/METADATA") else None
    size = recorded_size(root.content(record, _LARGEST_RECORD).split(b"\n")) if status is not None else None
    return msgspec.structs.replace(item, size=size, installed_ns=(status or root.tree.lstat(path)).st_mtime_ns)
