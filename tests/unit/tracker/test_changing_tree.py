"""Any sequence of renames, writes, links and removals: the state ends exact, each row follows from those before."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from unit.tracker.test_runner import Bench, changes
from whatchanged.collectors.files import FileCollector
from whatchanged.collectors.files.signature import unsettled
from whatchanged.records.items import FileItem, Kind
from whatchanged.rules import FileScope
from whatchanged.tracker.hints import Batch

MARK = "user.mark"
"""An attribute that tells one file from another, whatever number the file system gives it."""
NAMES = ("a", "b", "c", "d/a", "d/b", "e/a")
FOLDERS = ("d", "e", "f")
Step = tuple[str, str, str]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "unlink", "mark"]), st.sampled_from(NAMES), st.just("")),
        st.tuples(st.sampled_from(["rename", "save", "link"]), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("move"), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS)),
    ),
    min_size=1,
    max_size=12,
)


class Tree:
    """A tree that is changed step by step, and remembers what a watcher would say."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.count = 0
        self.entries: set[bytes] = set()
        self.trees: set[bytes] = set()

    def do(self, step: Step) -> None:
        what, first, second = step
        one, other = self.top / first, self.top / second
        with contextlib.suppress(OSError):
            if what == "move":
                one.rename(other)
                self.trees |= {os.fsencode(one), os.fsencode(other)}
                return
            if what == "link":  # of the name that it had before nothing is told
                self.entries.add(os.fsencode(other))
                other.hardlink_to(one)
                return
            self.entries.add(os.fsencode(one))
            if what == "write":
                self.write(one)
            elif what == "mark":
                one.chmod(0o600 if one.stat().st_mode & 0o077 else 0o644)
            elif what == "unlink":
                one.unlink()
            elif what == "rename":
                self.entries.add(os.fsencode(other))
                one.rename(other)
            else:
                self.entries.add(os.fsencode(other))
                other.unlink(missing_ok=True)
                self.write(other)
                other.rename(one)

    def write(self, path: Path) -> None:
        self.count += 1
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * self.count)
        with contextlib.suppress(OSError):
            os.setxattr(path, MARK, b"%d" % self.count, os.XATTR_CREATE)

    def batch(self) -> Batch:
        batch = Batch(entries=self.entries, trees=self.trees)
        self.entries, self.trees = set(), set()
        return batch

    def marks(self) -> dict[str, bytes]:
        return {str(path): os.getxattr(path, MARK) for path in self.top.rglob("*") if path.is_file()}


Facts = dict[str, dict[str, Any]]


def facts(bench: Bench) -> Facts:
    known: Facts = {}
    for path, one in bench.state.items(Kind.FILES):
        assert isinstance(one.item, FileItem)
        known[os.fsdecode(path)] = one.item.compared()
    return known


def there(bench: Bench) -> Facts:
    looks = FileCollector(FileScope([bench.rule()])).run()
    return {os.fsdecode(looked.item.path): looked.item.compared() for look in looks for looked in look.looked}


def digests(bench: Bench) -> dict[str, str]:
    return {path: fact["FileContentChecksum"].hex().upper() for path, fact in facts(bench).items()}


def follow(rows: list[dict[str, Any]], model: dict[str, str], before: dict[str, bytes], now: dict[str, bytes]) -> None:
    """Apply rows to a model of path → digest; each must follow from what was before it."""
    for row in rows:
        path, category, old = row["FileSystemPath"], row["ChangeCategory"], row.get("PreviousFileSystemPath")
        if category == "Added":
            assert path not in model
        elif old is None:
            assert row["PreviousFileContentChecksum"] == model.pop(path)
        else:
            assert category == "Modified"
            assert path not in model
            assert row["PreviousFileContentChecksum"] == model.pop(old)
            assert before[old] == now[path], "two files were made one"
        if category != "Removed":
            model[path] = row["FileContentChecksum"]


def settle(bench: Bench) -> list[dict[str, Any]]:
    rows = changes(bench.look())
    while any(unsettled(row[0]) for row in bench.state.query("SELECT signature FROM items")):
        rows += changes(bench.look())
    return rows


def run(bench: Bench, rounds: list[tuple[bool, list[Step]]]) -> int:
    """Return how many renames were told."""
    tree = Tree(bench.tree)
    for name in NAMES[:4]:
        tree.do(("write", name, ""))
    settle(bench)
    model = digests(bench)
    renames = 0
    tree.batch()
    for watched, steps in rounds:
        before = tree.marks()
        for step in steps:
            tree.do(step)
        if watched:
            bench.runner.run_hints(bench.plan(bench.rule()), tree.batch())
            rows = changes(bench.records())
        else:
            rows = changes(bench.look())
        follow(rows, model, before, tree.marks())
        renames += sum("PreviousFileSystemPath" in row for row in rows)
        assert facts(bench) == there(bench)
        assert settle(bench) == []
        assert digests(bench) == model
    return renames


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), STEPS), min_size=1, max_size=3))
def test_the_state_ends_exact_and_every_row_follows(rounds: list[tuple[bool, list[Step]]]) -> None:
    folder = Path(tempfile.mkdtemp())
    bench = Bench(folder)
    try:
        run(bench, rounds)
    finally:
        bench.state.close()
        shutil.rmtree(folder)


def test_renames_are_among_what_is_generated(tmp_path: Path) -> None:
    """Else the test above would show nothing of them."""
    bench = Bench(tmp_path)
    steps: list[Step] = [("rename", "a", "d/b"), ("move", "d", "f"), ("save", "b", "c")]
    assert run(bench, [(True, steps[:1]), (False, steps[1:])]) == 3
    bench.state.close()
