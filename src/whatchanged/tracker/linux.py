"""The tracker on Linux: files, packages and daemons, and everything that watches them."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whatchanged.collectors.services import SystemdCollector
from whatchanged.collectors.software import SoftwareCollector
from whatchanged.records.items import Kind
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_tracking import FileTracking
from whatchanged.tracker.linux_runner import LinuxRunner
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.remote_mounts import RemoteMounts
from whatchanged.tracker.runner import SnapshotCollector
from whatchanged.tracker.unit_signals import UnitSignals
from whatchanged.tracker.watching import Watching
from whatchanged.watchers.systemd import SystemdBus

__all__ = ["LinuxTracking"]


class LinuxTracking(FileTracking):
    """Tracks a Linux."""

    kinds = {"files": Kind.FILES, "software": Kind.SOFTWARE, "daemons": Kind.DAEMONS, "services": Kind.DAEMONS}  # noqa: RUF012
    source_system = "Linux"

    def _make_runner(self, large: LargeContents) -> LinuxRunner:
        settings, stop = self._settings, self._stop
        watching = self._watching = Watching(settings, self._policy, self._state, stop, self._hint)
        self._remote = RemoteMounts(settings, self._policy, self._state, stop)
        self._remote.answered = self._poll_files
        root = os.fsencode(settings.root)
        self._packages = SoftwareCollector(root, scratch=os.fsencode(settings.data.tracker_scratch))
        self._daemons = SystemdCollector(root)  # one for good: it keeps unit files it has read
        listens = settings.watch and self._policy.watch and os.path.realpath(settings.root) == "/"
        self._unit_signals = UnitSignals(
            self._state, stop, lambda hint: self._hint(Kind.DAEMONS, [hint]), SystemdBus if listens else None
        )
        return LinuxRunner(
            self._state, settings, self._policy, stop, watching, self._remote, budget=self._budget, large=large
        )

    def _collector(self, kind: Kind) -> SnapshotCollector:
        return self._packages if kind is Kind.SOFTWARE else self._daemons

    def _parts(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return (*super()._parts(), ("systemd", self._unit_signals.run), ("network mounts", self._remote.run))

    def _wake_parts(self) -> None:
        super()._wake_parts()
        self._unit_signals.wake()
        self._remote.wake()

    def _adopted(self, plan: Plan) -> None:
        super()._adopted(plan)
        self._unit_signals.want(wanted=Kind.DAEMONS in plan.kinds())

    def _system_status(self, plan: Plan) -> Mapping[str, Any]:
        status = super()._system_status(plan)
        return {**status, "watch": {**status["watch"], "systemd": self._unit_signals.status()}}
