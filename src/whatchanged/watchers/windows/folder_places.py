"""Where to watch folders, so that everything that rules take is watched. Pure.

Below each root of the rules there is one watch with all below, or one a folder where the system cannot do that. The
folders above a root are watched for the root's coming and going. Paths are carried ones: `/C:/ProgramData`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from whatchanged.rules.windows_patterns import fold
from whatchanged.watchers.hints import Scope, below
from whatchanged.watchers.windows.watches import Place

__all__ = ["Folders", "above", "holds", "places", "top_names"]


class Folders(Protocol):
    """What folders there are."""

    def exists(self, path: bytes) -> bool:
        """Whether there is a folder, or a link to one."""

    def subfolders(self, path: bytes) -> Sequence[bytes]:
        """Return the paths of the folders in a folder, without links; none of a folder that is not there."""


def places(
    scope: Scope, roots: Sequence[bytes], folders: Folders, *, trees: bool, most: int
) -> dict[bytes, Place[bytes]]:
    """Return the places by path, for each root from above. `trees`: whether a watch can have all below.

    No more than `most` and one are looked for: whoever holds `most` sees that it is not all.
    """
    found: dict[bytes, Place[bytes]] = {}
    for root in sorted(set(roots)):
        if any(up in found and found[up].tree for up in above(root)):
            continue
        for up in above(root):
            if folders.exists(up):
                found.setdefault(up, Place(up)).way = True
        if not folders.exists(root):
            continue
        stack = [root]
        while stack and len(found) <= most:
            path = stack.pop()
            place = found.setdefault(path, Place(path))
            place.taken = True
            deeper = [folder for folder in folders.subfolders(path) if scope.descend(folder)]
            if trees:
                place.tree = place.tree or bool(deeper)
            else:
                place.way = True
                stack += deeper
    return found


def above(path: bytes) -> Iterator[bytes]:
    """Yield the folders above a path, the nearest first; the last is that of its drive or share."""
    while path.count(b"/") > top_names(path):
        path = path.rpartition(b"/")[0]
        yield path


def top_names(path: bytes) -> int:
    """Return how many names lead to the drive (`/C:`) or share (`/UNC/server/share`) of a path."""
    return 3 if path.startswith(b"/UNC/") else 1


def holds(folder: bytes, path: bytes) -> bool:
    """Whether `path` is the folder or lies below it, without regard to case."""
    return below(fold(path)).startswith(below(fold(folder)))
