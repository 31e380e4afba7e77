"""Where folders are watched, for rules and for folders that are there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.rules import FileScope
from whatchanged.rules.items import FileRule, FileType
from whatchanged.watchers.windows.folder_places import above, holds, places
from whatchanged.watchers.windows.watches import Place


class Disk:
    """Folders that are there, by their paths."""

    def __init__(self, *paths: bytes) -> None:
        self.paths = {up for path in paths for up in (path, *above(path))}

    def exists(self, path: bytes) -> bool:
        return path in self.paths

    def subfolders(self, path: bytes) -> Sequence[bytes]:
        return sorted(p for p in self.paths if p.rpartition(b"/")[0] == path)


def scope(*paths: bytes, recurse: bool = True) -> FileScope:
    return FileScope(
        [FileRule(name="r", destination_path=path + b"/*", recurse=recurse, type=FileType.ANY) for path in paths]
    )


DISK = Disk(b"/C:/a/b/c", b"/C:/a/d", b"/C:/e")


def test_a_tree_is_one_watch_where_that_can_be() -> None:
    assert places(scope(b"/C:/a"), [b"/C:/a"], DISK, trees=True, most=99) == {
        b"/C:": Place(b"/C:", way=True),
        b"/C:/a": Place(b"/C:/a", tree=True, taken=True),
    }


def test_else_it_is_one_a_folder() -> None:
    found = places(scope(b"/C:/a"), [b"/C:/a"], DISK, trees=False, most=99)
    assert {path for path, place in found.items() if place.taken} == {b"/C:/a", b"/C:/a/b", b"/C:/a/b/c", b"/C:/a/d"}
    assert not any(place.tree for place in found.values())


def test_folders_below_are_left_out_where_no_rule_goes() -> None:
    found = places(scope(b"/C:/a", recurse=False), [b"/C:/a"], DISK, trees=True, most=99)
    assert found[b"/C:/a"] == Place(b"/C:/a", taken=True)


def test_what_is_not_there_is_waited_for_above() -> None:
    assert places(scope(b"/C:/e/x/y"), [b"/C:/e/x/y"], DISK, trees=True, most=99) == {
        b"/C:": Place(b"/C:", way=True),
        b"/C:/e": Place(b"/C:/e", way=True),
    }


def test_a_root_in_a_watched_tree_needs_none() -> None:
    found = places(scope(b"/C:/a", b"/C:/a/b"), [b"/C:/a/b", b"/C:/a"], DISK, trees=True, most=99)
    assert set(found) == {b"/C:", b"/C:/a"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/C:", []),
        (b"/C:/a/b", [b"/C:/a", b"/C:"]),
        (b"/UNC/server/share/a", [b"/UNC/server/share"]),
        (b"/UNC/server/share", []),
    ],
)
def test_what_is_above(path: bytes, expected: list[bytes]) -> None:
    assert list(above(path)) == expected


def test_letters_are_compared_without_case() -> None:
    assert holds(b"/C:/Program Files", "/c:/program files/größe".encode())
    assert holds("/C:/GRÖSSE".encode(), "/C:/grösse".encode())
    assert not holds(b"/C:/a", b"/C:/ab")


NAMES = st.sampled_from([b"a", b"b", b"c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: b"/C:/" + b"/".join(names))


@given(st.lists(PATHS, min_size=1, max_size=4), st.lists(PATHS, max_size=10), st.booleans(), st.booleans())
def test_every_folder_that_is_there_and_taken_is_watched(
    roots: list[bytes], there: list[bytes], trees: bool, recurse: bool
) -> None:
    asked, disk = scope(*roots, recurse=recurse), Disk(*there)
    found = places(asked, roots, disk, trees=trees, most=999)
    assert set(found) <= disk.paths
    for folder in disk.paths:
        watched = [found[up] for up in (folder, *above(folder)) if up in found]
        if asked.match(folder + b"/file"):
            assert any(place.taken and (place.tree or place.path == folder) for place in watched), folder
    for root in roots:
        assert all(found[up].way or found[up].tree for up in above(root) if disk.exists(up) and up in found)
