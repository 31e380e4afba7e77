"""Globally installed npm packages: what `npm ls --global --depth 0` says, without running it.

A package is a folder (or a link to one, `npm link`) with a package.json in the global `node_modules`, `@scope/NAME`
for scoped ones. npm upgrades by renaming the old folder to `.NAME-…` beside it, so a fresh one of those whose package
is not seen is *unsettled*. What packages bring along in their own `node_modules` is theirs.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from whatchanged.collectors.software.language_packages import Trouble, clean, is_recent
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.purl import npm_purl
from whatchanged.records.items import SoftwareItem

__all__ = ["Npm", "npm_item"]

_FOLDERS = (b"/usr/lib/node_modules", b"/usr/lib64/node_modules", b"/usr/local/lib/node_modules")
_NAME = re.compile(r"(?:@[\w.~-]{1,200}/)?[\w.~-]{1,200}", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,250}")
_FILE = b"/package.json"


class _Document(msgspec.Struct):
    name: str = ""
    version: str = ""
    description: Any = None
    author: Any = None


class Npm:
    """The global folders of npm."""

    source = "npm"
    owns_files = False

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the packages that no package of the system owns. Raises OSError."""
        items: dict[bytes, SoftwareItem] = {}
        aside: set[bytes] = set()
        trouble = Trouble(root)
        for folder in dict.fromkeys(filter(None, (root.folder(path, local=True) for path in _FOLDERS))):
            for entry in _entries(root, folder):
                real = root.folder(entry, local=True)
                if real is None or root.status(real + _FILE) is None or entry + _FILE in owned:
                    continue
                try:
                    item = npm_item(root.content(real + _FILE), folder)
                except (OSError, PackageDatabaseError) as error:
                    trouble.take(entry, error)
                    continue
                if entry.rpartition(b"/")[2].startswith(b"."):
                    if is_recent(root, entry):
                        aside.add(item.key())
                    continue
                modified = root.tree.lstat(real + _FILE).st_mtime_ns
                items[item.key()] = msgspec.structs.replace(item, installed_ns=modified)
        return Look(
            items=tuple(items.values()),
            unsettled=frozenset(aside - set(items)),
            moving=trouble.moving,
            incomplete=trouble.incomplete,
        )


def npm_item(raw: bytes, folder: bytes) -> SoftwareItem:
    """Return the package that a package.json describes. Raises PackageDatabaseError. Pure.

    `folder` is the `node_modules` it is installed in.
    """
    try:
        document = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"), type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackageDatabaseError(str(error)) from error
    if not _NAME.fullmatch(document.name) or not _VERSION.fullmatch(document.version):
        raise PackageDatabaseError("no package: its name or version is none")
    author = document.author.get("name") if isinstance(document.author, dict) else document.author
    return SoftwareItem(
        name=document.name,
        version=document.version,
        source=Npm.source,
        publisher=clean(author),
        description=clean(document.description),
        instance=folder.lstrip(b"/").decode(errors="replace"),
        purl=npm_purl(document.name, document.version),
    )


def _entries(root: Root, folder: bytes) -> Iterator[bytes]:
    for name in root.entries(folder):
        entry = folder + b"/" + name
        if name.startswith(b"@"):
            yield from (entry + b"/" + inner for inner in root.entries(entry) if root.folder(entry) == entry)
        elif name != b".bin":
            yield entry
