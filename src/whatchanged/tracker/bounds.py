"""Rules within the policy's bounds: what the administrator excluded is not there for any rule."""

from __future__ import annotations

from collections.abc import Sequence

from whatchanged.rules import FileRule, FileScope, FolderScope, Links, Policy

__all__ = ["BoundedScope"]


class BoundedScope:
    """A FileScope without the paths that the policy excludes; answers what the walk and `look` ask of a scope."""

    def __init__(self, scope: FileScope, policy: Policy, *, whole: FileScope | None = None) -> None:
        """`whole`: the scope of all rules in force, where `scope` is a part of it.

        How a link is treated is a matter of all of them: two jobs that look at one link must see the same.
        """
        self._scope = scope
        self._policy = policy
        self._whole = whole or scope

    def roots(self) -> Sequence[bytes]:
        """Return the folders where a walk must begin."""
        return [root for root in self._scope.roots() if not self._policy.excluded(root)]

    def for_folder(self, folder: bytes) -> _BoundedFolder | FolderScope:
        """Return what holds for the names in `folder`."""
        inner = self._scope.for_folder(folder)
        excludes = self._policy.excludes_below(folder)
        if self._whole is self._scope and not excludes:
            return inner
        take_all = None if excludes else inner.take_all
        return _BoundedFolder(inner, folder, self._policy, self._whole.for_folder(folder), take_all)

    def descend(self, folder: bytes) -> bool:
        """Whether `folder` or anything below can hold something to take."""
        return not self._policy.excluded(folder) and self._scope.descend(folder)

    def network(self, point: bytes) -> bool:
        """Whether the network file system mounted at `point` is entered: the policy allows it, and a rule asks."""
        return self._policy.network_file_systems and any(rule.network for rule in self._whole.for_folder(point).live)

    def live(self, folder: bytes) -> tuple[FileRule, ...]:
        """Return the rules that can take something in `folder` or below."""
        return () if self._policy.excluded(folder) else self._scope.for_folder(folder).live

    def match(self, path: bytes, *, folder: bool | None = None) -> tuple[FileRule, ...]:
        """Return the rules that take `path`."""
        return () if self._policy.excluded(path) else self._scope.match(path, folder=folder)


class _BoundedFolder:
    def __init__(
        self,
        inner: FolderScope,
        folder: bytes,
        policy: Policy,
        whole: FolderScope,
        take_all: Sequence[FileRule] | None,
    ) -> None:
        self._inner = inner
        self._prefix = folder.rstrip(b"/") + b"/"
        self._policy = policy
        self._whole = whole
        self.take_all = take_all

    @property
    def links(self) -> Links:
        return self._whole.links

    def link_policy(self, name: bytes) -> Links:
        return self._whole.link_policy(name)

    def matching(self, name: bytes, *, folder: bool = False) -> Sequence[FileRule]:
        return () if self._policy.excluded(self._prefix + name) else self._inner.matching(name, folder=folder)

    def descend(self, name: bytes) -> bool:
        return not self._policy.excluded(self._prefix + name) and bool(self._inner.descend(name))
