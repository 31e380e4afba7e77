"""The tracker on Linux: files, packages and daemons, and everything that watches them."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whatchanged.collectors.services import SystemdCollector
from whatchanged.collectors.software import SoftwareCollector
from whatchanged.errors import SettingsError
from whatchanged.records.items import Kind
from whatchanged.records.times import time_text
from whatchanged.rules import Variables
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.coverage import FileCoverage
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.hint_work import FileHints
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.preview import preview
from whatchanged.tracker.remote_mounts import RemoteMounts
from whatchanged.tracker.runner import Progress, SnapshotCollector
from whatchanged.tracker.scheduler import Hinted
from whatchanged.tracker.tracking import Tracking
from whatchanged.tracker.unit_signals import UnitSignals
from whatchanged.tracker.watching import Watching
from whatchanged.tracker.why import explain
from whatchanged.watchers.hints import Coverage, Hint
from whatchanged.watchers.systemd import SystemdBus

__all__ = ["LinuxTracking"]

_RULES_TOLD = 1000
"""Rules that `status` tells of."""


class LinuxTracking(Tracking):
    """Tracks a Linux."""

    kinds = {"files": Kind.FILES, "software": Kind.SOFTWARE, "daemons": Kind.DAEMONS, "services": Kind.DAEMONS}  # noqa: RUF012
    source_system = "Linux"

    def _make(self) -> FileRunner:
        settings, stop = self._settings, self._stop
        self._watching = Watching(settings, self._policy, self._state, stop, self._hint)
        self._remote = RemoteMounts(settings, self._policy, self._state, stop)
        self._remote.answered = self._poll_files
        self._large = LargeContents(self._budget, stop, self._read)
        self._coverage = FileCoverage(self._state, self._budget)
        root = os.fsencode(settings.root)
        self._packages = SoftwareCollector(root, scratch=os.fsencode(settings.data.tracker_scratch))
        self._daemons = SystemdCollector(root)  # one for good: it keeps unit files it has read
        listens = settings.watch and self._policy.watch and os.path.realpath(settings.root) == "/"
        self._unit_signals = UnitSignals(
            self._state, stop, lambda hint: self._hint(Kind.DAEMONS, [hint]), SystemdBus if listens else None
        )
        self._files = FileRunner(
            self._state,
            settings,
            self._policy,
            stop,
            self._watching,
            self._remote,
            budget=self._budget,
            large=self._large,
        )
        return self._files

    def _collector(self, kind: Kind) -> SnapshotCollector:
        return self._packages if kind is Kind.SOFTWARE else self._daemons

    def _parts(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return (
            ("watching", self._watching.run),
            ("systemd", self._unit_signals.run),
            ("network mounts", self._remote.run),
            ("contents", self._large.run),
        )

    def _wake_parts(self) -> None:
        self._watching.wake()
        self._unit_signals.wake()
        self._remote.wake()
        self._large.wake()

    def _variables(self) -> Variables:
        return Variables.load(self._settings.root, dict(self._policy.variables))

    def _adopted(self, plan: Plan) -> None:
        self._watching.adopt(plan)
        self._unit_signals.want(wanted=Kind.DAEMONS in plan.kinds())

    # Files

    def _hinted(self, kind: Kind) -> Hinted:
        if kind is not Kind.FILES:
            return super()._hinted(kind)
        self._hinted_files = FileHints(
            self._pending[kind],
            self._files,
            self._exports,
            lambda: self._configuration.plan,
            self._poll_files,
        )
        return self._hinted_files

    def _poll_files(self) -> None:
        self._workers[Kind.FILES].ask()

    def _read(self, path: bytes) -> None:
        """A large content was read: now its file is looked at."""
        self._pending[Kind.FILES].add([Hint(path, time.monotonic())])

    def _look(self, kind: Kind, job: str) -> float | None:
        if kind is not Kind.FILES:
            return super()._look(kind, job)
        plan = self._configuration.plan
        if not self._wanted(plan, kind):
            return None
        found = next((j for j in plan.file_jobs if j.name == job), None)
        if found is None:
            return 0.1  # the plan changed while this job waited; its own jobs are scheduled
        self._looked(kind, self._files.run_files(plan, found, self._hinted_files.between))
        return None

    def _looked(self, kind: Kind, run: Progress) -> None:
        if kind is Kind.FILES and run.finished_ns is not None:
            self._coverage.count()
            if (watched := self._watching.coverage) is not None:
                self._coverage.report(self._configuration.plan, run.job, watched, expected=self._watching.enabled)
        super()._looked(kind, run)

    # Questions

    def _preview(self, rule: str) -> Mapping[str, Any]:
        root = os.fsencode(self._settings.root)
        return preview(rule, root, self._policy, self._variables(), self._stop, self._budget)

    def _why(self, asked: Mapping[str, Any]) -> Any:
        path = os.fsencode(str(asked.get("path", "")))
        if not path.startswith(b"/"):
            raise SettingsError("the path must begin at the root", hint="give the full path")
        root = os.fsencode(self._settings.root)
        return explain(path, self._configuration.plan, self._policy, self._state, root, self._watching.coverage)

    def _system_status(self, plan: Plan) -> Mapping[str, Any]:
        return {
            "rehash": self._files.rehash(plan),
            "reading": self._large.status(),
            "coverage": self._rule_coverage(plan),
            "watch": {**self._watching.status(), "systemd": self._unit_signals.status()},
        }

    def _rule_coverage(self, plan: Plan) -> dict[str, Any]:
        runs = self._state.last_runs(Kind.FILES)
        covered = self._coverage.rules(plan, self._watching.coverage or Coverage())
        rows = [rule.columns(runs.get(rule.job)) for rule in itertools.islice(covered, _RULES_TOLD)]
        counted = time_text(self._coverage.counted_ns) if self._coverage.counted_ns else ""
        return {"rules": rows, "counted": counted, "more": max(len(plan.file_rules) - len(rows), 0)}
