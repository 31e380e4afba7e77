"""Runs of files, beside what `runner` looks at.

Looks are committed in bounded batches while the walk goes on; removals are decided after it has completed, each by a
look of its own; folders that could not be looked into keep their items.
"""

from __future__ import annotations

import os
import threading
import time

from whatchanged.collectors import RunStatus
from whatchanged.collectors.files.budget import Throttle
from whatchanged.records.items import FileItem, Kind
from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import Policy
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_run import Between, FileMatch, FileRun, RehashSlice
from whatchanged.tracker.hinted import HintedLook
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.plan import FileJob, Plan, configuration_ids
from whatchanged.tracker.recorder import Causes, Recorder, resend
from whatchanged.tracker.runner import Progress, Runner
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import Known, State
from whatchanged.tracker.touches import Attribution, Nobody

__all__ = ["FileRunner"]


class FileRunner(Runner):
    """Runs jobs of files too."""

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        stop: threading.Event,
        attribution: Attribution | None = None,
        *,
        budget: Throttle | None = None,
        large: LargeContents | None = None,
    ) -> None:
        """`attribution` says who touched a file of late; without it nobody is named.

        `budget` is of all looks together. `large` reads large contents aside; without it all is read on the way.
        """
        super().__init__(state, settings, policy, stop, budget=budget)
        self._attribution = attribution or Nobody()
        self._large = large
        self._walked: dict[str, int] = {}
        """When the last walk of a job of files began that was completed (monotonic clock, ns)."""

    def run_files(self, plan: Plan, job: FileJob, between: Between = lambda _: ()) -> Progress:
        """Look at the files of a job. Raises StorageFull, OutboxFull.

        `between` is called again and again while the walk is under way, to look at what hints ask for. It calls what
        it is given before it writes anything (what the walk found earlier must not be written later), and returns the
        paths that it looked at.
        """
        run = self._begin(Kind.FILES, job.name)
        self._open_inventory(plan, Kind.FILES)
        previous = self._state.last_run(Kind.FILES, job.name)
        recorder = self._recorder(plan, Kind.FILES, job.name, previous, causes=self._causes_of_files(plan))
        files = self._file_run(plan, job, recorder, run, between)
        began_ns = time.monotonic_ns()
        outcome = files.run()
        recorder.flush()
        run.changes, run.touched = recorder.changes, recorder.touched
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
        self._report_rules(Kind.FILES, job.rules, files.matched)
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
        recorder = Recorder(
            self._state,
            Kind.FILES,
            detected_by="Watch",
            previous_run_ns=min((runs[job.name] for job in plan.file_jobs if job.name in runs), default=None),
            inventory=plan.inventory,
            causes=self._causes_of_files(plan),
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
        self._report_entries(Kind.FILES, recorder)
        return look_

    # Of a system that says more of a change than what it is: `linux_runner`

    def _file_run(self, plan: Plan, job: FileJob, recorder: Recorder, run: Progress, between: Between) -> FileRun:
        return FileRun(
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
            self._large,
        )

    def _causes_of_files(self, plan: Plan) -> Causes | None:
        """Return what says which changes of files have a cause in common."""
        return None

    # Parts of a run

    def _prune_by_rules(self, plan: Plan, kind: Kind, recorder: Recorder) -> None:
        if kind is not Kind.FILES:
            super()._prune_by_rules(plan, kind, recorder)
            return
        with FileMatch(plan, self._policy, os.fsencode(self._settings.root), self._stop) as match:
            for key, known in self._state.items(Kind.FILES):
                if not isinstance(known.item, FileItem):
                    continue
                rules = match.rules(known.item)
                self._put_under(recorder, kind, key, known, () if rules and match.beyond(known.item) else rules)

    def _resend(self, plan: Plan, kind: Kind) -> None:
        if kind is not Kind.FILES:
            super()._resend(plan, kind)
            return
        with FileMatch(plan, self._policy, os.fsencode(self._settings.root), self._stop) as match:

            def configuration_of(known: Known) -> str:
                return configuration_ids(match.rules(known.item)) if isinstance(known.item, FileItem) else ""

            resend(self._state, kind, configuration_of)
