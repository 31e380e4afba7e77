"""Where a symbolic link leads, resolved inside a root and without touching what must not be touched.

The kernel could resolve a link in one call, but it would cross into automounts and hanging network file systems on
the way; so each component is looked at here, and a barrier ends the way before it is crossed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from whatchanged.records.windows_paths import path_text

__all__ = ["GONE_ERRORS", "Barred", "Resolver", "Target"]

_MAX_LINKS = 40  # as the kernel's own limit, path_resolution(7)
_MAX_COMPONENTS = 4096
_CACHE = 100_000
GONE_ERRORS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""Errors that say that nothing is there (any more), or something else than was looked for."""


class Barred(OSError):
    """The way leads into what must not be entered: a mount that is a barrier, or an excluded path."""

    def __init__(self, path: bytes) -> None:
        super().__init__(errno.EXDEV, "behind a mount or path that is not entered", path)

    def __str__(self) -> str:
        return f"leads to {path_text(self.filename)}, which is not entered"


class Target(msgspec.Struct, frozen=True):
    """What a link finally leads to: a canonical path and its status; never a link."""

    path: bytes
    status: os.stat_result


class LinkTree(Protocol):
    """What resolving asks of a tree."""

    def lstat(self, path: bytes) -> os.stat_result:
        """Return the status of the canonical `path`, a link itself. Raises OSError."""

    def status_and_link(self, path: bytes) -> tuple[os.stat_result, bytes | None]:
        """Return the status of `path`, and where it leads if it is a link. Raises OSError."""


class Resolver:
    """Resolves links in a tree; remembers the folders it passed for the time of one run."""

    def __init__(
        self, tree: LinkTree, barriers: Collection[bytes] = (), excluded: Callable[[bytes], bool] = lambda _path: False
    ) -> None:
        self._tree = tree
        self._barriers = barriers
        self._excluded = excluded
        self._folders: set[bytes] = set()
        self._links: dict[bytes, bytes] = {}

    def resolve(self, folder: bytes, target: bytes) -> Target | None:
        """Return where `target`, found in the canonical `folder`, leads; None if nowhere that we can tell of."""
        try:
            return self._resolve(folder, target)
        except OSError:
            return None

    def canonical(self, path: bytes) -> bytes | None:
        """Return the canonical form of an absolute path that may pass through links, or None if it is not there.

        Raises Barred, and OSError where it cannot be told whether it is there.
        """
        try:
            return self._resolve(b"/", path).path
        except OSError as error:
            if error.errno in GONE_ERRORS:
                return None
            raise

    def forget(self) -> None:
        """Forget the folders and links that were passed: something was mounted over one."""
        self._folders.clear()
        self._links.clear()

    def _resolve(self, folder: bytes, target: bytes) -> Target:
        current = b"/" if target.startswith(b"/") else folder
        todo = _components(target)
        followed = steps = 0
        while todo:
            steps += 1
            name = todo.pop()
            if name == b"..":
                current = current.rpartition(b"/")[0] or b"/"
                continue
            path = b"/" + name if current == b"/" else current + b"/" + name
            if steps > _MAX_COMPONENTS:
                raise OSError(errno.ELOOP, "too many steps", path)
            if todo and path in self._folders:
                current = path
                continue
            if path in self._barriers or self._excluded(path):
                raise Barred(path)
            link = self._links.get(path)
            status = None
            if link is None:
                status, link = self._tree.status_and_link(path)
                if link is None and not todo:
                    return Target(path, status)
            if link is not None:
                followed += 1
                if followed > _MAX_LINKS:
                    raise OSError(errno.ELOOP, "too many links", path)
                self._remember_link(path, link)
                if link.startswith(b"/"):
                    current = b"/"
                todo.extend(_components(link))
                continue
            if status is None or not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)
            self._remember_folder(path)
            current = path
        return Target(current, self._tree.lstat(current))

    def _remember_folder(self, path: bytes) -> None:
        if len(self._folders) >= _CACHE:
            self._folders.clear()
        self._folders.add(path)

    def _remember_link(self, path: bytes, link: bytes) -> None:
        if len(self._links) >= _CACHE:
            self._links.clear()
        self._links[path] = link


def _components(path: bytes) -> list[bytes]:
    """Return the components of `path`, last first."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
