"""Pending hints: they settle, they are bounded, and none is lost, whatever is said of it."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.tracker.hints import Batch, PendingHints
from whatchanged.watchers.hints import Hint, Reach


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("whatchanged.tracker.hints.time", self)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def pending(capacity: int = 100) -> PendingHints:
    return PendingHints(lambda: None, settle=0.2, longest=1.0, capacity=capacity)


def test_a_path_settles_before_it_is_looked_at(clock: Clock) -> None:
    hints = pending()
    hints.add([Hint(b"/a", clock.now)])
    assert hints.due_at() == clock.now + 0.2
    assert not hints.take()
    clock.now += 0.1
    hints.add([Hint(b"/a", clock.now)])
    clock.now += 0.15
    assert not hints.take()
    clock.now += 0.06
    assert hints.take().entries == {b"/a"}
    assert hints.due_at() is None
    assert not hints.take()


def test_a_path_that_never_settles_is_looked_at_all_the_same(clock: Clock) -> None:
    hints = pending()
    began = clock.now
    taken: list[float] = []
    for _ in range(30):
        hints.add([Hint(b"/a", clock.now)])
        if hints.take().entries:
            taken.append(clock.now - began)
        clock.now += 0.1
    assert taken == pytest.approx([1.0, 2.1])


def test_both_paths_of_a_rename_are_taken_together(clock: Clock) -> None:
    hints = pending()
    hints.add([Hint(b"/old", clock.now), Hint(b"/new", clock.now, renamed_from=b"/old")])
    clock.now += 0.15
    hints.add([Hint(b"/new", clock.now)])
    clock.now += 0.06
    assert hints.take().entries == {b"/old", b"/new"}


def test_too_many_paths_become_their_folders_and_too_many_folders_everything(clock: Clock) -> None:
    hints = pending(capacity=100)
    hints.add([Hint(b"/d/%d" % n, clock.now) for n in range(90)] + [Hint(b"/t", clock.now, Reach.TREE)])
    hints.add([Hint(b"/e/%d" % n, clock.now) for n in range(20)])
    clock.now += 5
    batch = hints.take()
    assert (batch.entries, batch.folders, batch.trees) == (set(), {b"/d", b"/e"}, {b"/t"})
    hints = pending(capacity=2000)
    hints.add([Hint(b"/%d/f" % n, clock.now) for n in range(3000)])
    clock.now += 5
    assert hints.take().everything


def test_lost_events_make_everything_else_superfluous(clock: Clock) -> None:
    hints = pending()
    hints.add([Hint(b"/a", clock.now), Hint(b"/", clock.now, Reach.ALL)])
    clock.now += 5
    assert hints.take() == Batch(everything=True)
    assert not hints.take()


def test_what_could_not_be_looked_at_comes_again_after_the_pause(clock: Clock) -> None:
    hints = pending()
    hints.put_back(Batch(entries={b"/a"}, folders={b"/f"}, trees={b"/t"}), 3.0)
    clock.now += 2.9
    assert not hints.take()
    clock.now += 0.2
    batch = hints.take()
    assert (batch.entries, batch.folders, batch.trees) == ({b"/a"}, {b"/f"}, {b"/t"})


def test_a_path_that_cools_waits_and_the_others_do_not(clock: Clock) -> None:
    hints = pending()
    hints.cool(b"/large", 10.0)
    hints.add([Hint(b"/large", clock.now), Hint(b"/small", clock.now)])
    clock.now += 1.0
    assert hints.take().entries == {b"/small"}
    assert hints.due_at() == 1010.0
    clock.now = 1010.5
    assert hints.take().entries == {b"/large"}
    assert hints.due_at() is None


@given(st.lists(st.tuples(st.sampled_from([b"/a", b"/d/b", b"/d/c", b"/e/f/g"]), st.sampled_from(list(Reach)))))
def test_no_hint_is_lost(said: list[tuple[bytes, Reach]]) -> None:
    hints = PendingHints(lambda: None, settle=0.0, longest=0.0, capacity=3)  # everything is due at once
    for path, reach in said:
        hints.add([Hint(path, time.monotonic(), reach)])
    batch = Batch()
    while taken := hints.take():
        batch.entries |= taken.entries
        batch.folders |= taken.folders
        batch.trees |= taken.trees
        batch.everything |= taken.everything
    for path, reach in said:
        parent = path.rpartition(b"/")[0] or b"/"
        covered = {
            Reach.ENTRY: path in batch.entries or parent in batch.folders,
            Reach.FOLDER: path in batch.folders,
            Reach.TREE: path in batch.trees,
            Reach.ALL: False,
        }[reach]
        assert covered or batch.everything, (path, reach, batch)
    assert hints.due_at() is None


def test_a_long_line_of_renames_is_taken_together(clock: Clock) -> None:
    hints = pending(capacity=10_000)
    for number in range(5000):
        old, new = b"/%d" % number, b"/%d" % (number + 1)
        hints.add([Hint(old, clock.now), Hint(new, clock.now, renamed_from=old)])
    clock.now += 0.5
    batch = hints.take()
    assert len(batch.entries) == 5001
    assert batch.went == {b"/%d" % number: b"/%d" % (number + 1) for number in range(5000)}


def test_renames_of_which_only_one_side_waits_leave_nothing_behind(clock: Clock) -> None:
    hints = pending()
    for number in range(100):
        hints.add([Hint(b"/new%d" % number, clock.now, renamed_from=b"/elsewhere%d" % number)])
    clock.now += 1.0
    assert len(hints.take().entries) == 100
    assert (hints._partners, hints._went) == ({}, {})
