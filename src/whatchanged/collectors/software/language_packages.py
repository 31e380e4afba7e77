"""What the package managers of programming languages have in common: no database, no lock, metadata files in folders.

What a distribution's package owns is told of by the distribution's package manager, and left out here.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re
import time

from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Root

__all__ = ["Trouble", "clean", "is_recent", "version_folders"]

_RECENT_SECONDS = 600
"""What a package manager set aside longer ago was left behind by one that died."""
_SPACE = re.compile(r"\s+")


class Trouble:
    """What could not be read in a look, and what follows from it for what is not seen."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self.moving = False
        self.incomplete = False

    def take(self, path: bytes, error: OSError | PackageDatabaseError) -> None:
        """Judge the entry at `path`: what is fresh is being written or removed; what has no metadata is no package."""
        if isinstance(error, (FileNotFoundError, PackageDatabaseError)) and is_recent(self._root, path):
            self.moving = True
        elif isinstance(error, PackageDatabaseError):
            self._root.fail(path, str(error))
        elif not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            self._root.fail(path, error)
            self.incomplete = True


def is_recent(root: Root, path: bytes) -> bool:
    """Say whether an entry was made or moved within the last ten minutes."""
    status = root.status(path)
    return status is not None and abs(time.time() - status.st_ctime) < _RECENT_SECONDS


def version_folders(root: Root, bases: tuple[bytes, ...], pattern: re.Pattern[bytes], *below: bytes) -> list[bytes]:
    """Return the canonical folders BASE/NAME/BELOW that are there, for every NAME that matches; each once."""
    found: dict[bytes, None] = {}
    for base in dict.fromkeys(filter(None, (root.folder(base, local=True) for base in bases))):
        for name in root.entries(base):
            if pattern.fullmatch(name):
                paths = (root.folder(b"%b/%b/%b" % (base, name, inner), local=True) for inner in below)
                found.update(dict.fromkeys(filter(None, paths)))
    return list(found)


def clean(text: object, length: int = 500) -> str:
    """Return a text of a metadata file on one line; empty if it is none."""
    return _SPACE.sub(" ", text).strip()[:length].encode(errors="replace").decode() if isinstance(text, str) else ""
