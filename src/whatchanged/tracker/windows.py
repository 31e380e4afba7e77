"""The tracker on Windows: registry, services and software."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.collectors.services.service_manager import ServiceManager
from whatchanged.collectors.software.windows_software import WindowsSoftware
from whatchanged.errors import SettingsError
from whatchanged.records.items import Kind
from whatchanged.rules import Variables
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.runner import Progress, Runner, SnapshotCollector
from whatchanged.tracker.tracking import Tracking
from whatchanged.tracker.windows_watching import WindowsWatching

__all__ = ["WindowsTracking"]


class WindowsTracking(Tracking):
    """Tracks a Windows."""

    kinds = {"registry": Kind.REGISTRY, "software": Kind.SOFTWARE, "services": Kind.WINDOWS_SERVICES}  # noqa: RUF012
    source_system = "OpsManager"

    def _make(self) -> Runner:
        self._software = WindowsSoftware(self._stop)  # one for good: it remembers who did not answer
        self._services = ServiceManager()
        self._watching = WindowsWatching(self._settings, self._policy, self._state, self._stop, self._hint)
        return Runner(self._state, self._settings, self._policy, self._stop, budget=self._budget)

    def _collector(self, kind: Kind) -> SnapshotCollector:
        return self._software if kind is Kind.SOFTWARE else self._services

    def _run_whole(self, plan: Plan, kind: Kind, detected_by: str) -> Progress:
        if kind is Kind.REGISTRY:
            return self._runner.run_registry(plan, LiveRegistry(), detected_by=detected_by)
        return super()._run_whole(plan, kind, detected_by)

    def _parts(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return (("watching", self._watching.run),)

    def _wake_parts(self) -> None:
        self._watching.wake()

    def _adopted(self, plan: Plan) -> None:
        self._watching.adopt(plan)

    def _variables(self) -> Variables:
        return Variables(declared=dict(self._policy.variables))

    def _preview(self, rule: str) -> Mapping[str, Any]:
        raise SettingsError("a preview counts files, which are not looked at on Windows yet")

    def _why(self, asked: Mapping[str, Any]) -> Any:
        raise SettingsError("files are not looked at on Windows yet")

    def _system_status(self, plan: Plan) -> Mapping[str, Any]:
        return {"watch": self._watching.status()}
