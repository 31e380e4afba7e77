"""Folders that tell of changes in them, which the tests make."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.windows.listening import Listening, open_handles
from whatchanged.errors import WatchError
from whatchanged.rules import FileScope
from whatchanged.rules.items import FileRule, FileType
from whatchanged.watchers.hints import Hint, Reach
from whatchanged.watchers.windows import FolderWatcher, Port, can_watch_trees

BURST = 1000
FILES = 50


def carried(path: Path) -> bytes:
    return b"/" + str(path).replace("\\", "/").encode("utf-8", "surrogatepass")


def scope(folder: Path, *, recurse: bool = True) -> FileScope:
    path = carried(folder) + b"/*"
    return FileScope([FileRule(name="r", destination_path=path, recurse=recurse, type=FileType.ANY)])


def paths(hints: list[Hint]) -> set[bytes]:
    return {hint.path for hint in hints}


@pytest.fixture(scope="module")
def trees() -> bool:
    return can_watch_trees()


@pytest.fixture
def watcher(trees: bool) -> Iterator[Listening[FolderWatcher]]:
    with Listening(lambda port: FolderWatcher(port, trees=trees)) as listening:
        yield listening


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = (tmp_path / "top").resolve()
    (folder / "below" / "deep").mkdir(parents=True)
    return folder


def covered(watcher: Listening[FolderWatcher]) -> list[tuple[bytes, str]]:
    return [(area.path, area.method) for area in watcher.watcher.coverage().areas]


def begin(watcher: Listening[FolderWatcher], top: Path, *, recurse: bool = True) -> None:
    watcher.watcher.subscribe(scope(top, recurse=recurse), [carried(top)])
    assert covered(watcher) == [(carried(top), "notifications")]


def told(watcher: Listening[FolderWatcher], *expected: Path) -> list[Hint]:
    """Wait until all these paths were hinted at; return all hints."""
    wanted = {carried(path) for path in expected}
    return watcher.until(lambda hints: wanted <= paths(hints))


def test_whether_trees_can_be_watched_is_tried(tmp_path: Path, trees: bool) -> None:
    assert can_watch_trees(str(tmp_path.resolve())) is trees
    assert not list(tmp_path.iterdir())


def test_a_file_is_made_written_renamed_and_removed(watcher: Listening[FolderWatcher], top: Path) -> None:
    begin(watcher, top)
    for folder in (top, top / "below" / "deep"):
        old, new = folder / "größe", folder / "new"
        old.write_text("x")
        told(watcher, old)
        watcher.quiet()
        old.write_text("xy")
        told(watcher, old)
        watcher.quiet()
        old.rename(new)
        hints = told(watcher, old, new)
        (renamed,) = (hint for hint in hints if hint.path == carried(new) and hint.renamed_from)
        assert renamed.renamed_from == carried(old)
        new.unlink()
        told(watcher, new)
        watcher.quiet()


def test_a_file_that_goes_to_another_folder(watcher: Listening[FolderWatcher], top: Path) -> None:
    (top / "file").write_text("x")
    begin(watcher, top)
    (top / "file").rename(top / "below" / "file")
    told(watcher, top / "file", top / "below" / "file")


def test_a_burst_of_files_is_told_without_a_hole(watcher: Listening[FolderWatcher], top: Path) -> None:
    begin(watcher, top)
    made = [top / "below" / f"file {number}" for number in range(BURST)]
    for path in made:
        path.touch()
    expected = {carried(path) for path in made}
    hints = watcher.until(lambda hints: expected <= paths(hints) or any(hint.reach is Reach.ALL for hint in hints))
    assert paths(hints) <= {*expected, carried(top / "below"), carried(top)}


def test_lost_notifications_are_a_look_at_everything(top: Path, trees: bool) -> None:
    with Listening(lambda port: FolderWatcher(port, trees=trees, buffer=64)) as listening:
        begin(listening, top)
        for number in range(FILES):
            (top / f"a rather long name of a file {number}").touch()
        hints = listening.until(lambda hints: any(hint.reach is Reach.ALL for hint in hints))
        assert carried(top) in {hint.path for hint in hints if hint.reach is Reach.ALL}
        listening.quiet()
        (top / "x").touch()
        assert listening.until(bool), "it goes on"


def test_what_waits_is_bounded(top: Path, trees: bool) -> None:
    with Listening(lambda port: FolderWatcher(port, trees=trees, waiting=1000)) as listening:
        begin(listening, top)
        for number in range(FILES):
            (top / f"a rather long name of a file {number}").touch()
            listening.port.wait(0.05)
        hints = listening.until(bool)
        assert [hint.reach for hint in hints if hint.path == carried(top)] == [Reach.ALL]


def test_a_new_folder_is_watched(watcher: Listening[FolderWatcher], top: Path) -> None:
    begin(watcher, top)
    folder = top / "new" / "er"
    folder.mkdir(parents=True)
    (folder / "early").touch()
    watcher.until(lambda hints: any(h.reach is Reach.TREE and h.path == carried(top / "new") for h in hints))
    watcher.quiet()
    (folder / "late").touch()
    assert carried(folder / "late") in paths(watcher.until(bool))


def test_a_tree_is_one_handle(top: Path) -> None:
    with Listening(lambda port: FolderWatcher(port, trees=True)) as listening:
        coverage = listening.watcher.subscribe(scope(top), [carried(top)])
        assert coverage.watches == 1 + len(top.parents)
        (top / "new" / "er").mkdir(parents=True)  # what is new is told of by any system
        told(listening, top / "new")
        listening.quiet()
        (top / "new" / "er" / "file").touch()
        told(listening, top / "new" / "er" / "file")


def test_a_folder_that_is_renamed_is_told_by_its_new_path(watcher: Listening[FolderWatcher], top: Path) -> None:
    (top / "0" / "deep").mkdir(parents=True)
    begin(watcher, top)
    for number in range(3):
        old, new = top / str(number), top / str(number + 1)
        old.rename(new)
        hints = told(watcher, old, new)
        assert {hint.reach for hint in hints if hint.path in (carried(old), carried(new))} == {Reach.TREE}
        watcher.quiet()
        (new / "deep" / str(number)).touch()
        told(watcher, new / "deep" / str(number))


def test_a_root_that_goes_and_comes(watcher: Listening[FolderWatcher], top: Path) -> None:
    begin(watcher, top)
    away = top.with_name("away")
    for _ in range(2):
        top.rename(away)
        watcher.until(lambda hints: any(h.path == carried(top) and h.reach is Reach.TREE for h in hints))
        assert covered(watcher) == [(carried(top), "notifications")], "the folder above tells when it comes"
        away.rename(top)
        watcher.until(lambda hints: any(h.path == carried(top) and h.reach is Reach.TREE for h in hints))
        watcher.quiet()
        (top / "below" / "file").touch()
        assert carried(top / "below" / "file") in paths(watcher.until(bool))
        (top / "below" / "file").unlink()
        watcher.quiet()


def test_a_root_that_is_not_there_yet(watcher: Listening[FolderWatcher], tmp_path: Path) -> None:
    root = tmp_path.resolve() / "not" / "yet"
    watcher.watcher.subscribe(scope(root), [carried(root)])
    assert covered(watcher) == [(carried(root), "notifications")]
    root.mkdir(parents=True)
    (root / "file").touch()
    watcher.until(lambda hints: any(h.path == carried(root) and h.reach is Reach.TREE for h in hints))
    watcher.quiet()
    (root / "more").touch()
    assert carried(root / "more") in paths(watcher.until(bool))


def test_a_new_file_is_one_entry_and_a_new_folder_a_tree(watcher: Listening[FolderWatcher], top: Path) -> None:
    begin(watcher, top)
    (top / "file").touch()
    hints = told(watcher, top / "file")
    assert {hint.reach for hint in hints if hint.path == carried(top / "file")} == {Reach.ENTRY}
    (top / "file").rename(top / "other")
    hints = told(watcher, top / "file", top / "other")
    assert {hint.reach for hint in hints if hint.renamed_from} == {Reach.ENTRY}
    (top / "new").mkdir()
    hints = told(watcher, top / "new")
    assert Reach.TREE in {hint.reach for hint in hints if hint.path == carried(top / "new")}


def test_what_is_gone_and_may_have_a_longer_name(watcher: Listening[FolderWatcher], top: Path) -> None:
    """Whoever opened it by a short name is told of by that; a file may also be called so."""
    begin(watcher, top)
    (top / "ABCDEF~1.TXT").touch()
    hints = told(watcher, top / "ABCDEF~1.TXT")
    assert {hint.reach for hint in hints if hint.path == carried(top / "ABCDEF~1.TXT")} == {Reach.ENTRY}
    watcher.quiet()
    (top / "ABCDEF~1.TXT").unlink()
    hints = watcher.until(bool)
    assert {(hint.path, hint.reach) for hint in hints} == {(carried(top), Reach.TREE)}


def test_a_root_on_another_machine_is_not_touched(top: Path, trees: bool) -> None:
    with Listening(lambda port: FolderWatcher(port, trees=trees, spelled=lambda paths: [None for _ in paths])) as one:
        coverage = one.watcher.subscribe(scope(top), [carried(top)])
        assert [(area.path, area.method) for area in coverage.areas] == [(carried(top), "poll")]
        assert coverage.watches == 0


def test_what_no_rule_takes_is_not_told(watcher: Listening[FolderWatcher], top: Path) -> None:
    begin(watcher, top, recurse=False)
    (top / "below" / "file").touch()
    (top / "file").touch()
    assert carried(top / "file") in paths(hints := watcher.until(lambda h: carried(top / "file") in paths(h)))
    assert carried(top / "below" / "file") not in paths(hints)


def test_beyond_the_bound_folders_are_polled_and_it_is_said(top: Path) -> None:
    with Listening(lambda port: FolderWatcher(port, trees=False, most=3)) as listening:
        coverage = listening.watcher.subscribe(scope(top), [carried(top)])
        assert coverage.watches == 3
        assert coverage.limits
        assert carried(top) in {area.path for area in coverage.polled}


def test_all_handles_are_given_back(top: Path, trees: bool) -> None:
    for number in range(FILES):
        (top / str(number)).mkdir()

    def round_() -> None:
        port = Port()
        watcher = FolderWatcher(port, trees=trees)
        watcher.subscribe(scope(top), [carried(top)])
        (top / "0" / "file").touch()
        port.wait(5)
        watcher.read()
        assert open_handles() > before
        (top / "0" / "file").unlink()
        watcher.close()
        port.close()

    before = 0
    round_()
    before = open_handles()
    for _ in range(3):
        round_()
    assert open_handles() <= before + 2


def test_a_place_where_nothing_can_be_tried() -> None:
    with pytest.raises(WatchError):
        can_watch_trees(os.path.join("C:\\", "not there"))
