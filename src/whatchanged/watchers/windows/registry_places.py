r"""Where to watch the registry, so that every key that rules take is watched with as few watches as will do. Pure.

A rule that recurses is one watch on its key's subtree. On the way to each key every key is watched for what comes and
goes in it: so the key itself may be deleted, made again, or not be there yet. Paths are `HKEY_LOCAL_MACHINE\…`, folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from whatchanged.rules.registry_scope import HIVES, RegistryScope, State, folded
from whatchanged.watchers.windows.watches import Place

__all__ = ["Keys", "places"]

_MOST_FITTING = 256
"""Subkeys that are gone through for a wildcard; of a key with more the whole subtree is watched."""


class Keys(Protocol):
    """What keys there are."""

    def exists(self, path: str) -> bool:
        """Whether there is a key, links followed."""

    def names(self, path: str, most: int) -> Sequence[str]:
        """Return the names of at most `most` subkeys; none of a key that is not there."""


def places(scope: RegistryScope, keys: Keys) -> dict[str, Place[str]]:
    """Return the places by path, those nearer to the hives first."""
    found: dict[str, Place[str]] = {}
    start = scope.start()
    stack = [(hive, scope.step(start, hive)) for hive in HIVES]
    while stack:
        path, state = stack.pop(0)
        if state:
            stack += _below(scope, keys, found, path, state)
    return found


def _below(
    scope: RegistryScope, keys: Keys, found: dict[str, Place[str]], path: str, state: State
) -> list[tuple[str, State]]:
    """Place watches on a key; return the keys below it to go on with."""
    spread = scope.spread(state)
    rest = state - spread
    wanted, others = scope.wanted(rest)
    place = found.setdefault(path, Place(path))
    place.tree = place.tree or bool(spread)
    place.taken = place.taken or bool(spread or scope.takers(rest))
    place.way = place.way or bool(wanted or others)
    there = {name for name in wanted if keys.exists(f"{path}\\{name}")}
    fitting: set[str] = set()
    if others:
        fitting = {folded(name) for name in keys.names(path, _MOST_FITTING + 1)}
        if len(fitting) > _MOST_FITTING:
            place.tree = place.taken = True
            fitting = set()
    literal = frozenset(there)
    return [(f"{path}\\{name}", scope.step(rest, name, literal)) for name in sorted(there | fitting)]
