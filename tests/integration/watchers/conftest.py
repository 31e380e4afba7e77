"""Watching a real tree."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.watchers.tracking import Tracking
from whatchanged.collectors.files.mounts import barriers, parse_mountinfo
from whatchanged.errors import WatchError
from whatchanged.rules import FileRule, FileScope, FileType
from whatchanged.watchers.fanotify import FanotifyWatcher
from whatchanged.watchers.hints import Coverage, Executed, Hint, View, Watcher, views
from whatchanged.watchers.inotify import InotifyWatcher

SECONDS = 10.0


def views_of(scope: FileScope, root: bytes = b"/") -> list[View]:
    mounts = list(parse_mountinfo(Path("/proc/self/mountinfo").read_bytes()))
    barred = barriers(iter(mounts), b"/").keys()
    return views(mounts, barred, root, scope)


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[Tracking]:
    made = Tracking(tmp_path)
    yield made
    made.end()


class Bench:
    """A tree that a watcher watches as `/in/**`, and a folder beside it that nobody asks for."""

    def __init__(self, folder: Path, watcher: Watcher) -> None:
        self.root = folder
        self.inside = folder / "in"
        self.outside = folder / "out"
        self.inside.mkdir()
        self.outside.mkdir()
        self.watcher = watcher
        rule = FileRule(name="r", destination_path=b"/in/*", recurse=True, type=FileType.ANY)
        self.scope = FileScope([rule])

    def start(self) -> Coverage:
        return self.watcher.subscribe(self.scope, views_of(self.scope, os.fsencode(self.root)))

    def read(self) -> list[Hint | Executed]:
        """Everything that happened until now: the queue is emptied by one read after the other."""
        found = self.watcher.read()
        while not self.watcher.drained:
            found += self.watcher.read()
        return found

    def hints(self) -> list[Hint]:
        return [hint for hint in self.read() if isinstance(hint, Hint)]

    def paths(self) -> set[str]:
        return {os.fsdecode(hint.path) for hint in self.hints()}

    def until(self, wanted: Callable[[list[Hint]], bool]) -> list[Hint]:
        """Wait for hints, as the kernel gives them."""
        found: list[Hint] = []
        end = time.monotonic() + SECONDS
        poll = select.poll()
        poll.register(self.watcher.fileno(), select.POLLIN)
        while not wanted(found):
            assert time.monotonic() < end, found
            poll.poll(200)
            found += self.hints()
        return found


def fanotify(stop: threading.Event) -> Watcher:
    try:
        return FanotifyWatcher(stop=stop, executions=True)
    except WatchError as error:
        pytest.skip(str(error))


def inotify(stop: threading.Event) -> Watcher:
    return InotifyWatcher(stop=stop)


@pytest.fixture(params=[fanotify, inotify], ids=lambda made: made.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    watcher: Watcher = request.param(threading.Event())
    yield Bench(tmp_path, watcher)
    watcher.close()
