"""The tracker's parts that every system has, wired together: plan → a worker a kind → state and outbox → sender.

What a system adds, its collectors and watchers, stands in `linux` and `windows`: a subclass of `Tracking` each, which
makes them and answers for them. It owns no logic.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from whatchanged import __version__, ipc
from whatchanged.collectors.files.budget import Throttle, be_idle
from whatchanged.errors import OperationError, StateError, StorageFull
from whatchanged.firmware import vm_uuid
from whatchanged.records.items import Kind
from whatchanged.records.times import time_text
from whatchanged.rules import Policy, Variables
from whatchanged.tracker.configuration import Configuration
from whatchanged.tracker.control import ControlServer
from whatchanged.tracker.exports import EXPORT_SHARE, Exports
from whatchanged.tracker.folder_lock import FolderLock
from whatchanged.tracker.hints import PendingHints
from whatchanged.tracker.machine import machine_token
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.reports import begin_epoch, report_plan, report_recovery, report_start, report_trouble
from whatchanged.tracker.runner import Progress, Runner, SnapshotCollector
from whatchanged.tracker.scheduler import Hinted, Worker
from whatchanged.tracker.sender import Sender
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.whole_hints import WholeHints
from whatchanged.watchers.hints import Hint
from whatchanged.wire import agent

__all__ = ["Tracking"]

log = logging.getLogger(__name__)

_IDLE_SECONDS = 3600.0

_Part = tuple[str, Callable[[], None]]


class Tracking(ABC):
    """Tracks one machine; made once a process."""

    kinds: ClassVar[Mapping[str, Kind]]
    """Names of kinds as people write them, beside the kinds' own."""
    source_system: ClassVar[str]
    """SourceSystem of every record."""

    def __init__(self, settings: TrackerSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._died = False
        self._idle = False
        os.makedirs(settings.data.tracker, mode=0o700, exist_ok=True)
        self._lock = FolderLock(settings.data.tracker)
        self._policy = Policy.load(settings.policy).with_own_paths(settings.own_paths())
        self._state = State(
            settings.data.tracker_database,
            quota_bytes=settings.outbox_quota_bytes,
            machine=machine_token(settings.root),
            identity={
                "Computer": settings.computer,
                "VMUUID": vm_uuid(settings.root),
                "SourceSystem": self.source_system,
            },
        )
        self._budget = settings.budget(self._policy, stop)
        throttle = Throttle(core_share=EXPORT_SHARE, stop=stop)
        self._exports = Exports(self._state, settings.data.tracker_exports, throttle, stop)
        self._unsettled: dict[Kind, int] = {}
        self._runner = self._make()
        tracked = dict.fromkeys(self.kinds.values())
        self._pending = {kind: self._pending_hints(kind) for kind in tracked}
        self._workers = {kind: self._worker(kind) for kind in tracked}
        endpoint = ipc.at(settings.pipe_socket)
        self._sender = Sender(self._state, endpoint, forwarder_uid=settings.forwarder_uid, stop=stop)
        self._configuration = Configuration(
            self._state,
            endpoint,
            forwarder_uid=settings.forwarder_uid,
            period=settings.configuration_seconds,
            stop=stop,
            on_plan=self._adopt,
            on_request=self._request,
            variables=self._variables,
        )
        commands = {"status": self._status, "scan": self._scan, "why": self._why}
        self._control = ControlServer(settings.data.tracker_control_socket, commands, stop)

    # What a system adds

    @abstractmethod
    def _make(self) -> Runner:
        """Make the collectors and watchers; return the runner."""

    @abstractmethod
    def _collector(self, kind: Kind) -> SnapshotCollector:
        """Return the collector of a kind that is looked at whole."""

    @abstractmethod
    def _parts(self) -> Sequence[_Part]:
        """Return the threads of its own: name, and what to run until stopped."""

    @abstractmethod
    def _wake_parts(self) -> None:
        """Let these threads notice that they shall stop."""

    @abstractmethod
    def _variables(self) -> Variables:
        """Return what this machine sets for the paths of rules."""

    @abstractmethod
    def _preview(self, document: str) -> Mapping[str, Any]:
        """Return what a data collection rule would take here."""

    @abstractmethod
    def _why(self, asked: Mapping[str, Any]) -> Any:
        """Return what is known of a path."""

    @abstractmethod
    def _adopted(self, plan: Plan) -> None:
        """Follow another plan."""

    def _hinted(self, kind: Kind) -> Hinted:
        """Return what the worker of a kind does about hints."""
        return WholeHints(
            self._pending[kind],
            lambda: self._look_whole(kind, "Watch"),
            lambda: self._runner.settled(self._configuration.plan, kind),
        )

    def _look(self, kind: Kind, job: str) -> float | None:
        """Run one job by the plan in force; return seconds until it should look again early."""
        return self._look_whole(kind, "Poll", job)[0]

    def _run_whole(self, plan: Plan, kind: Kind, job: str | None, detected_by: str) -> Sequence[Progress]:
        """Look at all of a kind, or at what one `job` of it takes; nothing if there is no such job any more."""
        return [self._runner.run_snapshot(plan, kind, self._collector(kind), detected_by=detected_by)]

    @abstractmethod
    def _system_status(self, plan: Plan) -> Mapping[str, Any]:
        """Return what else there is to say in `status`."""

    # The process

    def run(self) -> int:
        """Start the threads and wait for the end."""
        log.info("tracker %s, data %s, epoch %s", __version__, self._settings.data.path, self._state.epoch)
        self._idle = be_idle()  # inherited by every thread that is started from here on
        report_start(self._state)
        self._configuration.load()
        threads = [
            threading.Thread(target=self._guarded, args=(target,), name=name, daemon=True)
            for name, target in (
                ("sender", self._sender.run),
                ("configuration", self._configuration.run),
                ("control", self._control.run),
                *self._parts(),
                ("exports", self._exports.run),
                *((worker.kind.value, worker.work) for worker in self._workers.values()),
            )
        ]
        for thread in threads:
            thread.start()
        self._stop.wait()
        for worker in self._workers.values():
            worker.wake()
        self._wake_parts()
        self._exports.wake()
        with self._state.committed:
            self._state.committed.notify_all()
        for thread in threads:
            if thread.name != "configuration":  # it may wait for an answer; it owns nothing that needs closing
                thread.join(20.0)
        self._state.close()
        self._lock.close()
        log.info("tracker stopped")
        return 1 if self._died else 0

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread that ends early would be silence: the process ends instead, and its supervisor starts it anew."""
        try:
            work()
            if not self._stop.is_set():
                raise StateError("it ended by itself")
        except Exception:  # the last line of a thread
            if not self._stop.is_set():
                log.exception("%s failed; the tracker ends", threading.current_thread().name)
                self._died = True
                self._stop.set()

    # The plan

    def _pending_hints(self, kind: Kind) -> PendingHints:
        return PendingHints(functools.partial(self._wake, kind))

    def _wake(self, kind: Kind) -> None:
        self._workers[kind].wake()

    def _worker(self, kind: Kind) -> Worker:
        return Worker(
            kind,
            lambda job: self._look(kind, job),
            stop=self._stop,
            on_trouble=self._trouble,
            hinted=self._hinted(kind),
        )

    def _hint(self, kind: Kind, hints: Sequence[Hint]) -> None:
        """Take hints of a watcher."""
        self._pending[kind].add(hints)

    def _adopt(self, plan: Plan) -> None:
        self._sender.tags = plan.tags
        log.info(
            "configuration %s: %s", plan.version or "(no rule)", ", ".join(sorted(plan.kinds())) or "nothing to do"
        )
        self._adopted(plan)
        for kind, worker in self._workers.items():
            # A kind that nobody asks for still has items to let go.
            worker.schedule(plan.looks(kind) or [("", _IDLE_SECONDS)], now=True)
        with contextlib.suppress(StorageFull):  # the rules are in force all the same
            report_plan(self._state, plan)

    def _look_whole(self, kind: Kind, detected_by: str, job: str | None = None) -> tuple[float | None, bool]:
        """Look at a kind as a whole, or at what one `job` of it takes.

        Return seconds until it should look again early, and whether it found a change.
        """
        plan = self._configuration.plan
        if not self._wanted(plan, kind):
            return None, False
        runs = self._run_whole(plan, kind, job, detected_by)
        if not runs:
            return 0.1, False  # the plan changed while this job waited; its own jobs are scheduled
        for run in runs:
            self._looked(kind, run)
        unsettled = any(run.unsettled for run in runs)
        self._unsettled[kind] = self._unsettled.get(kind, 0) + 1 if unsettled else 0
        # Soon, but less and less so: a service that crashes in a loop is never settled.
        again = float(2 ** min(self._unsettled[kind] - 1, 12)) if unsettled else None
        return again, any(run.changes for run in runs)

    def _wanted(self, plan: Plan, kind: Kind) -> bool:
        """Let go what left the rules; return whether anything of a kind is left to look at."""
        wanted = kind in plan.kinds()
        if (pruned := self._runner.prune(plan, kind)) or not wanted:
            self._exports.looked(kind, changed=pruned)
        return wanted

    def _looked(self, kind: Kind, run: Progress) -> None:
        self._exports.looked(kind, changed=run.touched)
        report_recovery(self._state, kind)
        self._state.shrink()

    def _trouble(self, kind: Kind, error: OperationError) -> None:
        log.warning("%s: %s", kind.value, error)
        with contextlib.suppress(OperationError):  # it is logged, and made again with the next try
            report_trouble(self._state, kind, error)

    # Requests of the server and commands of the control socket

    def _request(self, asked: agent.PendingRequest) -> Mapping[str, Any]:
        match asked.request:
            case "resync":
                kind = self._kind(asked.kind)
                items = self._runner.request_resend(self._configuration.plan, kind)
                self._workers[kind].ask()
                return {"items": items}
            case "newEpoch":
                return self._new_epoch()
            case "scan":
                for worker in self._chosen(asked.kind):
                    worker.ask()
                return {}
            case "preview":
                return self._preview(asked.document)
            case other:
                raise ValueError(f"this tracker knows no request {other!r}")

    def _new_epoch(self) -> Mapping[str, Any]:
        begin_epoch(self._state)
        for worker in self._workers.values():
            worker.ask()
        return {"epoch": self._state.epoch}

    def _kind(self, name: str) -> Kind:
        for known, kind in self.kinds.items():
            if name.lower() in (known, kind.value.lower()):
                return kind
        raise ValueError(f"no kind {name!r}; there are {', '.join(self.kinds)}")

    def _chosen(self, name: str) -> list[Worker]:
        return [self._workers[self._kind(name)]] if name else list(self._workers.values())

    def _scan(self, asked: Mapping[str, Any]) -> Any:
        waiting = [worker.ask() for worker in self._chosen(str(asked.get("kind") or ""))]
        if asked.get("wait", True):
            for done in waiting:
                while not done.wait(0.5):
                    if self._stop.is_set():
                        raise OperationError("the tracker is stopping")
        return self._runs()

    def _runs(self) -> list[dict[str, Any]]:
        return [
            {
                "Kind": run.kind,
                "Job": run.job,
                "Status": run.status,
                "Started": time_text(run.started_ns),
                "ItemsSeen": run.seen,
                "ItemsLooked": run.looked,
                "Changes": run.changes,
                "DurationMs": run.duration_ms,
                "Detail": run.detail,
            }
            for run in list(self._runner.progress.values())
        ]

    def _status(self, asked: Mapping[str, Any]) -> Any:
        plan = self._configuration.plan
        system = self._system_status(plan)
        return {
            "version": __version__,
            "pid": os.getpid(),
            "epoch": self._state.epoch,
            "configuration": {
                "version": plan.version,
                "kinds": sorted(plan.kinds()),
                "rules": [*(rule.name for rule in plan.file_rules), *(rule.name for rule in plan.registry)],
                "error": self._configuration.error,
            },
            "outbox": {
                "rows": self._state.outbox_rows(),
                "bytes": self._state.outbox_bytes,
                "quotaBytes": self._settings.outbox_quota_bytes,
                "full": self._state.outbox_full,
                "error": self._sender.error,
            },
            "runs": self._runs(),
            "exports": {"pending": self._exports.pending(), "error": self._exports.error},
            "next": {kind.value: worker.due_in() for kind, worker in self._workers.items()},
            "items": {kind.value: self._state.inventory_count(kind) for kind in self._workers},
            "budget": {**msgspec.structs.asdict(self._budget.spent()), "idle_io": self._idle},
            **system,
            "watch": {
                **system.get("watch", {}),
                "pending": {kind.value: len(pending) for kind, pending in self._pending.items()},
            },
        }
