"""The files of Alpine and Arch packages. Their databases tell of an operation only when it has ended."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from array import array
from collections.abc import Iterator

from whatchanged.collectors.software import apk, pacman
from whatchanged.collectors.software.package_files import Hashed, PackageFiles, hashes
from whatchanged.collectors.software.package_system import Root, Stamp, stamp_of

__all__ = ["ApkFiles", "PacmanFiles"]


class ApkFiles:
    """apk's installed database."""

    source = "apk"
    programs = frozenset({"apk"})

    def stamp(self, root: Root) -> object:
        """Return what moves when the database or its lock does."""
        path = apk.find_database(root)
        return None if path is None else (root.stamps(path), apk.is_locked(root, path))

    def busy(self, root: Root) -> bool:
        """Say whether apk is at work."""
        path = apk.find_database(root)
        return path is not None and apk.is_locked(root, path)

    def packages(self, root: Root, hashed: Hashed) -> Iterator[PackageFiles]:
        """Yield the packages."""
        path = apk.find_database(root)
        for package in apk.apk_packages(root.content(path, apk.LARGEST)) if path is not None else ():
            item = package.item(root.distribution)
            yield PackageFiles(
                key=item.key(), source=self.source, version=item.version, files=hashes(package.files, hashed)
            )


class PacmanFiles:
    """pacman's local database; each package's list is read again only when it was replaced."""

    source = "pacman"
    programs = frozenset({"pacman"})

    def __init__(self) -> None:
        self._lists: dict[bytes, tuple[Stamp, array[int]]] = {}

    def stamp(self, root: Root) -> object:
        """Return what moves when the database or its lock does."""
        folder = root.folder(pacman.FOLDER)
        return None if folder is None else (root.stamps(folder + b"/local"), pacman.is_locked(root, folder))

    def busy(self, root: Root) -> bool:
        """Say whether pacman is at work."""
        folder = root.folder(pacman.FOLDER)
        return folder is not None and pacman.is_locked(root, folder)

    def packages(self, root: Root, hashed: Hashed) -> Iterator[PackageFiles]:
        """Yield the packages."""
        folder = root.folder(pacman.FOLDER)
        lists: dict[bytes, tuple[Stamp, array[int]]] = {}
        for name in root.entries(folder + b"/local") if folder is not None else ():
            entry = (folder or b"") + b"/local/" + name
            if root.status(entry + b"/desc") is None:
                continue
            item = pacman.pacman_item(root.content(entry + b"/desc", pacman.LARGEST_DESC), root.distribution)
            stamp = stamp_of(root.status(entry + b"/files"))
            known = self._lists.get(name)
            lists[name] = known if known and known[0] == stamp else (stamp, self._read(root, entry, hashed))
            yield PackageFiles(
                key=item.key(),
                source=self.source,
                version=item.version,
                installed_ns=item.installed_ns,
                files=lists[name][1],
            )
        self._lists = lists

    @staticmethod
    def _read(root: Root, entry: bytes, hashed: Hashed) -> array[int]:
        raw = root.content(entry + b"/files", pacman.LARGEST_FILES)
        paths = next((values for heading, values in pacman.sections(raw) if heading == "FILES"), [])
        # sections() decodes; a path that is no text is owned by nobody then.
        return hashes((b"/" + path.encode().rstrip(b"/") for path in paths), hashed)
