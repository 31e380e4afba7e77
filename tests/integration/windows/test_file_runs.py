"""Runs over files of a running Windows: which rows arise, and which do not."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import win32con
import win32file

from whatchanged.records.items import Kind
from whatchanged.records.windows_paths import carried
from whatchanged.rules import FileRule, Policy, Variables
from whatchanged.rules.windows_patterns import windows_pattern
from whatchanged.settings import DataFolder
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.preview import count_files
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.why import explain

POLICY = Policy(core_share=64.0, bytes_per_second=10**12)


class Bench:
    """A tree, a state and a runner that begins anew on demand."""

    def __init__(self, folder: Path, policy: Policy = POLICY) -> None:
        self.tree = folder / "Tree"
        self.tree.mkdir()
        self.data = DataFolder(str(folder / "data"))
        self.policy = policy
        self.stop = threading.Event()
        self.large: LargeContents | None = None
        self.taken = 0
        self.state = State(self.data.tracker_database, quota_bytes=10**9, machine="m", identity={})
        self.begin()

    def begin(self) -> None:
        settings = TrackerSettings(data=self.data)
        self.runner = FileRunner(self.state, settings, self.policy, self.stop, large=self.large)

    def plan(self, *patterns: str, version: str = "1") -> Plan:
        """A plan of one rule a pattern below the tree, each named as its pattern is."""
        rules = tuple(
            FileRule(name=p, destination_path=windows_pattern(f"{self.tree}\\{p}", Variables.load()), recurse=True)
            for p in patterns or ("*",)
        )
        return Plan(version=version, file_jobs=(FileJob("1", 1.0, rules),), inventory=True)

    def look(self, plan: Plan | None = None) -> list[dict[str, Any]]:
        """Look at everything; return the rows of changes."""
        plan = plan or self.plan()
        self.runner.prune(plan, Kind.FILES)
        for job in plan.file_jobs:
            self.runner.run_files(plan, job)
        return self.changes()

    def hint(self, *names: str) -> list[dict[str, Any]]:
        """Look at some names, as notifications would ask for it."""
        self.runner.run_hints(self.plan(), Batch(entries={self.key(name) for name in names}))
        return self.changes()

    def changes(self) -> list[dict[str, Any]]:
        return [r for r in self.records() if r["_Stream"] == "CONFIG_CHANGE_BLOB_V2"]

    def records(self) -> list[dict[str, Any]]:
        rows = self.state.query("SELECT id, record FROM outbox WHERE id > ? ORDER BY id", (self.taken,))
        if rows:
            self.taken = rows[-1][0]
        return [msgspec.msgpack.decode(record) for _, record in rows]

    def key(self, name: str) -> bytes:
        return carried(f"{self.tree}\\{name}".encode())

    def known(self) -> set[str]:
        """The names of what is known."""
        return {key.decode().rpartition("/")[2] for key, _ in self.state.items(Kind.FILES)}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.state.close()


def told(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((row["ChangeCategory"], row["Name"]) for row in rows)


def respell(path: Path, name: str) -> None:
    """Give a file its own name in another letter case (which Wine does not do at once)."""
    between = path.with_name("between")
    os.rename(path, between)
    os.rename(between, path.with_name(name))


def test_the_first_look_is_no_change_and_the_next_tells_what_is(bench: Bench) -> None:
    for name in "abc":
        (bench.tree / name).write_text(name)
    assert bench.look() == []
    (bench.tree / "a").write_text("another")
    (bench.tree / "b").unlink()
    (bench.tree / "d").write_text("d")
    assert told(bench.look()) == [("Added", "d"), ("Modified", "a"), ("Removed", "b")]
    assert bench.look() == []


def test_hints_lead_to_the_same_rows(bench: Bench) -> None:
    for name in "abc":
        (bench.tree / name).write_text(name)
    bench.look()
    (bench.tree / "a").write_text("another")
    (bench.tree / "b").unlink()
    (bench.tree / "d").write_text("d")
    assert told(bench.hint("a", "b", "c", "d")) == [("Added", "d"), ("Modified", "a"), ("Removed", "b")]
    assert bench.look() == []


@pytest.mark.parametrize("by_hint", [True, False])
def test_a_name_whose_letter_case_alone_changes_is_renamed(bench: Bench, by_hint: bool) -> None:
    (bench.tree / "name").write_text("x")
    bench.look()
    respell(bench.tree / "name", "NAME")
    rows = bench.hint("name", "NAME") if by_hint else bench.look()
    assert [(row["PreviousFileSystemPath"], row["FileSystemPath"]) for row in rows] == [
        (f"{bench.tree}\\name", f"{bench.tree}\\NAME")
    ]
    assert bench.known() == {"NAME"}
    assert bench.look() == []


def test_a_folder_whose_letter_case_alone_changes_is_renamed(bench: Bench) -> None:
    (bench.tree / "sub").mkdir()
    (bench.tree / "sub" / "f").write_text("x")
    bench.look()
    respell(bench.tree / "sub", "Sub")
    (row,) = bench.look()
    assert (row["PreviousFileSystemPath"], row["FileSystemPath"]) == (
        f"{bench.tree}\\sub\\f",
        f"{bench.tree}\\Sub\\f",
    )
    assert bench.look() == []


def test_a_rule_in_another_letter_case_takes_the_same_items(bench: Bench) -> None:
    (bench.tree / "a.txt").write_text("x")
    bench.look(bench.plan("*.txt"))
    other = bench.plan("*.TXT", version="2")
    (job,) = other.file_jobs
    (rule,) = job.rules
    upper = msgspec.structs.replace(rule, destination_path=rule.destination_path.upper())
    other = msgspec.structs.replace(other, file_jobs=(FileJob("1", 1.0, (upper,)),))
    assert bench.look(other) == []
    assert bench.known() == {"a.txt"}


def test_what_leaves_the_rules_is_no_change(bench: Bench) -> None:
    for name in ("a.txt", "b.log"):
        (bench.tree / name).write_text(name)
    bench.look()
    assert bench.look(bench.plan("*.txt", version="2")) == []
    assert bench.known() == {"a.txt"}


def test_what_the_policy_excludes_is_not_there(tmp_path: Path) -> None:
    policy = Policy.parse(
        f"excluded_paths = ['{str(tmp_path).upper()}\\tree\\Secret']\ncore_share = 0.9\n".encode(), "policy"
    )
    bench = Bench(tmp_path, policy)
    for name in ("secret", "open"):
        (bench.tree / name).mkdir()
        (bench.tree / name / "f").write_text("x")
    bench.look()
    assert {key for key, _ in bench.state.items(Kind.FILES)} == {bench.key("open/f").replace(b"\\", b"/")}
    said = explain(bench.key("secret") + b"/f", bench.plan(), policy, bench.state, b"/", None)
    assert said["verdict"] == "ExcludedByPolicy"
    bench.state.close()


def test_what_somebody_keeps_to_himself_keeps_what_is_known(bench: Bench) -> None:
    (bench.tree / "f").write_text("x")
    bench.look()
    path = str(bench.tree / "f")
    handle = win32file.CreateFile(path, win32con.GENERIC_WRITE, 0, None, win32con.OPEN_EXISTING, 0, None)
    win32file.WriteFile(int(handle), b"another content")
    assert bench.look() == []
    assert bench.known() == {"f"}
    handle.Close()
    (row,) = bench.look()
    assert (row["ChangeCategory"], row["PreviousSize"], row["Size"]) == ("Modified", 1, 15)


def test_large_contents_are_read_aside(bench: Bench) -> None:
    read = threading.Event()
    budget = bench.runner.budget
    bench.large = LargeContents(budget, bench.stop, lambda path: read.set(), least=1000)
    bench.begin()
    (bench.tree / "small").write_bytes(b"s")
    bench.look()
    (bench.tree / "large").write_bytes(b"x" * 100_000)
    assert bench.look() == []
    thread = threading.Thread(target=bench.large.run)
    thread.start()
    assert read.wait(30)
    assert told(bench.hint("large")) == [("Added", "large")]
    bench.stop.set()
    bench.large.wake()
    thread.join(30)
    assert not thread.is_alive()


def test_a_preview_counts_what_a_rule_takes(bench: Bench) -> None:
    for name in ("a.txt", "b.TXT", "c.log"):
        (bench.tree / name).write_text("four")
    rules = bench.plan("*.txt", "nothing").file_rules
    counts, outcome = count_files(rules, b"/", POLICY, bench.stop)
    assert [(count.files, count.size) for count in counts] == [(2, 8), (0, 0)]
    assert outcome.failed == 0
    assert counts[1].obstacle == ""


def test_a_change_with_forged_times_is_found(bench: Bench) -> None:
    """The time of the change itself is out of a program's reach."""
    path = bench.tree / "f"
    path.write_text("first")
    bench.look()
    before = path.stat()
    path.write_text("other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (row,) = bench.look()
    assert row["FieldsChanged"] == "FileContentChecksum"


def test_hints_in_another_letter_case_lead_to_the_file(bench: Bench) -> None:
    (bench.tree / "File.txt").write_text("x")
    bench.look()
    (bench.tree / "File.txt").write_text("another")
    assert told(bench.hint("FILE.TXT")) == [("Modified", "File.txt")]


def test_a_tree_that_is_gone_is_all_that_was_known_in_it(bench: Bench) -> None:
    (bench.tree / "sub" / "deep").mkdir(parents=True)
    for name in ("sub/a", "sub/deep/b", "file"):
        (bench.tree / name).write_text(name)
    bench.look()
    shutil.rmtree(bench.tree / "sub")
    (bench.tree / "file").unlink()
    bench.runner.run_hints(bench.plan(), Batch(trees={bench.key("sub"), bench.key("file")}))
    assert told(bench.changes()) == [("Removed", "a"), ("Removed", "b"), ("Removed", "file")]
