"""Flatpak applications and runtimes installed for all users: what `flatpak list --system` says, without running it.

`/var/lib/flatpak/{app,runtime}/ID/ARCH/BRANCH/active` leads to the deployed commit; its file `deploy` holds a GVariant
`(ssasta{sv})`: origin, commit, subpaths, installed size (big endian), and metadata such as `appdata-version`
(flatpak's common/flatpak-dir.c). The version that an application gives itself may stay while its build changes, so
here it is `VERSION+COMMIT`, with the twelve digits of the commit that flatpak shows. Branches stand side by side.
The publisher is the remote it came from. There is no registered package URL for flatpaks.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re
from collections.abc import Iterator

import msgspec

from whatchanged.collectors.software.gvariant import decode
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.records.items import SoftwareItem

__all__ = ["Flatpak", "flatpak_item"]

_FOLDER = b"/var/lib/flatpak"
_KINDS = ((b"/app", "Application"), (b"/runtime", "Package"))
_DEPLOY = "(ssasta{sv})"
_PART = re.compile(rb"[A-Za-z0-9._+-]{1,255}")
_COMMIT = re.compile(r"[0-9a-f]{64}")
_COMMIT_SHOWN = 12


class Flatpak:
    """The system's flatpak installation."""

    source = "flatpak"
    owns_files = False

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return what is deployed. Raises OSError."""
        folder = root.folder(_FOLDER)
        if folder is None:
            return Look()
        items = []
        broken = False
        for kind, software_type in _KINDS:
            for ref in _refs(root, folder + kind):
                try:
                    items.append(_read(root, ref, software_type))
                except (OSError, PackageDatabaseError) as error:
                    root.fail(ref, error if isinstance(error, OSError) else str(error))
                    broken = True
        return Look(items=tuple(item for item in items if item is not None), incomplete=broken)


def flatpak_item(raw: bytes, name: str, architecture: str, branch: str) -> SoftwareItem:
    """Return the item of a `deploy` file. Raises PackageDatabaseError. Pure."""
    origin, commit, _, size, metadata = decode(_DEPLOY, raw)
    if not _COMMIT.fullmatch(commit):
        raise PackageDatabaseError("no commit")
    version, summary = (
        value if isinstance(value := metadata.get(key), str) else "" for key in ("appdata-version", "appdata-summary")
    )
    return SoftwareItem(
        name=name,
        version=f"{version}+{commit[:_COMMIT_SHOWN]}",
        architecture=architecture,
        source=Flatpak.source,
        publisher=origin,
        description=summary,
        instance=branch,
        size=int.from_bytes(size.to_bytes(8, "little"), "big") & (2**63 - 1),
    )


def _refs(root: Root, folder: bytes) -> Iterator[bytes]:
    """Yield the folders ID/ARCH/BRANCH; beside the architectures stands a link `current`."""
    if root.status(folder) is None:
        return
    for name in root.entries(folder):
        for architecture in _folders(root, folder + b"/" + name):
            yield from _folders(root, architecture)


def _folders(root: Root, folder: bytes) -> list[bytes]:
    paths = [folder + b"/" + name for name in root.entries(folder) if _PART.fullmatch(name)]
    return [path for path in paths if root.folder(path) == path]


def _read(root: Root, ref: bytes, software_type: str) -> SoftwareItem | None:
    deploy = root.file(ref + b"/active/deploy")
    if deploy is None:
        return None  # nothing of it is deployed
    name, architecture, branch = (part.decode() for part in ref.rsplit(b"/", 3)[1:])
    item = flatpak_item(root.content(deploy), name, architecture, branch)
    status = root.tree.lstat(deploy)
    return msgspec.structs.replace(item, software_type=software_type, installed_ns=status.st_mtime_ns)
