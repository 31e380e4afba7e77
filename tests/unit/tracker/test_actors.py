"""Touches of files: what is remembered of them, and for how long."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import subprocess
import time
from collections.abc import Iterator

import pytest

from whatchanged.records.items import Kind
from whatchanged.tracker.actors import Actors
from whatchanged.watchers.hints import Executed, Hint, Reach
from whatchanged.watchers.processes.observer import ProcessObserver

PATH = b"/srv/f"


@pytest.fixture
def actors() -> Actors:
    return Actors(ProcessObserver(), lambda: True, command_lines=True)


def touch(actors: Actors, pid: int, when: float, path: bytes = PATH) -> None:
    actors.note([(Hint(path, when, pid=pid), [Kind.FILES])], when - 1)


def processes(actors: Actors, looked: float) -> list[int] | None:
    found = actors.take(PATH, int(looked * 10**9))
    return None if found is None else sorted(found.processes)


def test_what_came_before_a_look_is_forgotten_and_what_came_during_it_is_not(actors: Actors) -> None:
    touch(actors, 1, 10.0)
    touch(actors, 2, 12.0)
    assert processes(actors, 11.0) == [1, 2]
    assert processes(actors, 13.0) == [2]
    assert processes(actors, 14.0) is None


def test_an_unknown_one_stays_for_as_long_as_he_may_be_of_the_next_change(actors: Actors) -> None:
    touch(actors, 0, 12.0)
    first = actors.take(PATH, 11 * 10**9)
    assert first is not None
    assert first.unknown_ns == 12 * 10**9
    assert actors.take(PATH, 13 * 10**9) is not None
    assert actors.take(PATH, 13 * 10**9) is None


def test_after_lost_events_nobody_is_known_until_everything_was_looked_at(actors: Actors) -> None:
    actors.note([(Hint(b"/", 20.0, Reach.ALL), list(Kind))], 19.0)
    touch(actors, 1, 21.0)
    assert processes(actors, 22.0) == []
    actors.settle(Kind.FILES, 20 * 10**9, frozenset())  # of a walk that began before the loss was known
    touch(actors, 1, 23.0)
    assert processes(actors, 24.0) == []
    actors.settle(Kind.FILES, 25 * 10**9, frozenset())
    touch(actors, 1, 26.0)
    assert processes(actors, 27.0) == [1]


def test_while_nothing_watches_a_look_at_everything_settles_nothing(actors: Actors) -> None:
    actors.lose(blind=True)
    actors.settle(Kind.FILES, 2**62, frozenset())
    actors.lose(blind=False)
    touch(actors, 1, 10.0)
    assert processes(actors, 11.0) == []
    actors.settle(Kind.FILES, 2**62, frozenset())
    touch(actors, 1, 12.0)
    assert processes(actors, 13.0) == [1]


def test_a_file_that_no_rule_asks_for_is_not_remembered(actors: Actors) -> None:
    actors.note([(Hint(PATH, 10.0, pid=1), [Kind.SOFTWARE])], 9.0)
    assert processes(actors, 0.0) is None


@pytest.fixture
def sleeper(actors: Actors) -> Iterator[tuple[int, float]]:
    """A process of which nothing is known but that it is there, and a moment since which it was."""
    process = subprocess.Popen(["/bin/sleep", "60"])
    try:
        end = time.monotonic() + 10
        while not named(actors, process.pid, moment := time.monotonic(), []):
            assert time.monotonic() < end
        yield process.pid, moment
    finally:
        process.kill()
        process.wait()


def named(actors: Actors, pid: int, since: float, after: list[Executed], before: list[Executed] | None = None) -> str:
    events: list[Hint | Executed] = [*(before or []), Hint(PATH, since, pid=pid), *after]
    actors.note([(event, [Kind.FILES]) for event in events], since)
    columns = actors.inquiry().columns(actors.take(PATH, 2**62), None)
    return str(columns.get("InitiatingProcessName", ""))


def test_one_who_is_only_there_is_named_unless_he_executed_something_after_the_touch(
    actors: Actors, sleeper: tuple[int, float]
) -> None:
    pid, since = sleeper
    executed = [Executed(pid, b"sleep", since)]
    assert named(actors, pid, since, [], executed) == "sleep"
    assert named(actors, pid, since, executed) == ""


def test_one_who_is_only_there_is_nobody_unless_all_that_he_executed_was_noted(sleeper: tuple[int, float]) -> None:
    pid, since = sleeper
    behind = Actors(ProcessObserver(), lambda: False, command_lines=True)
    assert named(behind, pid, since, []) == ""
