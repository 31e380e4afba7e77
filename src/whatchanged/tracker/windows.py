"""The tracker on Windows: files, registry, services and software, and everything that watches them."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from collections.abc import Sequence

from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.collectors.services.service_manager import ServiceManager
from whatchanged.collectors.software.windows_software import WindowsSoftware
from whatchanged.records.items import Kind
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.file_tracking import FileTracking
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.runner import Progress, SnapshotCollector
from whatchanged.tracker.windows_watching import WindowsWatching

__all__ = ["WindowsTracking"]


class WindowsTracking(FileTracking):
    """Tracks a Windows."""

    kinds = {  # noqa: RUF012
        "files": Kind.FILES,
        "registry": Kind.REGISTRY,
        "software": Kind.SOFTWARE,
        "services": Kind.WINDOWS_SERVICES,
    }
    source_system = "OpsManager"

    def _make_runner(self, large: LargeContents) -> FileRunner:
        self._software = WindowsSoftware(self._stop)  # one for good: it remembers who did not answer
        self._services = ServiceManager()
        self._watching = WindowsWatching(self._settings, self._policy, self._state, self._stop, self._hint)
        return FileRunner(self._state, self._settings, self._policy, self._stop, budget=self._budget, large=large)

    def _collector(self, kind: Kind) -> SnapshotCollector:
        return self._software if kind is Kind.SOFTWARE else self._services

    def _run_whole(self, plan: Plan, kind: Kind, job: str | None, detected_by: str) -> Sequence[Progress]:
        if kind is not Kind.REGISTRY:
            return super()._run_whole(plan, kind, job, detected_by)
        jobs = [one for one in plan.registry_jobs if job in (None, one.name)]
        return [self._runner.run_registry(plan, one, LiveRegistry(), detected_by=detected_by) for one in jobs]
