"""What the walk asks of the rules: small protocols, so that the walk knows no rule and a test needs none.

`whatchanged.rules.scope.FileScope` is the real thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

__all__ = ["FolderScope", "Known", "Rule", "Scope"]


class Rule(Protocol):
    """What the walk reads of a rule: its name, and which types of entry it takes."""

    @property
    def name(self) -> str:
        """Name of the rule item."""

    @property
    def type(self) -> str:
        """`File`: files and links only; `Directory`, `Any`: also folders, FIFOs, sockets and devices."""


class FolderScope(Protocol):
    """What the rules say about the entries of one folder."""

    @property
    def take_all(self) -> Sequence[Rule] | None:
        """The rules that take every entry that is no folder; None when it depends on the name."""

    @property
    def links(self) -> str:
        """The most watchful thing to do with any symbolic link here: `Follow`, `Manage` or `Ignore`."""

    def link_policy(self, name: bytes) -> str:
        """Return what to do with the symbolic link `name`: `Follow`, `Manage` or `Ignore`."""

    def matching(self, name: bytes, *, folder: bool = False) -> Sequence[Rule]:
        """Return the rules that take the entry `name`, which is a folder or not."""

    def descend(self, name: bytes) -> object:
        """Return something true if the folder `name` may hold something that a rule takes."""


class Scope(Protocol):
    """The rules, compiled."""

    def roots(self) -> Sequence[bytes]:
        """Return the folders where a walk must begin."""

    def for_folder(self, folder: bytes) -> FolderScope:
        """Return what the rules say about the entries of `folder`."""


class Known(Protocol):
    """What the caller remembers: name → signature of the last look, folder by folder."""

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Return the known names of `folder` with their signatures."""
