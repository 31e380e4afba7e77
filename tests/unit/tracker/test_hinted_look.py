"""Looking again at what hints point at: the same rows as a poll, in the middle of one too."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.tracker.test_runner import Bench
from whatchanged.collectors.files import PathLooker, Unchanged
from whatchanged.records.items import Kind
from whatchanged.rules import FileScope
from whatchanged.tracker.hints import Batch


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.state.close()


def hinted(bench: Bench, batch: Batch) -> list[tuple[str, str]]:
    """Look at what a batch asks for; return category and name of the changes since the last call."""
    bench.runner.run_hints(bench.plan(bench.rule()), batch)
    return changes(bench)


def changes(bench: Bench) -> list[tuple[str, str]]:
    return sorted((row["ChangeCategory"], row["Name"]) for row in bench.records() if "ChangeCategory" in row)


def path(bench: Bench, name: str) -> bytes:
    return os.fsencode(bench.tree / name)


def test_entries_are_added_modified_and_removed(bench: Bench) -> None:
    (bench.tree / "b").write_text("one")
    (bench.tree / "c").write_text("one")
    bench.look()
    (bench.tree / "a").write_text("one")
    (bench.tree / "b").write_text("two!")
    (bench.tree / "c").unlink()
    batch = Batch(entries={path(bench, n) for n in ("a", "b", "c", "never")})
    assert hinted(bench, batch) == [("Added", "a"), ("Modified", "b"), ("Removed", "c")]
    assert hinted(bench, batch) == []
    bench.look()
    assert changes(bench) == []


def test_only_the_paths_that_were_named_are_looked_at(bench: Bench) -> None:
    bench.look()
    (bench.tree / "a").write_text("one")
    (bench.tree / "b").write_text("one")
    assert hinted(bench, Batch(entries={path(bench, "b")})) == [("Added", "b")]


def test_a_folder_is_looked_at_without_what_is_below_it(bench: Bench) -> None:
    (bench.tree / "d" / "e").mkdir(parents=True)
    for name in ("d/gone", "d/e/gone"):
        (bench.tree / name).write_text("x")
    bench.look()
    for name in ("d/new", "d/e/new"):
        (bench.tree / name).write_text("x")
    for name in ("d/gone", "d/e/gone"):
        (bench.tree / name).unlink()
    assert hinted(bench, Batch(folders={path(bench, "d")})) == [("Added", "new"), ("Removed", "gone")]
    assert hinted(bench, Batch(trees={path(bench, "d")})) == [("Added", "new"), ("Removed", "gone")]


@pytest.mark.parametrize("reach", ["folders", "trees"])
def test_a_folder_that_is_gone_takes_with_it_what_was_in_it(bench: Bench, reach: str) -> None:
    (bench.tree / "d").mkdir()
    (bench.tree / "d" / "f").write_text("x")
    (bench.tree / "d2").mkdir()
    (bench.tree / "d2" / "f").write_text("x")
    bench.look()
    (bench.tree / "d" / "f").unlink()
    (bench.tree / "d").rmdir()
    assert hinted(bench, Batch(**{reach: {path(bench, "d")}})) == [("Removed", "f")]  # type: ignore[arg-type]


def test_a_hint_before_the_first_look_makes_no_change_of_what_was_there(bench: Bench) -> None:
    (bench.tree / "a").write_text("x")
    assert hinted(bench, Batch(entries={path(bench, "a")})) == []
    assert bench.state.known(Kind.FILES, path(bench, "a")) is not None


def test_a_hint_in_the_middle_of_a_walk_is_not_overwritten_by_it(bench: Bench) -> None:
    """The walk has read the old content; the hint's look sees the new one and commits; then the walk goes on."""
    for folder in ("d1", "d2"):
        (bench.tree / folder).mkdir()
        (bench.tree / folder / "f").write_text("one")
    plan = bench.plan(bench.rule())
    bench.look(plan)
    for folder in ("d1", "d2"):
        (bench.tree / folder / "f").write_text("two")
    calls: list[str] = []

    def between(before: Callable[[], None]) -> Collection[bytes]:
        if calls:
            return ()
        calls.append("once")
        for folder in ("d1", "d2"):
            (bench.tree / folder / "f").write_text("three")
        before()
        names = {path(bench, f"{folder}/f") for folder in ("d1", "d2")}
        return bench.runner.run_hints(plan, Batch(entries=names)).paths

    bench.runner.run_files(plan, plan.file_jobs[0], between)
    sizes = [(row["PreviousSize"], row["Size"]) for row in bench.records() if "ChangeCategory" in row]
    assert sizes == [(3, 5), (3, 5)]
    bench.look(plan)
    assert changes(bench) == []


def test_a_known_signature_spares_the_reading(bench: Bench) -> None:
    file = bench.tree / "a"
    file.write_text("x")
    os.utime(file, ns=(0, 0))
    bench.look()

    class Known:
        def folder(self, folder: bytes) -> Any:
            return bench.state.folder(folder + b"/")

    while Known().folder(os.fsencode(bench.tree))[b"a"].endswith(b"~"):  # what was made just now is not settled
        bench.look()
    with PathLooker(FileScope([bench.rule()]), known=Known(), settle_ns=0) as looker:
        assert looker.look(path(bench, "a")) == Unchanged(path(bench, "a"))
    with PathLooker(FileScope([bench.rule()])) as looker:
        assert not isinstance(looker.look(path(bench, "a")), Unchanged)


def test_what_is_on_its_way_is_neither_gone_nor_found(bench: Bench) -> None:
    (bench.tree / "a").write_text("x")
    bench.look()
    (bench.tree / "a").rename(bench.tree / "c")
    old, passed, new = path(bench, "a"), path(bench, "b"), path(bench, "c")
    plan = bench.plan(bench.rule())
    look = bench.runner.run_hints(plan, Batch(entries={old, passed}, went={old: passed}))
    assert look.astray == {old}
    assert bench.runner.run_hints(plan, Batch(entries={old}, awaited={old})).astray == {old}
    assert changes(bench) == []
    assert bench.runner.run_hints(plan, Batch(entries={old})).astray == set()
    assert changes(bench) == [("Removed", "a")]
    assert hinted(bench, Batch(entries={new})) == [("Added", "c")]


def test_what_went_somewhere_else_is_gone(bench: Bench) -> None:
    (bench.tree / "a").write_text("x")
    (bench.tree / "b").write_text("old")
    bench.look()
    (bench.tree / "a").rename(bench.tree / "b")
    old, new = path(bench, "a"), path(bench, "b")
    assert hinted(bench, Batch(entries={old, new}, went={old: new})) == [("Modified", "b"), ("Removed", "a")]
