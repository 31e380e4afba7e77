"""Tracking files, on every system: their worker, their coverage, large contents, previews and `why`."""

from __future__ import annotations

import itertools
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from whatchanged.errors import SettingsError
from whatchanged.records.items import Kind
from whatchanged.records.times import time_text
from whatchanged.records.windows_paths import path_of
from whatchanged.rules import Variables
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.coverage import FileCoverage
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.hint_work import FileHints
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.preview import preview
from whatchanged.tracker.runner import Progress
from whatchanged.tracker.scheduler import Hinted
from whatchanged.tracker.tracking import Tracking
from whatchanged.tracker.why import explain
from whatchanged.watchers.hints import Coverage, Hint

__all__ = ["FileTracking"]

_RULES_TOLD = 1000
"""Rules that `status` tells of."""


class _Watching(Protocol):
    """What watches a system."""

    @property
    def enabled(self) -> bool:
        """Whether anything is watched at all."""

    @property
    def coverage(self) -> Coverage | None:
        """What is watched and what is polled; None while watching has yet to begin."""

    def adopt(self, plan: Plan) -> None:
        """Watch for another plan from now on."""

    def run(self) -> None:
        """Watch until stopped."""

    def wake(self) -> None:
        """Let the thread notice that it shall stop."""

    def status(self) -> Mapping[str, Any]:
        """Return what is watched and what is polled, for `status`."""


class FileTracking(Tracking):
    """Tracks a machine's files; what else there is of it stands in `linux` and `windows`."""

    _watching: _Watching
    """Set by `_make_runner`."""

    @abstractmethod
    def _make_runner(self, large: LargeContents) -> FileRunner:
        """Make the collectors and watchers; return the runner."""

    def _make(self) -> FileRunner:
        self._large = LargeContents(self._budget, self._stop, self._read)
        self._coverage = FileCoverage(self._state, self._budget)
        self._files = self._make_runner(self._large)
        return self._files

    def _parts(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return (("watching", self._watching.run), ("contents", self._large.run))

    def _wake_parts(self) -> None:
        self._watching.wake()
        self._large.wake()

    def _variables(self) -> Variables:
        return Variables.load(self._settings.root, dict(self._policy.variables))

    def _adopted(self, plan: Plan) -> None:
        self._watching.adopt(plan)

    # Looks

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

    def _preview(self, document: str) -> Mapping[str, Any]:
        root = os.fsencode(self._settings.root)
        return preview(document, root, self._policy, self._variables(), self._stop, self._budget)

    def _why(self, asked: Mapping[str, Any]) -> Any:
        try:
            path = path_of(str(asked.get("path", "")))
        except ValueError as error:
            raise SettingsError(f"the path {error}", hint="give the full path") from None
        root = os.fsencode(self._settings.root)
        return explain(path, self._configuration.plan, self._policy, self._state, root, self._watching.coverage)

    def _system_status(self, plan: Plan) -> Mapping[str, Any]:
        return {
            "rehash": self._files.rehash(plan),
            "reading": self._large.status(),
            "coverage": self._rule_coverage(plan),
            "watch": self._watching.status(),
        }

    def _rule_coverage(self, plan: Plan) -> dict[str, Any]:
        runs = self._state.last_runs(Kind.FILES)
        covered = self._coverage.rules(plan, self._watching.coverage or Coverage())
        rows = [rule.columns(runs.get(rule.job)) for rule in itertools.islice(covered, _RULES_TOLD)]
        counted = time_text(self._coverage.counted_ns) if self._coverage.counted_ns else ""
        return {"rules": rows, "counted": counted, "more": max(len(plan.file_rules) - len(rows), 0)}
