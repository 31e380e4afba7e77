"""One suite for every watcher, on the real kernel."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import shutil

from integration.watchers.conftest import Bench
from whatchanged.watchers.hints import Reach


def test_it_says_what_it_watches(bench: Bench) -> None:
    coverage = bench.start()
    assert [(area.path, area.method) for area in coverage.areas] == [(b"/", bench.watcher.name)]
    assert coverage.watches >= 1
    assert not coverage.polled
    assert not coverage.limits


def test_a_file_made_written_changed_renamed_and_removed(bench: Bench) -> None:
    bench.start()
    (bench.inside / "a").write_text("one")
    assert bench.paths() == {"/in/a"}
    (bench.inside / "a").open("a").close()
    bench.read()
    (bench.inside / "a").chmod(0o600)
    assert bench.paths() == {"/in/a"}
    (bench.inside / "a").rename(bench.inside / "b")
    assert bench.paths() == {"/in/a", "/in/b"}
    (bench.inside / "b").unlink()
    assert bench.paths() == {"/in/b"}


def test_names_of_any_bytes(bench: Bench) -> None:
    bench.start()
    name = b"\xff\n" + b"x" * 253
    os.close(os.open(os.fsencode(bench.inside) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert {hint.path for hint in bench.hints()} == {b"/in/" + name}


def test_what_no_rule_asks_for_gives_no_hint(bench: Bench) -> None:
    bench.start()
    (bench.outside / "a").write_text("one")
    (bench.outside / "d").mkdir()
    assert not bench.paths()


def test_a_write_through_a_long_open_file(bench: Bench) -> None:
    with (bench.inside / "log").open("w") as stream:
        bench.start()
        stream.write("a line")
        stream.flush()
        assert bench.paths() == {"/in/log"}


def test_new_folders_are_watched_as_deep_as_they_are_made(bench: Bench) -> None:
    bench.start()
    deep = bench.inside / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    bench.read()  # an inotify watcher has to look for them
    (deep / "f").write_text("one")
    assert "/in/a/b/c/d/f" in bench.paths()


def test_a_tree_moved_in_is_looked_at_and_watched_from_then_on(bench: Bench) -> None:
    (bench.outside / "t" / "u").mkdir(parents=True)
    (bench.outside / "t" / "u" / "f").write_text("one")
    bench.start()
    (bench.outside / "t").rename(bench.inside / "t")
    assert ("/in/t", Reach.TREE) in {(os.fsdecode(hint.path), hint.reach) for hint in bench.hints()}
    (bench.inside / "t" / "u" / "f").write_text("two")
    assert bench.paths() == {"/in/t/u/f"}


def test_a_tree_moved_out_is_looked_at_and_no_longer_watched(bench: Bench) -> None:
    (bench.inside / "t" / "u").mkdir(parents=True)
    bench.start()
    (bench.inside / "t").rename(bench.outside / "t")
    assert ("/in/t", Reach.TREE) in {(os.fsdecode(hint.path), hint.reach) for hint in bench.hints()}
    (bench.outside / "t" / "u" / "f").write_text("two")
    assert not bench.paths()


def test_a_renamed_folder_is_watched_by_its_new_path(bench: Bench) -> None:
    (bench.inside / "old" / "deep").mkdir(parents=True)
    bench.start()
    for number in range(5):
        before = bench.inside / (f"new{number - 1}" if number else "old")
        before.rename(bench.inside / f"new{number}")
    reaches = {(os.fsdecode(hint.path), hint.reach) for hint in bench.hints()}
    assert {("/in/old", Reach.TREE), ("/in/new4", Reach.TREE)} <= reaches
    (bench.inside / "new4" / "deep" / "f").write_text("one")
    assert bench.paths() == {"/in/new4/deep/f"}


def test_a_folder_renamed_in_a_circle_is_watched_by_its_last_path(bench: Bench) -> None:
    (bench.inside / "d0" / "deep").mkdir(parents=True)
    bench.start()
    # The kernel may merge a rename with the same one before it: what is read last is not what happened last.
    for number in range(301):
        (bench.inside / f"d{number % 3}").rename(bench.inside / f"d{(number + 1) % 3}")
    bench.read()
    (bench.inside / "d1" / "deep" / "f").write_text("one")
    assert bench.paths() == {"/in/d1/deep/f"}


def test_everything_removed_is_told_path_by_path(bench: Bench) -> None:
    for number in range(50):
        folder = bench.inside / f"d{number}"
        folder.mkdir()
        (folder / "f").write_text("one")
    bench.start()
    shutil.rmtree(bench.inside)
    assert {f"/in/d{number}/f" for number in range(50)} <= bench.paths()


def test_subscribing_again_changes_what_is_watched(bench: Bench) -> None:
    bench.start()
    bench.watcher.subscribe(bench.scope.subset(()), ())
    bench.read()
    (bench.inside / "a").write_text("one")
    assert not bench.paths()
    bench.start()
    (bench.inside / "a").write_text("two")
    assert bench.paths() == {"/in/a"}


def test_its_descriptor_becomes_readable(bench: Bench) -> None:
    bench.start()
    (bench.inside / "a").write_text("one")
    assert bench.until(lambda hints: any(hint.path == b"/in/a" for hint in hints))
