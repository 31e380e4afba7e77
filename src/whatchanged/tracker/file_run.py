"""One walk over the files of a job: looks become observations, what is missing is looked for once more.

Removals are decided after the walk has completed, each by a look of its own; folders that could not be looked into
keep their items.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from whatchanged.collectors import Failure, Outcome, RunStatus
from whatchanged.collectors.files import Budget, FileCollector, FolderLook, Looked, PathLooker, Pressure, Throttle
from whatchanged.collectors.files.signature import unread
from whatchanged.records.items import FileItem, Kind
from whatchanged.rules import FileRule, FileScope, Links, Policy
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.observer import Observer, below_any, configuration_ids, container, rule_names, rules_of
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.recorder import Recorder, Removal
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["Between", "FileMatch", "FileRun", "RehashSlice", "Seen", "budget_of", "closed_folders"]


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
            network_filesystems=policy.network_file_systems,
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

    names = staticmethod(rule_names)
    configuration_ids = staticmethod(configuration_ids)


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
    ) -> None:
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
        self._collector = FileCollector(
            self._scope,
            root=self._root,
            known=self,
            threads=settings.hash_threads,
            budget=budget_of(policy, stop),
            stop=stop,
            rehash=RehashSlice(state, job, settings.rehash_seconds),
            network_filesystems=policy.network_file_systems,
            excluded=policy.excluded,
        )

    @property
    def matched(self) -> frozenset[FileRule]:
        """The rules of the job that took something."""
        return frozenset(self._job.rules) - self._unmatched

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Name → signature of what is known in a folder: the collector's `Known`."""
        return self._state.folder(container(folder))

    def run(self) -> Outcome:
        """Walk, then decide removals."""
        for look in self._collector.run():
            self._overtaken.update(self._between(self._recorder.flush))
            self._take(look)
        outcome = self._collector.outcome
        if outcome.status in (RunStatus.OK, RunStatus.PARTIAL):
            self._decide_removals(frozenset(closed_folders(outcome)))
        return outcome

    def _take(self, seen: FolderLook) -> None:
        if seen.complete and not seen.denied:
            self._visited.add(container(seen.folder))
        if self._unmatched:
            self._note_matches(seen)
        self._progress.seen += len(seen.unchanged) + len(seen.looked)
        self._progress.looked += len(seen.looked)
        for looked in seen.looked:
            self._observe(looked)
        prefix = container(seen.folder)
        self._vanished += [prefix + name for name in seen.vanished]

    def _note_matches(self, seen: FolderLook) -> None:
        for looked in seen.looked:
            self._unmatched.difference_update(rules_of(self._scope, looked.item))
        if seen.unchanged and self._unmatched:
            scope = self._scope.for_folder(seen.folder)
            for name in seen.unchanged:
                self._unmatched.difference_update(scope.matching(name))
                self._unmatched.difference_update(scope.matching(name, folder=True))

    def _observe(self, looked: Looked) -> None:
        # A hint had it looked at while this walk was under way: that look was the later one.
        if looked.item.path not in self._overtaken:
            self._recorder.add(self._observer.observe(looked))

    def _decide_removals(self, closed: AbstractSet[bytes]) -> None:
        with PathLooker(
            self._scope,
            self._root,
            network_filesystems=self._policy.network_file_systems,
            excluded=self._policy.excluded,
            stop=self._stop,
        ) as looker:
            for path in self._missing():
                if self._stop.is_set():
                    return
                if not below_any(path, closed):
                    self._decide(path, looker)

    def _missing(self) -> Iterator[bytes]:
        """Yield what is known and was not seen, in visited folders and in those that were not found."""
        yield from self._vanished
        for place in self._state.containers():
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
            if not unread(found.signature):  # what is known of it is more than can be read now
                self._observe(found)
        elif not isinstance(found, Failure):
            rules = self._whole.match(path)
            self._recorder.add(Removal(Kind.FILES, path, configuration_id=configuration_ids(rules)))


class RehashSlice:
    """Which folders are read again although nothing seems to have moved: another slice each run.

    A change with forged size and times shows only in the content, so every file is read once in `period` seconds.
    """

    def __init__(self, state: State, job: FileJob, period: float) -> None:
        self._count = max(int(period / job.frequency), 1)
        self._number = int(state.meta(f"rehash:{job.name}") or 0) % self._count

    def __call__(self, folder: bytes) -> bool:
        """Whether `folder` is in this run's slice."""
        return zlib.crc32(folder) % self._count == self._number

    @staticmethod
    def advance(state: State, job: FileJob) -> None:
        """Move on to the next slice."""
        with state.transaction(limited=False) as change:
            change.set_meta(f"rehash:{job.name}", str(int(state.meta(f"rehash:{job.name}") or 0) + 1))


def budget_of(policy: Policy, stop: threading.Event) -> Budget:
    """Return the budget that the policy allows a run."""
    return Throttle(
        bytes_per_second=policy.bytes_per_second,
        core_share=policy.core_share,
        pressure=Pressure() if policy.pressure_aware else None,
        stop=stop,
    )


def closed_folders(outcome: Outcome) -> tuple[bytes, ...]:
    """Return the folders of which a run can say nothing."""
    return (*outcome.denied, *(skipped.path for skipped in outcome.skipped))
