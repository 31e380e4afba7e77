"""Runs on Linux: who made a change, which package brought it, and what lies on network file systems."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
from collections.abc import Callable
from functools import partial

from whatchanged.collectors.files.budget import Throttle
from whatchanged.records.items import Kind
from whatchanged.rules import Policy
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_run import Between
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.hinted import HintedLook
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.network_run import NetworkRun
from whatchanged.tracker.origins import Origins, source_of
from whatchanged.tracker.package_ties import PackageRows, PackageTies, end_operations
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.recorder import Causes, Recorder
from whatchanged.tracker.remote_mounts import RemoteMounts
from whatchanged.tracker.runner import Progress, WholeSnapshot
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.touches import Attribution
from whatchanged.tracker.visits import Columns

__all__ = ["LinuxRunner"]


class LinuxRunner(FileRunner):
    """Runs jobs on Linux."""

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
        """As FileRunner; `remote`: the network mounts."""
        super().__init__(state, settings, policy, stop, attribution, budget=budget, large=large)
        self._ties = PackageTies(
            state, os.fsencode(settings.root), os.path.join(os.fsencode(settings.data.tracker_scratch), b"files")
        )
        self._remote = remote or RemoteMounts(settings, policy, state, stop)

    def run_files(self, plan: Plan, job: FileJob, between: Between = lambda _: ()) -> Progress:
        """Look at the files of a job. Raises StorageFull, OutboxFull."""
        run = super().run_files(plan, job, between)
        if Kind.SOFTWARE in plan.kinds():
            self._ties.prime()
        return run

    def run_hints(self, plan: Plan, batch: Batch) -> HintedLook:
        """Look at what hints ask for. Raises StorageFull, OutboxFull."""
        found = super().run_hints(plan, batch)
        found.packages_at_work = Kind.SOFTWARE in plan.kinds() and self._ties.busy
        return found

    def _file_run(self, plan: Plan, job: FileJob, recorder: Recorder, run: Progress, between: Between) -> NetworkRun:
        return NetworkRun(
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
            self._remote,
        )

    def _causes_of_files(self, plan: Plan) -> Causes | None:
        return self._ties if Kind.SOFTWARE in plan.kinds() else None

    def _causes(self, kind: Kind, at_ns: int) -> Causes | None:
        return PackageRows(at_ns) if kind is Kind.SOFTWARE else None

    def _actor(self, kind: Kind, snapshot: WholeSnapshot) -> Callable[[bytes], Columns]:
        return Origins(self._attribution, kind, snapshot, partial(self._state.known_among, kind)).of

    def _end_operations(self, kind: Kind, snapshot: WholeSnapshot, began_ns: int, ended_ns: int) -> None:
        if kind is Kind.SOFTWARE:
            end_operations(self._state, snapshot, began_ns, ended_ns)

    def _settle(self, kind: Kind, began_ns: int, held: frozenset[bytes]) -> None:
        subjects = frozenset(source_of(key) for key in held)
        if kind is Kind.SOFTWARE or not subjects:
            self._attribution.settle(kind, began_ns, subjects)
