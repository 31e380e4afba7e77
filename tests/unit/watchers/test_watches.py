"""Watches are held where they have to be, while what is watched comes and goes."""

from __future__ import annotations

from whatchanged.errors import WatchError
from whatchanged.watchers.windows.watches import Gone, Place, Watches


class Open:
    """A watch on something that there is."""

    def __init__(self, world: World, place: Place[str]) -> None:
        if place.path in world.denied:
            raise WatchError("access is denied")
        if place.path not in world.there:
            raise Gone
        self.place = place
        self._world = world
        self._incarnation = world.there[place.path]
        world.open.append(place.path)

    def is_alive(self) -> bool:
        return self._world.there.get(self.place.path) == self._incarnation

    def close(self) -> None:
        self._world.open.remove(self.place.path)


class World:
    """What there is, and which watches are open on it."""

    def __init__(self, *paths: str) -> None:
        self.there = dict.fromkeys(paths, 0)
        self.denied: set[str] = set()
        self.open: list[str] = []

    def watches(self, most: int = 99) -> Watches[str, Open]:
        return Watches(most, lambda place: Open(self, place))

    def places(self) -> dict[str, Place[str]]:
        return {path: Place(path, taken=True) for path in sorted({*self.there, *self.denied})}


def test_only_what_came_and_went_is_told() -> None:
    world = World("a", "b")
    watches = world.watches()
    assert watches.follow(world.places) == ["a", "b"]
    assert watches.follow(world.places) == []
    world.there = {"b": 0, "c": 0}
    assert watches.follow(world.places) == ["a", "c"]
    assert world.open == ["b", "c"]
    watches.close()
    assert world.open == []


def test_another_of_the_same_path_is_watched_anew() -> None:
    world = World("a")
    watches = world.watches()
    watches.follow(world.places)
    world.there["a"] = 1
    assert watches.follow(world.places) == ["a"]
    assert world.open == ["a"]
    assert watches.held["a"].is_alive()


def test_what_is_made_while_a_watch_begins_is_found() -> None:
    world = World("a")
    rounds = 0

    def find() -> dict[str, Place[str]]:
        nonlocal rounds
        rounds += 1
        found = world.places()
        if rounds == 1:
            world.there["b"] = 0  # behind the look, before the watch on what is above
        return found

    watches = world.watches()
    assert watches.follow(find) == ["a", "b"]
    assert watches.settled


def test_places_that_never_stand_still_are_left_for_the_next_time() -> None:
    world = World()

    def find() -> dict[str, Place[str]]:
        world.there[str(len(world.there))] = 0
        return world.places()

    watches = world.watches()
    watches.follow(find)
    assert not watches.settled
    watches.follow(world.places)
    assert watches.settled


def test_what_cannot_be_watched_is_named() -> None:
    world = World("a", "b", "c")
    world.denied = {"x"}
    watches = world.watches(most=2)
    watches.follow(world.places)
    assert watches.refused == {"c": "2 watches are held already", "x": "2 watches are held already"}
    assert watches.limits
    del world.there["b"], world.there["c"]
    watches.follow(world.places)
    assert watches.refused == {"x": "access is denied"}
    assert not watches.limits


def test_a_place_that_only_leads_to_others_is_not_told() -> None:
    world = World("a")
    watches = world.watches()
    assert watches.follow(lambda: {"a": Place("a", way=True)}) == []
    assert watches.follow(lambda: {"a": Place("a", way=True, taken=True)}) == ["a"]
