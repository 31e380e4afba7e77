"""Renames: one change with both paths, whoever noticed it, and never one that was none."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.tracker.test_runner import Bench
from whatchanged.collectors.files.signature import unsettled
from whatchanged.records.items import Kind
from whatchanged.records.keys import checksum
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.renames import stem

Look = Callable[[Bench], list[dict[str, Any]]]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.state.close()


def polled(bench: Bench) -> list[dict[str, Any]]:
    return bench.look()


def pointed_at(bench: Bench) -> list[dict[str, Any]]:
    """A look at everything that could be pointed at."""
    known = {key for key, _ in bench.state.items(Kind.FILES)}
    there = {os.fsencode(path) for path in bench.tree.rglob("*")}
    bench.runner.run_hints(bench.plan(bench.rule()), Batch(entries=known | there))
    return bench.records()


def told_of_the_tree(bench: Bench) -> list[dict[str, Any]]:
    bench.runner.run_hints(bench.plan(bench.rule()), Batch(trees={os.fsencode(bench.tree)}))
    return bench.records()


@pytest.fixture(params=[polled, pointed_at, told_of_the_tree], ids=lambda look: look.__name__)
def look(request: pytest.FixtureRequest) -> Look:
    made: Look = request.param
    return made


def begin(bench: Bench) -> None:
    """Look until what is known is older than the clock is coarse."""
    bench.look()
    while any(unsettled(row[0]) for row in bench.state.query("SELECT signature FROM items")):
        bench.look()
    bench.records()


def rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in records if "ChangeCategory" in row]


def told(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Category, name, and name before."""
    return sorted(
        (row["ChangeCategory"], row["Name"], os.path.basename(row.get("PreviousFileSystemPath", "")))
        for row in rows(records)
    )


def test_a_rename_is_one_change_with_both_paths(bench: Bench, look: Look) -> None:
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    (row,) = rows(look(bench))
    assert row["ChangeCategory"] == "Modified"
    assert row["FieldsChanged"] == "FileSystemPath"
    assert row["FileSystemPath"] == str(bench.tree / "new")
    assert row["PreviousFileSystemPath"] == str(bench.tree / "old")
    assert row["FileContentChecksum"] == row["PreviousFileContentChecksum"]
    assert {key for key, _ in bench.state.items(Kind.FILES)} == {os.fsencode(bench.tree / "new")}
    assert rows(bench.look()) == []


def test_the_inventory_has_the_new_path_and_not_the_old(bench: Bench, look: Look) -> None:
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    data = [r for r in look(bench) if r["_Stream"] == "CONFIG_DATA_BLOB_V2" and r.get("_Record") != "Confirmation"]
    assert [(r.get("_Record"), r["Name"]) for r in data] == [("Tombstone", "old"), (None, "new")]
    (confirmation,) = [r for r in bench.look() if r.get("_Record") == "Confirmation"]
    known = sorted((key, item.digest) for key, item in bench.state.items(Kind.FILES))
    assert (confirmation["Items"], confirmation["Checksum"]) == (1, checksum(known))


def test_a_rename_and_an_edit_are_one_change_too(bench: Bench, look: Look) -> None:
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    (bench.tree / "new").write_text("two, longer")
    (row,) = rows(look(bench))
    changed = row["FieldsChanged"].split(",")
    assert changed[0] == "FileSystemPath"
    assert {"Size", "FileContentChecksum"} <= set(changed)
    assert (row["PreviousSize"], row["Size"]) == (3, 11)


def test_everything_below_a_renamed_folder_has_one_cause(bench: Bench, look: Look) -> None:
    for name in ("a", "b/c", "b/d"):
        (bench.tree / "old" / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.tree / "old" / name).write_text(name)
    (bench.tree / "alone").write_text("x")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    (bench.tree / "alone").rename(bench.tree / "other")
    found = {row["Name"]: row for row in rows(look(bench))}
    assert set(found) == {"a", "c", "d", "other"}
    assert len({found[name]["TransactionId"] for name in "acd"}) == 1
    assert found["other"]["TransactionId"] != found["a"]["TransactionId"]


