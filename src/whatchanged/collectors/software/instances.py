"""Telling apart several versions of one package that stand side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from whatchanged.records.items import SoftwareItem

__all__ = ["Installation", "beside", "settled", "told_apart"]


class Installation(msgspec.Struct, frozen=True):
    """A package as it was found, and its place in the order of installation."""

    item: SoftwareItem
    order: tuple[Any, ...]
    """Compares; the greatest is the newest. Facts of the package itself, so that every look decides alike."""


def beside(item: SoftwareItem) -> SoftwareItem:
    """Return the item as one that stands beside other versions of it: its version is part of its identity."""
    return msgspec.structs.replace(item, instance=f"{item.instance}/{item.version}" if item.instance else item.version)


def told_apart(found: Iterable[Installation]) -> tuple[list[SoftwareItem], set[bytes]]:
    """Return the items, each with a key of its own, and the keys that several versions wanted.

    The newest keeps the plain key, so that an upgrade that left the old version behind is one Modified of the
    package and one Added of what was left, and cleaning up is one Removed.
    """
    groups: dict[bytes, list[Installation]] = {}
    for installation in found:
        groups.setdefault(installation.item.key(), []).append(installation)
    items: dict[bytes, SoftwareItem] = {}
    shared = set()
    for key, group in groups.items():
        *older, newest = sorted(group, key=lambda installation: installation.order)
        items.setdefault(key, newest.item)
        for installation in older:
            if installation.item.version != newest.item.version:
                shared.add(key)
                other = beside(installation.item)
                items[other.key()] = other
    return list(items.values()), shared


def settled(found: Iterable[Installation], *, busy: bool) -> tuple[tuple[SoftwareItem, ...], frozenset[bytes]]:
    """Return the items and the unsettled keys: while an operation is under way, several versions are one upgrade."""
    installations = list(found)
    items, shared = told_apart(installations)
    if not busy:
        return tuple(items), frozenset()
    whole = [installation.item for installation in installations if installation.item.key() not in shared]
    return tuple(whole), frozenset(shared)
