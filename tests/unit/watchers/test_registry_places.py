"""Where the registry is watched, for rules and for keys that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.rules.items import RegistryRule
from whatchanged.rules.registry_scope import HIVES, RegistryScope, State, folded
from whatchanged.watchers.windows.registry_places import places
from whatchanged.watchers.windows.watches import Place

SOFTWARE = r"HKEY_LOCAL_MACHINE\SOFTWARE"


class Tree:
    """Keys that are there, by their paths."""

    def __init__(self, *paths: str) -> None:
        self.paths = set(HIVES)
        for path in paths:
            names = folded(path).split("\\")
            self.paths |= {"\\".join(names[:count]) for count in range(1, len(names) + 1)}

    def exists(self, path: str) -> bool:
        return folded(path) in self.paths

    def names(self, path: str, most: int) -> Sequence[str]:
        return sorted(p.rpartition("\\")[2] for p in self.paths if p.rpartition("\\")[0] == path)[:most]


def scope(*keys: str, recurse: bool = False) -> RegistryScope:
    return RegistryScope([RegistryRule(name=key, key_name=key, recurse=recurse) for key in keys])


def taken(found: dict[str, Place[str]]) -> dict[str, bool]:
    """Path of each taken place, and whether its subtree is watched."""
    return {path.removeprefix(SOFTWARE + "\\"): place.tree for path, place in found.items() if place.taken}


@pytest.mark.parametrize(
    ("rule", "recurse", "keys", "expected"),
    [
        (r"HKLM\Software\A", True, ["A\\b\\c"], {"A": True}),
        (r"HKLM\Software\A", False, ["A\\b"], {"A": False}),
        (r"HKLM\Software\A", True, ["A", "Wow6432Node\\A"], {"A": True, "WOW6432NODE\\A": True}),
        (r"HKLM\Software\A", True, ["B"], {}),
        (r"HKLM\Software\A\*\X", False, ["A\\1\\X", "A\\2\\X", "A\\3\\Y"], {"A\\1\\X": False, "A\\2\\X": False}),
        (r"HKLM\Software\A\*\X", False, ["A\\1\\X", "A\\*\\X"], {"A\\*\\X": False}),
        (r"HKLM\Software\A\**\X", False, ["A\\1\\2\\X"], {"A": True}),
        (r"HKLM\Software\A\*\X", False, [f"A\\{n}\\X" for n in range(1000)], {"A": True}),
    ],
)
def test_what_is_watched(rule: str, recurse: bool, keys: list[str], expected: dict[str, bool]) -> None:
    assert taken(places(scope(rule, recurse=recurse), Tree(*(f"{SOFTWARE}\\{key}" for key in keys)))) == expected


def test_every_key_on_the_way_is_watched_for_what_comes_and_goes() -> None:
    found = places(scope(r"HKLM\Software\A\B\C"), Tree(rf"{SOFTWARE}\A"))
    assert found == {
        path: Place(path, way=True) for path in ("HKEY_LOCAL_MACHINE", SOFTWARE, rf"{SOFTWARE}\A")
    }  # fmt: skip


NAMES = st.sampled_from(["a", "b", "*", "ab"])
PATTERNS = st.sampled_from(["a", "b", "*", "**", "a*", "?"])


@given(
    st.lists(st.tuples(st.lists(PATTERNS, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=4),
    st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12),
)
def test_every_key_that_is_taken_is_watched(rules: list[tuple[list[str], bool]], keys: list[list[str]]) -> None:
    scope = RegistryScope(
        [RegistryRule(name="r", key_name="\\".join(["HKLM", "X", *path]), recurse=recurse) for path, recurse in rules]
    )
    tree = Tree(*("\\".join(["HKEY_LOCAL_MACHINE", "X", *key]) for key in keys))
    found = places(scope, tree)
    for path in walked(scope, tree, "HKEY_LOCAL_MACHINE", scope.step(scope.start(), "HKEY_LOCAL_MACHINE")):
        above = [found[p] for p in parts(path) if p in found]
        assert any(place.taken and (place.tree or place.path == path) for place in above), path
    for place in found.values():
        assert tree.exists(place.path)
        way = [found[above] for above in parts(place.path)[:-1]]
        assert all(above.way for above in way)


def walked(scope: RegistryScope, tree: Tree, path: str, state: State) -> Iterator[str]:
    """The keys that a collector takes."""
    if scope.takers(state):
        yield path
    names = tree.names(path, 1000)
    literal = scope.wanted(state)[0] & {folded(name) for name in names}
    for name in names:
        if below := scope.step(state, name, literal):
            yield from walked(scope, tree, f"{path}\\{name}", below)


def parts(path: str) -> list[str]:
    names = path.split("\\")
    return ["\\".join(names[:count]) for count in range(1, len(names) + 1)]