def test_a_file_moved_over_another_is_a_change_of_that_one(bench: Bench, look: Look) -> None:
    (bench.tree / "target").write_text("one")
    (bench.tree / "new").write_text("two, longer")
    begin(bench)
    (bench.tree / "new").rename(bench.tree / "target")
    assert told(look(bench)) == [("Modified", "target", ""), ("Removed", "new", "")]


def test_a_removed_file_and_a_new_one_are_two_changes(bench: Bench, look: Look) -> None:
    """The file system may well give the new one the number of the old one, and they may be equal in content."""
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "old").unlink()
    (bench.tree / "new").write_text("one")
    assert told(look(bench)) == [("Added", "new", ""), ("Removed", "old", "")]


def test_what_is_ambiguous_is_told_as_added_and_removed(bench: Bench, look: Look) -> None:
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "new1").hardlink_to(bench.tree / "old")
    (bench.tree / "new2").hardlink_to(bench.tree / "old")
    (bench.tree / "old").unlink()
    added = [t for t in told(look(bench)) if t[0] == "Added"]
    assert added == [("Added", "new1", ""), ("Added", "new2", "")]


def test_two_files_that_changed_places_are_two_modified_ones(bench: Bench, look: Look) -> None:
    (bench.tree / "a").write_text("one")
    (bench.tree / "b").write_text("two, longer")
    begin(bench)
    (bench.tree / "a").rename(bench.tree / "c")
    (bench.tree / "b").rename(bench.tree / "a")
    (bench.tree / "c").rename(bench.tree / "b")
    assert told(look(bench)) == [("Modified", "a", ""), ("Modified", "b", "")]


def test_a_link_that_was_renamed(bench: Bench, look: Look) -> None:
    (bench.tree / "old").symlink_to("/nowhere")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    assert told(look(bench)) == [("Modified", "new", "old")]


def test_a_link_that_is_followed_was_renamed(bench: Bench, look: Look) -> None:
    (bench.tree / "target").write_text("x")
    (bench.tree / "old").symlink_to("target")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    assert told(look(bench)) == [("Modified", "new", "old")]


def test_another_link_to_the_same_is_another_one(bench: Bench, look: Look) -> None:
    """It may be given the number of the old one; its target, and so the birth time shown, is the same."""
    (bench.tree / "target").write_text("x")
    (bench.tree / "old").symlink_to("target")
    begin(bench)
    (bench.tree / "old").unlink()
    (bench.tree / "new").symlink_to("target")
    assert told(look(bench)) == [("Added", "new", ""), ("Removed", "old", "")]


def test_a_file_with_another_name_is_no_rename(bench: Bench, look: Look) -> None:
    """Which of its names became which cannot be told."""
    (bench.tree / "old").write_text("one")
    (bench.tree / "other").hardlink_to(bench.tree / "old")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    assert told(look(bench)) == [("Added", "new", ""), ("Removed", "old", "")]


