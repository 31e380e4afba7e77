"""The watches that a watcher holds, kept where they have to be while keys or folders come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from whatchanged.errors import WatchError

__all__ = ["Gone", "Place", "Watches"]

_ROUNDS = 4
"""How often places are looked for in a row while they come and go."""

PathT = TypeVar("PathT", str, bytes)


class Gone(Exception):
    """What was to be watched is not there."""


class Place(msgspec.Struct, Generic[PathT]):
    """Where a watch has to be."""

    path: PathT
    tree: bool = False
    """With all below."""
    taken: bool = False
    """Rules take something here."""
    way: bool = False
    """What comes or goes here moves other places."""


class Watch(Protocol[PathT]):
    """An open watch."""

    @property
    def place(self) -> Place[PathT]:
        """Where it is."""

    def is_alive(self) -> bool:
        """Whether it will still tell something."""

    def close(self) -> None:
        """Give its handles back."""


WatchT = TypeVar("WatchT", bound="Watch[str] | Watch[bytes]")


class Watches(Generic[PathT, WatchT]):
    """Owns the watches of one watcher."""

    def __init__(self, most: int, begin: Callable[[Place[PathT]], WatchT]) -> None:
        """`begin` opens a watch; it raises Gone, and WatchError where nothing can be watched."""
        self._most = most
        self._begin: Callable[[Place[PathT]], WatchT] = begin
        self.held: dict[PathT, WatchT] = {}
        self.refused: dict[PathT, str] = {}
        """Where there is none, and why."""
        self.settled = True
        """Whether the places stood still the last time."""
        self._full = False

    @property
    def limits(self) -> tuple[str, ...]:
        """The bound, if there were more places."""
        return (f"{self._most} watches are held, no more",) if self._full else ()

    def follow(self, find: Callable[[], Mapping[PathT, Place[PathT]]]) -> list[PathT]:
        """Hold the watches that `find` asks for; return the taken paths whose watch is new, or ended, in order.

        A watch may begin above what was made before it: so it is looked again until nothing is new.
        """
        moved: set[PathT] = set()
        rounds = 1
        while not (settled := not self._compare(find(), moved)) and rounds < _ROUNDS:
            rounds += 1
        self.settled = settled
        return sorted(moved)

    def drop(self, path: PathT) -> None:
        """Close the watch of a path, for it tells nothing any more."""
        self.held.pop(path).close()

    def close(self) -> None:
        """Close all."""
        for path in list(self.held):
            self.drop(path)

    def _compare(self, wanted: Mapping[PathT, Place[PathT]], moved: set[PathT]) -> bool:
        """Close and open what has to be; return whether there is a new watch."""
        for path, watch in list(self.held.items()):
            if wanted.get(path) != watch.place or not watch.is_alive():
                if watch.place.taken:
                    moved.add(path)
                self.drop(path)
        self.refused.clear()
        self._full = False
        begun = [place for path, place in wanted.items() if path not in self.held and self._begun(place)]
        moved |= {place.path for place in begun if place.taken}
        return bool(begun)

    def _begun(self, place: Place[PathT]) -> bool:
        if len(self.held) >= self._most:
            self._full = True
            self.refused[place.path] = f"{self._most} watches are held already"
            return False
        try:
            self.held[place.path] = self._begin(place)
        except Gone:
            return False
        except WatchError as error:
            self.refused[place.path] = error.message
            return False
        return True
