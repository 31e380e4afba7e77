"""A run: look at everything of one job, compare with the last state, record what differs, confirm.

The order is the promise's: looks are committed in bounded batches while the walk goes on; removals are decided
after it has completed, each by a look of its own; folders that could not be looked into keep their items.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Protocol

import msgspec

from whatchanged.collectors import Failure, Outcome, RunStatus, Skipped, Snapshot
from whatchanged.collectors.files import Throttle
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import DaemonItem, FileItem, Kind, SoftwareItem
from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import FileRule, Policy
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_run import Between, FileMatch, FileRun, RehashSlice, budget_of, closed_folders
from whatchanged.tracker.hinted import Attribution, HintedLook
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.observer import configuration_ids, rule_names
from whatchanged.tracker.origins import Origins, source_of
from whatchanged.tracker.package_ties import PackageRows, PackageTies, end_operations
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.recorder import (
    Causes,
    Observation,
    Recorder,
    Removal,
    confirm,
    request_resend,
    resend,
    resend_due,
)
from whatchanged.tracker.remote_mounts import RemoteMounts
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import Known, State
from whatchanged.tracker.visits import Visited

__all__ = ["Progress", "Runner", "SnapshotCollector"]

_FAILURES_SHOWN = 5
_EVERYTHING = b"*"
"""Among what is hidden: a part of the machine of which nobody can say which items are in it."""


class SnapshotCollector(Protocol):
    """A collector whose kind is small enough to be looked at whole."""

    def run(self) -> Snapshot[SoftwareItem] | Snapshot[DaemonItem]:
        """Look."""


class _Nobody:
    """Names nobody."""

    def inquiry(self) -> None:
        return None

    def take(self, path: bytes, looked_ns: int) -> None:
        return None

    def visited(self, kind: Kind) -> Visited:
        return Visited()

    def settle(self, kind: Kind, before_ns: int, held: frozenset[bytes] = frozenset()) -> None:
        """Nobody came."""


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

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        stop: threading.Event,
        attribution: Attribution | None = None,
        remote: RemoteMounts | None = None,
        *,
        budget: Throttle | None = None,
        large: LargeContents | None = None,
    ) -> None:
        """`remote`: the network mounts. `attribution` says who touched a file of late; without it nobody is named.

        `budget` is of all looks together. `large` reads large contents aside; without it all is read on the way.
        """
        self._large = large
        self._attribution = attribution or _Nobody()
        self._ties = PackageTies(
            state, os.fsencode(settings.root), os.path.join(os.fsencode(settings.data.tracker_scratch), b"files")
        )
        self._remote = remote or RemoteMounts(settings, policy, state, stop)
        self._state = state
        self._settings = settings
        self._policy = policy
        self._stop = stop
        self._started: set[tuple[Kind, str]] = set()
        self._begun: dict[Kind, dict[bytes, float]] = {}
        """Since when an item is in the middle of an operation, by the monotonic clock."""
        self._walked: dict[str, int] = {}
        """When the last walk of a job of files began that was completed (monotonic clock, ns)."""
        self.settle_seconds = 60.0
        """How long to wait for its end."""
        self.progress: dict[str, Progress] = {}
        self.budget = budget or budget_of(policy, settings, stop)
        """One for every look at files, whatever led to it."""

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
        recorder = self._recorder(plan, Kind.FILES, job.name, previous, causes=self._file_causes(plan))
        files = FileRun(
            self._state,
            self._settings,
            self._policy,
            plan,
            job,
            recorder,
            run,
            self._stop,
            between,
            self.budget,
            self._remote,
            self._large,
        )
        began_ns = time.monotonic_ns()
        outcome = files.run()
        recorder.flush()
        run.changes, run.touched = recorder.changes, recorder.touched
        if Kind.SOFTWARE in plan.kinds():
            self._ties.prime()
        if outcome.status is RunStatus.STOPPED:
            run.status = outcome.status.value
            return run
        if outcome.status is not RunStatus.FAILED:
            self._walked[job.name] = began_ns
            oldest_ns = min((self._walked.get(j.name, 0) for j in plan.file_jobs), default=0)
            self._attribution.settle(Kind.FILES, oldest_ns)
        scopes = frozenset(rule.identity() for rule in job.rules)
        self._complete(plan, Kind.FILES, job.name, run, outcome, scopes, blind=files.awaited)
        self._state.index_inodes()
        RehashSlice(self._state, job, self._settings.rehash_seconds).advance()
        self._report_rules(job, files.matched)
        self._report_entries(Kind.FILES, recorder)
        return run

    def rehash(self, plan: Plan) -> list[dict[str, str | int | float | None]]:
        """Return how the reading of every content goes, job by job, for `status`."""
        slices = [(job, RehashSlice(self._state, job, self._settings.rehash_seconds)) for job in plan.file_jobs]
        return [
            {
                "job": job.name,
                "seconds": max(self._settings.rehash_seconds, job.frequency),
                "slice": part.number,
                "slices": part.count,
                "done": None if part.done_ns is None else time_text(part.done_ns),
            }
            for job, part in slices
        ]

    def run_hints(self, plan: Plan, batch: Batch) -> HintedLook:
        """Look at what hints ask for. Raises StorageFull, OutboxFull."""
        run = self._begin(Kind.FILES, "watch")
        self._open_inventory(plan, Kind.FILES)
        runs = self._state.last_runs(Kind.FILES)
        causes = self._file_causes(plan)
        recorder = Recorder(
            self._state,
            Kind.FILES,
            detected_by="Watch",
            previous_run_ns=min((runs[job.name] for job in plan.file_jobs if job.name in runs), default=None),
            inventory=plan.inventory,
            causes=causes,
        )
        look_ = HintedLook(
            self._state,
            self._settings,
            self._policy,
            plan,
            recorder,
            self._stop,
            self._attribution,
            self.budget,
            self._large,
        )
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
        look_.packages_at_work = causes is not None and causes.busy
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
        began_ns, looked_ns = now_ns(), time.monotonic_ns()
        snapshot = collector.run()
        ended_ns = now_ns()
        if snapshot.outcome.status is RunStatus.STOPPED:  # the machine itself is starting or stopping
            run.status, run.unsettled = RunStatus.STOPPED.value, True
            return run
        causes = PackageRows(ended_ns) if kind is Kind.SOFTWARE else None
        recorder = self._recorder(plan, kind, "", previous, detected_by, causes)
        baselines = self._state.baselines(kind)
        hidden = frozenset(self._state.blind(kind))
        unsettled = self._unsettled(kind, snapshot)
        origins = Origins(self._attribution, kind, snapshot, partial(self._state.known_among, kind))
        seen: set[bytes] = set()
        for item in snapshot.items:
            key = item.key()
            seen.add(key)
            if key not in unsettled:
                recorder.add(
                    Observation(
                        item=item,
                        signature=b"",
                        rules=schedule.rule_names,
                        configuration_id=schedule.configuration_id,
                        entering=_part(kind, key, snapshot) not in baselines
                        or not hidden.isdisjoint((key, _EVERYTHING)),
                        actor=origins.of(key),
                    )
                )
        run.seen = run.looked = len(seen)
        complete = snapshot.outcome.status in (RunStatus.OK, RunStatus.PARTIAL)
        unseen: set[bytes] = set()
        if complete:
            known = {key for key, _ in self._state.items(kind)}
            unseen = {key for key in unsettled - known if _part(kind, key, snapshot) not in baselines or key in hidden}
            gone = {key for key in known - seen - unsettled if not _is_kept(key, snapshot.kept)}
            if snapshot.outcome.denied and not snapshot.kept:
                unseen |= gone | {_EVERYTHING}
            else:
                for key in sorted(gone):
                    recorder.add(Removal(kind, key, configuration_id=schedule.configuration_id, actor=origins.of(key)))
        recorder.flush()
        run.changes = recorder.changes
        run.touched, run.unsettled = recorder.touched, snapshot.soon or bool(unsettled)
        if complete and kind is Kind.SOFTWARE:
            end_operations(self._state, snapshot, began_ns, ended_ns)
        if complete:
            self._complete(plan, kind, "", run, snapshot.outcome, snapshot.scopes, blind=unseen)
            self._settle(kind, looked_ns, unsettled, snapshot.kept)
        else:
            self._report_outcome(kind, "", run, snapshot.outcome)
        self._report_entries(kind, recorder)
        return run

    def _settle(self, kind: Kind, began_ns: int, unsettled: Iterable[bytes], kept: Iterable[bytes]) -> None:
        """Let go of who came before a look, unless something that he did may not be told before the next one."""
        held = {source_of(key) for key in (*unsettled, *kept)}
        if kind is Kind.SOFTWARE or not held:
            self._attribution.settle(kind, began_ns, frozenset(held))

    def _unsettled(self, kind: Kind, snapshot: Snapshot[SoftwareItem] | Snapshot[DaemonItem]) -> frozenset[bytes]:
        """Return the keys of which nothing is taken over now: what is in the middle of an operation will soon end it.

        What does not (a service that crashes and starts in a loop) is what it is, after a while.
        """
        now = time.monotonic()
        begun = self._begun.get(kind, {})
        begun = self._begun[kind] = {key: begun.get(key, now) for key in snapshot.unsettled}
        present = {item.key() for item in snapshot.items}
        return frozenset(
            key for key, since in begun.items() if key not in present or now - since <= self.settle_seconds
        )

    # What leaves the rules

    def prune(self, plan: Plan, kind: Kind) -> bool:
        """Bring what is known of a kind under the rules (and the policy) in force; return whether anything changed.

        Items that no rule asks for any more leave the inventory without a change row; the others learn the names of
        their rules. For the worker of that kind: nobody else writes its inventory.
        """
        version = f"{plan.version}:{self._policy.version()}"
        if self._state.meta(f"pruned:{kind.value}") == version:
            return False
        opened = self._state.meta(f"snapshot:{kind.value}") == self._state.epoch
        recorder = Recorder(
            self._state, kind, detected_by="Poll", previous_run_ns=None, inventory=plan.inventory or opened
        )
        if kind is Kind.FILES:
            self._prune_files(plan, recorder)
        elif kind not in plan.kinds():
            for key, _ in self._state.items(kind):
                recorder.add(Removal(kind, key, left_rules=True))
        recorder.flush()
        self._report_entries(kind, recorder)
        with self._state.transaction(limited=False) as change:
            if kind is Kind.FILES:
                for scope_id in self._state.baselines(kind) - {rule.identity() for rule in plan.file_rules}:
                    change.execute("DELETE FROM baselines WHERE kind = 'Files' AND scope = ?", (scope_id,))
                for job in set(self._state.last_runs(kind)) - {job.name for job in plan.file_jobs}:
                    for table in ("runs", "blind"):
                        change.execute(f"DELETE FROM {table} WHERE kind = 'Files' AND job = ?", (job,))  # noqa: S608
            elif kind not in plan.kinds():
                for table in ("baselines", "runs", "blind"):
                    change.execute(f"DELETE FROM {table} WHERE kind = ?", (kind.value,))  # noqa: S608
            change.set_meta(f"pruned:{kind.value}", version)
        return recorder.touched

    def _prune_files(self, plan: Plan, recorder: Recorder) -> None:
        with FileMatch(plan, self._policy, os.fsencode(self._settings.root), self._stop) as match:
            for key, known in self._state.items(Kind.FILES):
                if not isinstance(known.item, FileItem):
                    continue
                rules = match.rules(known.item)
                if not rules or match.beyond(known.item):
                    recorder.add(Removal(Kind.FILES, key, left_rules=True))
                elif rule_names(rules) != known.rules:
                    recorder.add(
                        Observation(
                            item=known.item,
                            signature=known.signature,
                            rules=rule_names(rules),
                            configuration_id=configuration_ids(rules),
                            entering=True,
                        )
                    )

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

    def _file_causes(self, plan: Plan) -> PackageTies | None:
        return self._ties if Kind.SOFTWARE in plan.kinds() else None

    def _recorder(
        self,
        plan: Plan,
        kind: Kind,
        job: str,
        previous: int | None,
        detected_by: str = "Poll",
        causes: Causes | None = None,
    ) -> Recorder:
        # A job that a new rule brings to a running tracker found nothing that happened while it was off.
        startup = (kind, job) not in self._started and (previous is not None or not self._has_started(kind))
        return Recorder(
            self._state,
            kind,
            detected_by="Startup" if startup else detected_by,
            previous_run_ns=previous,
            inventory=plan.inventory,
            causes=causes,
        )

    def _has_started(self, kind: Kind) -> bool:
        return any(started is kind for started, _ in tuple(self._started))

    def _open_inventory(self, plan: Plan, kind: Kind) -> None:
        if not plan.inventory:
            if self._state.meta(f"snapshot:{kind.value}"):
                with self._state.transaction(limited=False) as change:
                    change.set_meta(f"snapshot:{kind.value}", "")
        elif resend_due(self._state, kind):
            self._resend(plan, kind)

    def _resend(self, plan: Plan, kind: Kind) -> None:
        if kind is not Kind.FILES:
            schedule = plan.schedules[kind]
            resend(self._state, kind, lambda _: schedule.configuration_id)
            return
        with FileMatch(plan, self._policy, os.fsencode(self._settings.root), self._stop) as match:

            def configuration_of(known: Known) -> str:
                return configuration_ids(match.rules(known.item)) if isinstance(known.item, FileItem) else ""

            resend(self._state, kind, configuration_of)

    def _complete(
        self,
        plan: Plan,
        kind: Kind,
        job: str,
        run: Progress,
        outcome: Outcome,
        scopes: frozenset[str],
        *,
        blind: Iterable[bytes] = (),
    ) -> None:
        with self._state.transaction(limited=False) as change:
            change.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (kind.value, job, run.started_ns))
            for scope in scopes:
                change.execute("INSERT OR IGNORE INTO baselines VALUES (?, ?)", (kind.value, scope))
            change.execute("DELETE FROM blind WHERE kind = ? AND job = ?", (kind.value, job))
            for folder in (*closed_folders(outcome), *blind):
                change.execute("INSERT OR IGNORE INTO blind VALUES (?, ?, ?)", (kind.value, job, folder))
        self._started.add((kind, job))
        self._report_outcome(kind, job, run, outcome)
        self.confirm(plan, kind)

    def _report_outcome(self, kind: Kind, job: str, run: Progress, outcome: Outcome) -> None:
        run.finished_ns = now_ns()
        run.duration_ms = max(run.finished_ns - run.started_ns, 0) // 1_000_000  # the clock may be set back
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

    def _report_rules(self, job: FileJob, matched: frozenset[FileRule]) -> None:
        """Say which rules match nothing, and of those that did once that they match again."""
        said = self._state.said("rule:")
        for rule in job.rules:
            subject = f"rule:{rule.identity()}"
            found = rule in matched
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


def _part(kind: Kind, key: bytes, snapshot: Snapshot[SoftwareItem] | Snapshot[DaemonItem]) -> str:
    """Return the part of a kind that is looked at whole: of software its source, with which the key begins."""
    if kind is not Kind.SOFTWARE or "all" in snapshot.scopes:
        return "all"
    return key.partition(b"\0")[0].partition(b"/")[0].decode()


def _is_kept(key: bytes, kept: tuple[bytes, ...]) -> bool:
    return any(key == begin or key.startswith((begin + b"/", begin + b"\0")) for begin in kept)


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
