"""A run: look at everything of one job, compare with the last state, record what differs, confirm.

The order is the promise's: looks are committed in bounded batches while the walk goes on; removals are decided
after it has completed, each by a look of its own; folders that could not be looked into keep their items.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import stat
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

import msgspec

from whatchanged.collectors import Failure, Outcome, RunStatus, Skipped, Snapshot
from whatchanged.collectors.files import FileCollector, FolderLook, Looked, PathLooker
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import DaemonItem, FileItem, Kind, SoftwareItem
from whatchanged.records.times import now_ns
from whatchanged.rules import FileScope, Policy
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.hinted import HintedLook, budget_of, closed_folders
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.observer import Observer, below_any, container
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.recorder import Observation, Recorder, Removal, confirm, request_resend, resend, resend_due
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["Progress", "Runner", "SnapshotCollector"]

_FAILURES_SHOWN = 5

Between = Callable[[Callable[[], None]], Collection[bytes]]


class SnapshotCollector(Protocol):
    """A collector whose kind is small enough to be looked at whole."""

    def run(self) -> Snapshot[SoftwareItem] | Snapshot[DaemonItem]:
        """Look."""


class Progress(msgspec.Struct, kw_only=True):
    """How a run fares, for `status`."""

    kind: str
    job: str
    started_ns: int
    seen: int = 0
    looked: int = 0
    changes: int = 0
    finished_ns: int | None = None
    duration_ms: int | None = None
    status: str = "Running"
    detail: str = ""
    touched: bool = False
    """Something was written to the state."""
    unsettled: bool = False
    """Something is in the middle of an operation and should be looked at again soon."""


class Runner:
    """Runs jobs against the state; one run of a kind at a time."""

    def __init__(self, state: State, settings: TrackerSettings, policy: Policy, stop: threading.Event) -> None:
        self._state = state
        self._settings = settings
        self._policy = policy
        self._stop = stop
        self._started: set[tuple[Kind, str]] = set()
        self.progress: dict[str, Progress] = {}

    # Files

    def run_files(self, plan: Plan, job: FileJob, between: Between = lambda _: ()) -> Progress:
        """Look at the files of a job. Raises StorageFull, OutboxFull.

        `between` is called again and again while the walk is under way, to look at what hints ask for. It calls what
        it is given before it writes anything (what the walk found earlier must not be written later), and returns the
        paths that it looked at.
        """
        run = self._begin(Kind.FILES, job.name)
        self._open_inventory(plan, Kind.FILES)
        previous = self._state.last_run(Kind.FILES, job.name)
        recorder = self._recorder(plan, Kind.FILES, job.name, previous)
        files = _FilesRun(self._state, self._settings, self._policy, plan, job, recorder, run, self._stop, between)
        outcome = files.run()
        recorder.flush()
        run.changes, run.touched = recorder.changes, recorder.touched
        if outcome.status is RunStatus.STOPPED:
            run.status = outcome.status.value
            return run
        scopes = frozenset(rule.identity() for rule in job.rules)
        self._complete(plan, Kind.FILES, job.name, run, outcome, scopes)
        _RehashSlice.advance(self._state, job)
        self._report_rules(job, files.matched)
        self._report_entries(Kind.FILES, recorder)
        return run

    def run_hints(self, plan: Plan, batch: Batch) -> HintedLook:
        """Look at what hints ask for. Raises StorageFull, OutboxFull."""
        run = self._begin(Kind.FILES, "watch")
        self._open_inventory(plan, Kind.FILES)
        runs = self._state.last_runs(Kind.FILES)
        recorder = Recorder(
            self._state,
            Kind.FILES,
            detected_by="Watch",
            previous_run_ns=min((runs[job.name] for job in plan.file_jobs if job.name in runs), default=None),
            inventory=plan.inventory,
        )
        look_ = HintedLook(self._state, self._settings, self._policy, plan, recorder, self._stop)
        look_.run(batch)
        recorder.flush()
        run.seen, run.looked, run.changes, run.touched = (
            len(look_.paths),
            look_.looked,
            recorder.changes,
            recorder.touched,
        )
        run.finished_ns = now_ns()
        run.duration_ms = (run.finished_ns - run.started_ns) // 1_000_000
        run.status = RunStatus.OK.value
        look_.touched = recorder.touched
        self._report_entries(Kind.FILES, recorder)
        return look_

    def settled(self, plan: Plan, kind: Kind) -> bool:
        """Whether every job of a kind has looked at least once since the tracker began."""
        jobs = [job.name for job in plan.file_jobs] if kind is Kind.FILES else [""]
        return all((kind, job) in self._started for job in jobs)

    # Kinds that are looked at whole

    def run_snapshot(
        self, plan: Plan, kind: Kind, collector: SnapshotCollector, *, detected_by: str = "Poll"
    ) -> Progress:
        """Look at all items of a kind. Raises StorageFull, OutboxFull."""
        schedule = plan.schedules[kind]
        run = self._begin(kind, "")
        self._open_inventory(plan, kind)
        previous = self._state.last_run(kind, "")
        recorder = self._recorder(plan, kind, "", previous, detected_by)
        snapshot = collector.run()
        entering = not self._state.baselines(kind)
        seen: set[bytes] = set()
        for item in snapshot.items:
            key = item.key()
            seen.add(key)
            if key not in snapshot.unsettled:
                recorder.add(
                    Observation(
                        item=item,
                        signature=b"",
                        rules=schedule.rule_names,
                        configuration_id=schedule.configuration_id,
                        entering=entering,
                    )
                )
        run.seen = run.looked = len(seen)
        complete = snapshot.outcome.status in (RunStatus.OK, RunStatus.PARTIAL)
        if complete:
            for key, _ in self._state.items(kind):
                if key not in seen and key not in snapshot.unsettled:
                    recorder.add(Removal(kind=kind, key=key, left_rules=False))
        recorder.flush()
        run.changes = recorder.changes
        run.touched, run.unsettled = recorder.touched, bool(snapshot.unsettled)
        if complete:
            self._complete(plan, kind, "", run, snapshot.outcome, frozenset({"all"}))
        else:
            self._report_outcome(kind, "", run, snapshot.outcome)
        self._report_entries(kind, recorder)
        return run

    # What leaves the rules

    def prune(self, plan: Plan, kind: Kind) -> None:
        """Let items of a kind go that no rule asks for any more: they leave the inventory without a change row.

        For the worker of that kind: nobody else writes its inventory.
        """
        if self._state.meta(f"pruned:{kind.value}") == plan.version:
            return
        scope = BoundedScope(plan.file_scope(), self._policy)
        recorder = self._recorder(plan, kind, "prune", None)
        wanted = kind in plan.kinds()
        for key, known in self._state.items(kind):
            if not wanted or (isinstance(known.item, FileItem) and not _taken(scope, known.item)):
                recorder.add(Removal(kind=kind, key=key, left_rules=True))
        recorder.flush()
        self._report_entries(kind, recorder)
        with self._state.transaction(limited=False) as change:
            if kind is Kind.FILES:
                for scope_id in self._state.baselines(kind) - {rule.identity() for rule in plan.file_rules}:
                    change.execute("DELETE FROM baselines WHERE kind = 'Files' AND scope = ?", (scope_id,))
                for job in set(self._state.last_runs(kind)) - {job.name for job in plan.file_jobs}:
                    for table in ("runs", "blind"):
                        change.execute(f"DELETE FROM {table} WHERE kind = 'Files' AND job = ?", (job,))  # noqa: S608
            elif not wanted:
                for table in ("baselines", "runs", "blind"):
                    change.execute(f"DELETE FROM {table} WHERE kind = ?", (kind.value,))  # noqa: S608
            change.set_meta(f"pruned:{kind.value}", plan.version)

    def confirm(self, plan: Plan, kind: Kind) -> None:
        """Confirm the inventory of a kind, if every job of it has looked at least once."""
        if not plan.inventory or resend_due(self._state, kind):
            return
        runs = self._state.last_runs(kind)
        jobs = [job.name for job in plan.file_jobs] if kind is Kind.FILES else [""]
        if all(job in runs for job in jobs):
            confirm(self._state, kind, time_ns=min(runs[job] for job in jobs), not_confirmed=self._state.blind(kind))

    def request_resend(self, plan: Plan, kind: Kind) -> int:
        """Let the next run of a kind send its inventory again; return how many items are known now."""
        if not plan.inventory or kind not in plan.kinds():
            return 0
        request_resend(self._state, kind)
        return self._state.inventory_count(kind)

    # Parts of a run

    def _begin(self, kind: Kind, job: str) -> Progress:
        run = Progress(kind=kind.value, job=job, started_ns=now_ns())
        self.progress[f"{kind.value}:{job}"] = run
        return run

    def _recorder(self, plan: Plan, kind: Kind, job: str, previous: int | None, detected_by: str = "Poll") -> Recorder:
        first = (kind, job) not in self._started
        return Recorder(
            self._state,
            kind,
            detected_by="Startup" if first else detected_by,
            previous_run_ns=previous,
            inventory=plan.inventory,
        )

    def _open_inventory(self, plan: Plan, kind: Kind) -> None:
        if not plan.inventory:
            if self._state.meta(f"snapshot:{kind.value}"):
                with self._state.transaction(limited=False) as change:
                    change.set_meta(f"snapshot:{kind.value}", "")
        elif resend_due(self._state, kind):
            resend(self._state, kind, plan.configuration_ids(kind))

    def _complete(
        self,
        plan: Plan,
        kind: Kind,
        job: str,
        run: Progress,
        outcome: Outcome,
        scopes: frozenset[str],
    ) -> None:
        with self._state.transaction(limited=False) as change:
            change.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (kind.value, job, run.started_ns))
            for scope in scopes:
                change.execute("INSERT OR IGNORE INTO baselines VALUES (?, ?)", (kind.value, scope))
            change.execute("DELETE FROM blind WHERE kind = ? AND job = ?", (kind.value, job))
            for folder in closed_folders(outcome):
                change.execute("INSERT OR IGNORE INTO blind VALUES (?, ?, ?)", (kind.value, job, folder))
        self._started.add((kind, job))
        self._report_outcome(kind, job, run, outcome)
        self.confirm(plan, kind)

    def _report_outcome(self, kind: Kind, job: str, run: Progress, outcome: Outcome) -> None:
        run.finished_ns = now_ns()
        run.duration_ms = (run.finished_ns - run.started_ns) // 1_000_000
        troubles: list[Failure | Skipped] = [*outcome.failures, *outcome.skipped]
        shown = "; ".join(f"{os.fsdecode(t.path)}: {t.reason}" for t in troubles[:_FAILURES_SHOWN])
        more = outcome.failures_total + len(outcome.skipped) - min(len(troubles), _FAILURES_SHOWN)
        run.detail = printable(f"{shown}; and {more} more" if more > 0 else shown)
        run.status = outcome.status.value
        self._state.report(
            HealthRecord(
                component=Component.TRACKER,
                status=_HEALTH[outcome.status],
                reason=HealthReason.COLLECTED,
                time_ns=run.finished_ns,
                kind=kind.value,
                detail=run.detail,
                items_seen=run.seen,
                items_failed=outcome.failures_total,
                duration_ms=run.duration_ms,
                window_start_ns=run.started_ns,
                window_end_ns=run.finished_ns,
            ),
            subject=f"run:{kind.value}:{job}",
        )

    def _report_rules(self, job: FileJob, matched: frozenset[str]) -> None:
        """Say which rules match nothing, and of those that did once that they match again."""
        said = self._state.said("rule:")
        for rule in job.rules:
            subject = f"rule:{rule.identity()}"
            found = rule.name in matched
            if found and subject not in said:
                continue
            self._state.report(
                HealthRecord(
                    component=Component.TRACKER,
                    status=HealthStatus.OK if found else HealthStatus.WARNING,
                    reason=HealthReason.COLLECTED if found else HealthReason.RULE_MATCHES_NOTHING,
                    time_ns=now_ns(),
                    kind=Kind.FILES.value,
                    rule_name=rule.name,
                    detail="" if found else f"nothing on this machine matches {rule}",
                ),
                subject=subject,
            )

    def _report_entries(self, kind: Kind, recorder: Recorder) -> None:
        for count, reason in ((recorder.entered, HealthReason.ITEMS_ENTERED), (recorder.left, HealthReason.ITEMS_LEFT)):
            if count:
                self._state.report(
                    HealthRecord(
                        component=Component.TRACKER,
                        status=HealthStatus.OK,
                        reason=reason,
                        time_ns=now_ns(),
                        kind=kind.value,
                        detail=f"{count} items {_ENTRY_WORDS[reason]}",
                        items_seen=count,
                    ),
                    subject=None,
                )


def _taken(scope: BoundedScope, item: FileItem) -> bool:
    return bool(scope.match(item.path, folder=stat.S_ISDIR(item.mode)))


_HEALTH = {
    RunStatus.OK: HealthStatus.OK,
    RunStatus.PARTIAL: HealthStatus.WARNING,
    RunStatus.FAILED: HealthStatus.ERROR,
    RunStatus.STOPPED: HealthStatus.WARNING,
}

_ENTRY_WORDS = {
    HealthReason.ITEMS_ENTERED: "came under the rules; they were there before, so they are no changes",
    HealthReason.ITEMS_LEFT: "are no longer asked for by any rule; they left the inventory",
}


class _FilesRun:
    """One walk over the files of a job."""

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        plan: Plan,
        job: FileJob,
        recorder: Recorder,
        progress: Progress,
        stop: threading.Event,
        between: Between,
    ) -> None:
        self._state = state
        self._root = os.fsencode(settings.root)
        self._job = job
        self._scope = BoundedScope(FileScope(job.rules), policy)
        self._recorder = recorder
        self._progress = progress
        self._network = policy.network_file_systems
        self._budget = budget_of(policy, stop)
        self._stop = stop
        full = plan.file_scope() if len(plan.file_jobs) > 1 else None
        self._observer = Observer(state, plan, [rule.name for rule in job.rules], full=full)
        self._between = between
        self._overtaken: set[bytes] = set()
        self._visited: set[bytes] = set()
        self._vanished: list[bytes] = []
        self._unmatched = {rule.name for rule in job.rules}
        self._collector = FileCollector(
            self._scope,
            root=self._root,
            known=self,
            threads=settings.hash_threads,
            budget=self._budget,
            stop=stop,
            rehash=_RehashSlice(state, job, settings.rehash_seconds),
            network_filesystems=self._network,
        )

    @property
    def matched(self) -> frozenset[str]:
        """Names of the rules that took something."""
        return frozenset(rule.name for rule in self._job.rules) - self._unmatched

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Name → signature of what is known in a folder: the collector's `Known`."""
        return self._state.folder(container(folder))

    def run(self) -> Outcome:
        """Walk, then decide removals."""
        for look_ in self._collector.run():
            self._overtaken.update(self._between(self._recorder.flush))
            self._take(look_)
        outcome = self._collector.outcome
        if outcome.status in (RunStatus.OK, RunStatus.PARTIAL):
            self._decide_removals(closed_folders(outcome))
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
            self._unmatched.difference_update(looked.rules)
        if seen.unchanged and self._unmatched:
            scope = self._scope.for_folder(seen.folder)
            for name in seen.unchanged:
                self._unmatched.difference_update(rule.name for rule in scope.matching(name))
                self._unmatched.difference_update(rule.name for rule in scope.matching(name, folder=True))

    def _observe(self, looked: Looked) -> None:
        # A hint had it looked at while this walk was under way: that look was the later one.
        if looked.item.path not in self._overtaken:
            self._recorder.add(self._observer.observe(looked))

    def _decide_removals(self, closed: tuple[bytes, ...]) -> None:
        with PathLooker(self._scope, self._root, network_filesystems=self._network, stop=self._stop) as looker:
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
            self._observe(found)
        elif not isinstance(found, Failure):
            self._recorder.add(Removal(kind=Kind.FILES, key=path, left_rules=False))


class _RehashSlice:
    """Which folders are read again although nothing seems to have moved: another slice each run.

    A change with forged size and times shows only in the content, so every file is read once in `period` seconds.
    """

    def __init__(self, state: State, job: FileJob, period: float) -> None:
        self._count = max(int(period / job.frequency), 1)
        self._number = int(state.meta(f"rehash:{job.name}") or 0) % self._count

    def __call__(self, folder: bytes) -> bool:
        return zlib.crc32(folder) % self._count == self._number

    @staticmethod
    def advance(state: State, job: FileJob) -> None:
        """Move on to the next slice."""
        with state.transaction(limited=False) as change:
            change.set_meta(f"rehash:{job.name}", str(int(state.meta(f"rehash:{job.name}") or 0) + 1))
