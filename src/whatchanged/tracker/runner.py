"""A run: look at everything of one job, compare with the last state, record what differs, confirm.

Here is what holds for every system: kinds that are looked at whole, and the registry. `file_runner` adds the files.
The order is the promise's: looks are committed in bounded batches; removals are decided after everything was seen;
what could not be looked into keeps its items.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from whatchanged.collectors import Failure, Outcome, RunStatus, Skipped, Snapshot
from whatchanged.collectors.files.budget import Throttle
from whatchanged.collectors.registry import RegistrySource
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import DaemonItem, Kind, ServiceItem, SoftwareItem
from whatchanged.records.times import now_ns
from whatchanged.records.windows_paths import path_text
from whatchanged.rules import FileRule, Policy, RegistryRule
from whatchanged.tracker.plan import Plan, RegistryJob, configuration_ids, rule_names
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
from whatchanged.tracker.registry_run import RegistryMatch, RegistryRun
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import Known, State
from whatchanged.tracker.visits import Columns

__all__ = ["Progress", "Runner", "SnapshotCollector", "WholeSnapshot"]

_FAILURES_SHOWN = 5
_EVERYTHING = b"*"
"""Among what is hidden: a part of the machine of which nobody can say which items are in it."""


WholeSnapshot = Snapshot[SoftwareItem] | Snapshot[DaemonItem] | Snapshot[ServiceItem]


class SnapshotCollector(Protocol):
    """A collector whose kind is small enough to be looked at whole."""

    def run(self) -> WholeSnapshot:
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

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        stop: threading.Event,
        *,
        budget: Throttle | None = None,
    ) -> None:
        """`budget` is of all looks together."""
        self._state = state
        self._settings = settings
        self._policy = policy
        self._stop = stop
        self._started: set[tuple[Kind, str]] = set()
        self._begun: dict[Kind, dict[bytes, float]] = {}
        """Since when an item is in the middle of an operation, by the monotonic clock."""
        self.settle_seconds = 60.0
        """How long to wait for its end."""
        self.progress: dict[str, Progress] = {}
        self.budget = budget or settings.budget(policy, stop)
        """One for every look, whatever led to it."""

    def settled(self, plan: Plan, kind: Kind) -> bool:
        """Whether every job of a kind has looked at least once since the tracker began."""
        return all((kind, job) in self._started for job in plan.jobs(kind))

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
        recorder = self._recorder(plan, kind, "", previous, detected_by, self._causes(kind, ended_ns))
        baselines = self._state.baselines(kind)
        hidden = frozenset(self._state.blind(kind))
        unsettled = self._unsettled(kind, snapshot)
        actor = self._actor(kind, snapshot)
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
                        actor=actor(key),
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
                    recorder.add(Removal(kind, key, configuration_id=schedule.configuration_id, actor=actor(key)))
        recorder.flush()
        run.changes = recorder.changes
        run.touched, run.unsettled = recorder.touched, snapshot.soon or bool(unsettled)
        if complete:
            self._end_operations(kind, snapshot, began_ns, ended_ns)
            self._complete(plan, kind, "", run, snapshot.outcome, snapshot.scopes, blind=unseen)
            self._settle(kind, looked_ns, frozenset((*unsettled, *snapshot.kept)))
        else:
            self._report_outcome(kind, "", run, snapshot.outcome)
        self._report_entries(kind, recorder)
        return run

    # Of a system that says more of a change than what it is: `file_runner`

    def _causes(self, kind: Kind, at_ns: int) -> Causes | None:
        """Return what says which changes of a look that ended at `at_ns` have a cause in common."""
        return None

    def _actor(self, kind: Kind, snapshot: WholeSnapshot) -> Callable[[bytes], Columns]:
        """Return what says of an item's key who changed it, as columns of ConfigurationChange."""
        return lambda key: {}

    def _end_operations(self, kind: Kind, snapshot: WholeSnapshot, began_ns: int, ended_ns: int) -> None:
        """Note that the operations which a completed look found are over."""

    def _settle(self, kind: Kind, began_ns: int, held: frozenset[bytes]) -> None:
        """Let go of who came before a look (monotonic clock, ns), unless what he did to `held` is yet to be told."""

    def _unsettled(self, kind: Kind, snapshot: WholeSnapshot) -> frozenset[bytes]:
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

    # The registry

    def run_registry(
        self, plan: Plan, job: RegistryJob, source: RegistrySource, *, detected_by: str = "Poll"
    ) -> Progress:
        """Look at the values that the rules of a job take. Raises StorageFull, OutboxFull."""
        kind = Kind.REGISTRY
        run = self._begin(kind, job.name)
        recorder = self._recorder(plan, kind, job.name, self._state.last_run(kind, job.name), detected_by)
        look = RegistryRun(self._state, plan, job, source, recorder, self._stop, self.budget)
        outcome = look.run(run)
        recorder.flush()
        run.changes, run.touched = recorder.changes, recorder.touched
        if outcome.status is RunStatus.STOPPED:
            run.status = outcome.status.value
            return run
        if outcome.status is RunStatus.FAILED:
            self._report_outcome(kind, job.name, run, outcome)
            return run
        self._complete(plan, kind, job.name, run, outcome, frozenset(rule.identity() for rule in job.rules))
        self._report_rules(kind, job.rules, look.matched)
        self._report_entries(kind, recorder)
        return run

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
        inventory = plan.inventoried(kind) or opened
        recorder = Recorder(self._state, kind, detected_by="Poll", previous_run_ns=None, inventory=inventory)
        rules = plan.rules(kind)
        if rules is not None:
            self._prune_by_rules(plan, kind, recorder)
        elif kind not in plan.kinds():
            for key, _ in self._state.items(kind):
                recorder.add(Removal(kind, key, left_rules=True))
        recorder.flush()
        self._report_entries(kind, recorder)
        with self._state.transaction(limited=False) as change:
            if rules is not None:
                for scope_id in self._state.baselines(kind) - {rule.identity() for rule in rules}:
                    change.execute("DELETE FROM baselines WHERE kind = ? AND scope = ?", (kind.value, scope_id))
                for job in set(self._state.last_runs(kind)) - set(plan.jobs(kind)):
                    for table in ("runs", "blind"):
                        change.execute(f"DELETE FROM {table} WHERE kind = ? AND job = ?", (kind.value, job))  # noqa: S608
            elif kind not in plan.kinds():
                for table in ("baselines", "runs", "blind"):
                    change.execute(f"DELETE FROM {table} WHERE kind = ?", (kind.value,))  # noqa: S608
            change.set_meta(f"pruned:{kind.value}", version)
        return recorder.touched

    def _prune_by_rules(self, plan: Plan, kind: Kind, recorder: Recorder) -> None:
        match = RegistryMatch(plan.registry)
        for key, known in self._state.items(kind):
            self._put_under(recorder, kind, key, known, match.takers(known.item))

    def _put_under(
        self, recorder: Recorder, kind: Kind, key: bytes, known: Known, rules: Sequence[FileRule | RegistryRule]
    ) -> None:
        """Let an item leave the rules if none takes it, or learn the names of those that do."""
        if not rules:
            recorder.add(Removal(kind, key, left_rules=True))
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
        if not plan.inventoried(kind) or resend_due(self._state, kind):
            return
        runs = self._state.last_runs(kind)
        jobs = plan.jobs(kind)
        if all(job in runs for job in jobs):
            confirm(self._state, kind, time_ns=min(runs[job] for job in jobs), not_confirmed=self._state.blind(kind))

    def request_resend(self, plan: Plan, kind: Kind) -> int:
        """Let the next run of a kind send its inventory again; return how many items are known now."""
        if not plan.inventoried(kind) or kind not in plan.kinds():
            return 0
        request_resend(self._state, kind)
        return self._state.inventory_count(kind)

    # Parts of a run

    def _begin(self, kind: Kind, job: str) -> Progress:
        run = Progress(kind=kind.value, job=job, started_ns=now_ns())
        self.progress[f"{kind.value}:{job}"] = run
        return run

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
            inventory=plan.inventoried(kind),
            causes=causes,
        )

    def _has_started(self, kind: Kind) -> bool:
        return any(started is kind for started, _ in tuple(self._started))

    def _open_inventory(self, plan: Plan, kind: Kind) -> None:
        if not plan.inventoried(kind):
            if self._state.meta(f"snapshot:{kind.value}"):
                with self._state.transaction(limited=False) as change:
                    change.set_meta(f"snapshot:{kind.value}", "")
        elif resend_due(self._state, kind):
            self._resend(plan, kind)

    def _resend(self, plan: Plan, kind: Kind) -> None:
        schedule = plan.schedules[kind]
        resend(self._state, kind, lambda _: schedule.configuration_id)

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
            for folder in (*outcome.closed, *blind):
                change.execute("INSERT OR IGNORE INTO blind VALUES (?, ?, ?)", (kind.value, job, folder))
        self._started.add((kind, job))
        self._report_outcome(kind, job, run, outcome)
        self.confirm(plan, kind)

    def _report_outcome(self, kind: Kind, job: str, run: Progress, outcome: Outcome) -> None:
        run.finished_ns = now_ns()
        run.duration_ms = max(run.finished_ns - run.started_ns, 0) // 1_000_000  # the clock may be set back
        troubles: list[Failure | Skipped] = [*outcome.failures, *outcome.skipped]
        shown = "; ".join(f"{_shown(t.path)}: {t.reason}" for t in troubles[:_FAILURES_SHOWN])
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

    def _report_rules(
        self, kind: Kind, rules: Iterable[FileRule | RegistryRule], matched: frozenset[FileRule | RegistryRule]
    ) -> None:
        """Say which rules match nothing, and of those that did once that they match again."""
        said = self._state.said("rule:")
        for rule in rules:
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
                    kind=kind.value,
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


def _shown(path: bytes) -> str:
    """Return a path, or a key of the registry whose name holds NUL, as far as it is text."""
    try:
        return path_text(path)
    except UnicodeDecodeError:
        return path.decode("utf-8", "backslashreplace")


def _part(kind: Kind, key: bytes, snapshot: WholeSnapshot) -> str:
    """Return the part of a kind that is looked at whole: of software its source, with which the key begins.

    The programs of each user of a Windows are a part of their own (`uninstall/<SID>`).
    """
    if kind is not Kind.SOFTWARE or "all" in snapshot.scopes:
        return "all"
    source, _, rest = key.partition(b"\0")[0].decode(errors="replace").partition("/")
    part = f"{source}/{rest.partition('/')[0]}"
    return part if part in snapshot.scopes else source


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