def test_a_file_without_a_birth_time_is_no_rename(bench: Bench, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whatchanged.collectors.files.system._statx", None)
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    assert told(look(bench)) == [("Added", "new", ""), ("Removed", "old", "")]


def test_an_atomic_save_is_a_change_of_the_target(bench: Bench, look: Look) -> None:
    (bench.tree / "target").write_text("one")
    begin(bench)
    (bench.tree / ".target.tmp").write_text("two, longer")
    (bench.tree / ".target.tmp").rename(bench.tree / "target")
    assert told(look(bench)) == [("Modified", "target", "")]


def test_a_backup_and_a_new_file_keep_the_path(bench: Bench, look: Look) -> None:
    (bench.tree / "f").write_text("one")
    begin(bench)
    (bench.tree / "f").rename(bench.tree / "f~")
    (bench.tree / "f").write_text("two, longer")
    assert told(look(bench)) == [("Added", "f~", ""), ("Modified", "f", "")]


def test_a_folder_stands_where_the_file_was(bench: Bench, look: Look) -> None:
    (bench.tree / "old").write_text("one")
    begin(bench)
    (bench.tree / "old").rename(bench.tree / "new")
    (bench.tree / "old").mkdir()
    assert told(look(bench)) == [("Modified", "new", "old")]


def test_paths_that_are_no_text_are_told_exactly(bench: Bench, look: Look) -> None:
    old, new = os.fsencode(bench.tree) + b"/old\xff", os.fsencode(bench.tree) + b"/new\n"
    with open(old, "w") as stream:
        stream.write("one")
    begin(bench)
    os.rename(old, new)
    (row,) = rows(look(bench))
    assert base64.b64decode(row["PathBytes"]) == new
    assert base64.b64decode(row["PreviousPathBytes"]) == old
    begin(bench)
    os.rename(new, bench.tree / "text")
    (row,) = rows(look(bench))
    assert "PathBytes" not in row
    assert base64.b64decode(row["PreviousPathBytes"]) == new


def test_a_modified_path_that_is_no_text_has_no_path_before(bench: Bench, look: Look) -> None:
    path = bench.tree / "a\n"
    path.write_text("one")
    begin(bench)
    path.write_text("two, longer")
    (row,) = rows(look(bench))
    assert "PathBytes" in row
    assert "PreviousPathBytes" not in row


def test_out_of_the_rules_and_into_them(bench: Bench) -> None:
    (bench.tree / "a.conf").write_text("one")
    (bench.tree / "b.txt").write_text("two")
    plan = bench.plan(bench.rule("*.conf"))
    bench.look(plan)
    (bench.tree / "a.conf").rename(bench.tree / "a.txt")
    (bench.tree / "b.txt").rename(bench.tree / "b.conf")
    assert told(bench.look(plan)) == [("Added", "b.conf", ""), ("Removed", "a.conf", "")]


def test_a_rename_while_the_tracker_was_off(bench: Bench) -> None:
    (bench.tree / "old").write_text("one")
    begin(bench)
    bench.state.close()
    (bench.tree / "old").rename(bench.tree / "new")
    bench.start()
    (row,) = rows(bench.look())
    assert (row["PreviousFileSystemPath"], row["DetectedBy"]) == (str(bench.tree / "old"), "Startup")


def test_a_write_through_one_name_changes_all_of_them(bench: Bench) -> None:
    """A watcher names but one path."""
    file = bench.tree / "file"
    file.write_text("one")
    (bench.tree / "sub").mkdir()
    begin(bench)
    (bench.tree / "sub" / "other").hardlink_to(file)
    (bench.tree / "link").symlink_to("file")
    hinted(bench, bench.tree / "sub" / "other", bench.tree / "link")
    file.write_text("two, longer")
    changed = hinted(bench, file)
    assert told(changed) == [("Modified", "file", ""), ("Modified", "link", ""), ("Modified", "other", "")]
    (bench.tree / "sub" / "other").write_text("three, the longest")
    changed = hinted(bench, bench.tree / "sub" / "other")
    assert told(changed) == [("Modified", "file", ""), ("Modified", "link", ""), ("Modified", "other", "")]
    begin(bench)
    file.unlink()
    assert told(hinted(bench, file)) == [("Modified", "link", ""), ("Removed", "file", "")]


def hinted(bench: Bench, *paths: Path) -> list[dict[str, Any]]:
    bench.runner.run_hints(bench.plan(bench.rule()), Batch(entries={os.fsencode(path) for path in paths}))
    return bench.records()


PATHS = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=5).map(b"/".join)


@given(PATHS, PATHS, st.lists(st.sampled_from([b"x", b"y"]), max_size=3))
def test_the_stem_is_what_was_renamed(old: bytes, new: bytes, below: list[bytes]) -> None:
    before, after = (b"/".join([path, *below]) for path in (old, new))
    first, second = stem(before, after)
    if old != new:
        assert first.rpartition(b"/")[2] != second.rpartition(b"/")[2] or b"/" not in first or b"/" not in second
    assert before.startswith(first)
    assert after.startswith(second)
    assert before[len(first) :].lstrip(b"/") == after[len(second) :].lstrip(b"/")
    assert stem(old, new) == (first, second)
