"""One walk over the files of a job: looks become observations, what is missing is looked for once more.

Removals are decided after the walk has completed, each by a look of its own; folders that could not be looked into
keep their items.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from whatchanged.collectors import Failure, Outcome, RunStatus
from whatchanged.collectors.files import (
    Budget,
    FileCollector,
    FolderLook,
    Looked,
    PathLooker,
)
from whatchanged.collectors.files.signature import inode, unread
from whatchanged.records.items import FileItem, Kind
from whatchanged.records.times import now_ns
from whatchanged.rules import FileRule, FileScope, Links, Policy
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.contents import LargeContents, limit_of
from whatchanged.tracker.observer import Observer, below_any, container, rules_of
from whatchanged.tracker.plan import FileJob, Plan, configuration_ids
from whatchanged.tracker.recorder import Recorder, Removal
from whatchanged.tracker.renames import Renames
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["Between", "FileMatch", "FileRun", "RehashSlice", "Seen"]


Between = Callable[[Callable[[], None]], Collection[bytes]]
"""Called again and again during a walk: it calls what it is given before it writes, and returns what it looked at."""


class Seen(Protocol):
    """Where a run counts what it sees, for `status`."""

    seen: int
    looked: int


class FileMatch:
    """Which rules of a plan take an item, and whether a walk would come to it."""

    def __init__(self, plan: Plan, policy: Policy, root: bytes, stop: threading.Event) -> None:
        self._scope = BoundedScope(plan.file_scope(), policy)
        self._looker = PathLooker(
            self._scope,
            root,
            stop=stop,
            excluded=policy.excluded,
        )
        self._folder = (b"", False)

    def __enter__(self) -> FileMatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._looker.close()

    def rules(self, item: FileItem) -> Sequence[FileRule]:
        """Return the rules that take `item`."""
        return rules_of(self._scope, item)

    def beyond(self, item: FileItem) -> bool:
        """Whether `item` is a link, or lies behind one, that the rules leave out."""
        folder, _, name = item.path.rpartition(b"/")
        if item.link_target is not None and self._scope.for_folder(folder or b"/").link_policy(name) is Links.IGNORE:
            return True
        if folder != self._folder[0]:  # items come folder by folder
            self._folder = (folder, self._looker.beyond_the_rules(folder or b"/"))
        return self._folder[1]


class FileRun:
    """One walk over the files of a job."""

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        plan: Plan,
        job: FileJob,
        recorder: Recorder,
        progress: Seen,
        stop: threading.Event,
        between: Between,
        budget: Budget,
        large: LargeContents | None = None,
    ) -> None:
        self._large = large
        self._state = state
        self._root = os.fsencode(settings.root)
        self._job = job
        whole = plan.file_scope()
        self._whole = BoundedScope(whole, policy)
        alone = len(plan.file_jobs) == 1
        self._scope = self._whole if alone else BoundedScope(FileScope(job.rules), policy, whole=whole)
        self._recorder = recorder
        self._progress = progress
        self._policy = policy
        self._stop = stop
        self._observer = Observer(state, plan, self._whole)
        self._between = between
        self._overtaken: set[bytes] = set()
        self._visited: set[bytes] = set()
        self._vanished: list[bytes] = []
        self._unmatched = set(job.rules)
        self._renames = Renames(state, lambda: self._looker(self._whole, content_limit=0))
        self._rehash = RehashSlice(state, job, settings.rehash_seconds)
        self._collector = FileCollector(
            self._scope,
            root=self._root,
            known=self,
            threads=settings.hash_threads,
            budget=budget,
            stop=stop,
            rehash=self._rehash,
            excluded=policy.excluded,
            content_limit=limit_of(large),
            aside=large,
        )
        self.awaited: list[bytes] = []
        """What was perhaps always there and is not known yet, because its content is still being read."""

    @property
    def matched(self) -> frozenset[FileRule]:
        """The rules of the job that took something."""
        return frozenset(self._job.rules) - self._unmatched

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Name → signature of what is known in a folder: the collector's `Known`."""
        return self._state.folder(container(folder))

    def run(self) -> Outcome:
        """Walk, then decide removals."""
        with self._renames:
            for look in self._collector.run():
                self._idle()
                self._take(look)
            outcome = self._collector.outcome
            if outcome.status in (RunStatus.OK, RunStatus.PARTIAL):
                self._decide_removals(outcome.closed)
                outcome = self._look_beyond(outcome)
        return outcome

    def _look_beyond(self, local: Outcome) -> Outcome:
        """Look at what the walk must not enter itself, if a system has a way to; return the outcome of all of it."""
        return local

    def _idle(self) -> None:
        self._overtaken.update(self._between(self._recorder.flush))

    # Removals

    def _take(self, seen: FolderLook) -> None:
        if seen.complete and not seen.denied:
            self._visited.add(container(seen.folder))
        if self._unmatched:
            self._note_matches(seen)
        self._progress.seen += len(seen.unchanged) + len(seen.looked) + len(seen.awaited)
        self._progress.looked += len(seen.looked)
        prefix = container(seen.folder)
        # Of these names alone: a large folder comes in many parts.
        paths = [looked.item.path for looked in seen.looked] + [prefix + name for name in seen.awaited]
        known = self._state.signatures(paths).get(prefix, {})
        for looked in seen.looked:
            self._observe(looked, known=looked.item.path[len(prefix) :] in known)
        for path in (prefix + name for name in seen.awaited if name not in known):
            if self._observer.enters(path, self._whole.match(path)):
                self.awaited.append(path)
        self._vanished += [prefix + name for name in seen.vanished]

    def _note_matches(self, seen: FolderLook) -> None:
        for looked in seen.looked:
            self._unmatched.difference_update(rules_of(self._scope, looked.item))
        if (seen.unchanged or seen.awaited) and self._unmatched:
            scope = self._scope.for_folder(seen.folder)
            for name in (*seen.unchanged, *seen.awaited):
                self._unmatched.difference_update(scope.matching(name))
                self._unmatched.difference_update(scope.matching(name, folder=True))

    def _observe(self, looked: Looked, *, known: bool) -> None:
        # A hint had it looked at while this walk was under way: that look was the later one.
        if looked.item.path not in self._overtaken:
            seen = self._observer.observe(looked)
            self._recorder.add((None if known else self._renames.of(seen)) or seen)

    def _decide_removals(self, closed: AbstractSet[bytes]) -> None:
        with self._looker(self._scope) as looker:
            for path in self._missing():
                if self._stop.is_set():
                    return
                if not below_any(path, closed):
                    self._decide(path, looker)

    def _looker(self, scope: BoundedScope, content_limit: int | None = None) -> PathLooker:
        return PathLooker(
            scope,
            self._root,
            excluded=self._policy.excluded,
            content_limit=limit_of(self._large) if content_limit is None else content_limit,
            aside=self._large,
            stop=self._stop,
        )

    def _missing(self) -> Iterator[bytes]:
        """Yield what is known and was not seen, in visited folders and in those that were not found."""
        yield from self._vanished
        yield from self._unvisited(b"/")

    def _unvisited(self, below: bytes) -> Iterator[bytes]:
        """Yield what is known in folders that were not found."""
        for place in self._state.containers(below):
            folder = place.rstrip(b"/") or b"/"
            if place in self._visited or not self._scope.descend(folder):
                continue
            for name in self._state.names(place):
                path = place + name
                if self._scope.match(path) or self._scope.match(path, folder=True):
                    yield path

    def _decide(self, path: bytes, looker: PathLooker) -> None:
        """Look once more: a listing that raced with a rename can miss a name that is there."""
        found = looker.look(path)
        if isinstance(found, Looked):
            self._observe_if_read(found)
        elif not isinstance(found, Failure) and not self._is_being_read(path):
            self._remove(path)

    def _observe_if_read(self, looked: Looked) -> None:
        if not unread(looked.signature):  # what is known of it is more than can be read now
            self._observe(looked, known=True)

    def _remove(self, path: bytes) -> None:
        rules = self._whole.match(path)
        self._recorder.add(Removal(Kind.FILES, path, configuration_id=configuration_ids(rules)))

    def _is_being_read(self, path: bytes) -> bool:
        """Whether what was at `path` may have been renamed, and is looked at when its content was read."""
        if self._large is None:
            return False
        known = self._state.known(Kind.FILES, path)
        return known is not None and self._large.holds(inode(known.signature), path)


class RehashSlice:
    """Which folders are read again although nothing seems to have moved: another slice each run.

    A change that leaves size and times as they were (through a mapping, with a clock set back, on the raw device) shows
    only in the content. As many runs as there are slices read every file once: `period` seconds, if each run begins
    on time; slower runs make it longer, and `done_ns` says what came of it.
    """

    def __init__(self, state: State, job: FileJob, period: float) -> None:
        self._state = state
        self._job = job.name
        self.count = max(int(period / job.frequency), 1)
        self.number = int(state.meta(f"rehash:{job.name}") or 0) % self.count

    def __call__(self, folder: bytes) -> bool:
        """Whether `folder` is in this run's slice."""
        return zlib.crc32(folder) % self.count == self.number

    @property
    def done_ns(self) -> int | None:
        """When every slice had been read again the last time, None if that never came about."""
        return int(self._state.meta(f"rehashed:{self._job}") or 0) or None

    def advance(self) -> None:
        """Move on to the next slice."""
        with self._state.transaction(limited=False) as change:
            change.set_meta(f"rehash:{self._job}", str((self.number + 1) % self.count))
            if self.number + 1 == self.count:
                change.set_meta(f"rehashed:{self._job}", str(now_ns()))
