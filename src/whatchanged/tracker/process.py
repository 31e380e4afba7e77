"""The tracker process: privileged, without a network.

It wires the parts together: configuration → plan → a worker a kind → state and outbox → sender. It owns no logic.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import fcntl
import functools
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from whatchanged import __version__, ipc, memory
from whatchanged.collectors.files import Throttle, be_idle
from whatchanged.collectors.services import SystemdCollector
from whatchanged.collectors.software import SoftwareCollector
from whatchanged.errors import OperationError, SettingsError, StateError, StorageFull
from whatchanged.records.items import Kind
from whatchanged.records.times import time_text
from whatchanged.rules import Policy, Variables
from whatchanged.tracker.configuration import Configuration
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.control import ControlServer
from whatchanged.tracker.coverage import FileCoverage
from whatchanged.tracker.exports import EXPORT_SHARE, Exports
from whatchanged.tracker.file_run import budget_of
from whatchanged.tracker.hint_work import FileHints, WholeHints
from whatchanged.tracker.hints import PendingHints
from whatchanged.tracker.machine import machine_token, vm_uuid
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.preview import preview
from whatchanged.tracker.remote_mounts import RemoteMounts
from whatchanged.tracker.reports import begin_epoch, report_plan, report_recovery, report_start, report_trouble
from whatchanged.tracker.runner import Progress, Runner
from whatchanged.tracker.scheduler import Worker
from whatchanged.tracker.sender import Sender
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.unit_signals import UnitSignals
from whatchanged.tracker.watching import Watching
from whatchanged.tracker.why import explain
from whatchanged.watchers.hints import Coverage, Hint
from whatchanged.watchers.systemd import SystemdBus
from whatchanged.wire import agent

__all__ = ["run"]

log = logging.getLogger(__name__)

KINDS = {"files": Kind.FILES, "software": Kind.SOFTWARE, "daemons": Kind.DAEMONS, "services": Kind.DAEMONS}
"""Names of kinds as people write them."""
_IDLE_SECONDS = 3600.0
_RULES_TOLD = 1000
"""Rules that `status` tells of."""


def run(settings: TrackerSettings, stop: threading.Event) -> int:
    """Track this machine until `stop` is set; return the exit code.

    Raises SettingsError, StateError, StorageFull when it cannot begin.
    """
    memory.use_one_arena()
    tracker = _Tracker(settings, stop)
    return tracker.run()


class _Tracker:
    def __init__(self, settings: TrackerSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._died = False
        self._idle = False
        os.makedirs(settings.data.tracker, mode=0o700, exist_ok=True)
        self._lock_folder(settings.data.tracker)
        self._policy = Policy.load(settings.policy)
        self._state = State(
            settings.data.tracker_database,
            quota_bytes=settings.outbox_quota_bytes,
            machine=machine_token(settings.root),
            identity={
                "Computer": settings.computer,
                "VMUUID": vm_uuid(settings.root),
                "SourceSystem": "Linux",
            },
        )
        endpoint = ipc.at(settings.pipe_socket)
        self._watching = Watching(settings, self._policy, self._state, stop, self._hint)
        self._remote = RemoteMounts(settings, self._policy, self._state, stop)
        self._remote.answered = self._poll_files
        budget = budget_of(self._policy, settings, stop)
        self._large = LargeContents(budget, stop, self._read)
        self._runner = Runner(
            self._state, settings, self._policy, stop, self._watching, self._remote, budget=budget, large=self._large
        )
        self._coverage = FileCoverage(self._state, budget)
        self._pending: dict[Kind, PendingHints] = {}
        throttle = Throttle(core_share=EXPORT_SHARE, stop=stop)
        self._exports = Exports(self._state, settings.data.tracker_exports, throttle, stop)
        self._workers = {
            Kind.FILES: self._worker(Kind.FILES),
            Kind.SOFTWARE: self._worker(Kind.SOFTWARE),
            Kind.DAEMONS: self._worker(Kind.DAEMONS),
        }
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
        self._packages = SoftwareCollector(
            os.fsencode(settings.root), scratch=os.fsencode(settings.data.tracker_scratch)
        )
        self._daemons = SystemdCollector(os.fsencode(settings.root))  # one for good: it keeps unit files it has read
        self._unsettled: dict[Kind, int] = {}
        listens = settings.watch and self._policy.watch and os.path.realpath(settings.root) == "/"
        self._unit_signals = UnitSignals(
            self._state, stop, lambda hint: self._hint(Kind.DAEMONS, [hint]), SystemdBus if listens else None
        )

    def _variables(self) -> Variables:
        """Return what this machine sets for the paths of rules."""
        return Variables.load(self._settings.root, dict(self._policy.variables))

    def _lock_folder(self, folder: str) -> None:
        """Refuse to work beside another tracker of the same data folder."""
        self._lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(
                f"another tracker works on {folder}", hint="stop it, or give this one a data folder of its own"
            ) from error

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
                ("watching", self._watching.run),
                ("systemd", self._unit_signals.run),
                ("network mounts", self._remote.run),
                ("contents", self._large.run),
                ("exports", self._exports.run),
                *((worker.kind.value, worker.work) for worker in self._workers.values()),
            )
        ]
        for thread in threads:
            thread.start()
        self._stop.wait()
        for worker in self._workers.values():
            worker.wake()
        self._watching.wake()
        self._unit_signals.wake()
        self._remote.wake()
        self._large.wake()
        self._exports.wake()
        with self._state.committed:
            self._state.committed.notify_all()
        for thread in threads:
            if thread.name != "configuration":  # it may wait for an answer; it owns nothing that needs closing
                thread.join(20.0)
        self._state.close()
        os.close(self._lock)
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

    def _worker(self, kind: Kind) -> Worker:
        self._pending[kind] = PendingHints(functools.partial(self._wake, kind))
        return Worker(
            kind,
            lambda job: self._look(kind, job),
            stop=self._stop,
            on_trouble=self._trouble,
            hinted=self._file_hints() if kind is Kind.FILES else self._whole_hints(kind),
        )

    def _file_hints(self) -> FileHints:
        self._hinted_files = FileHints(
            self._pending[Kind.FILES],
            self._runner,
            self._exports,
            lambda: self._configuration.plan,
            self._poll_files,
        )
        return self._hinted_files

    def _whole_hints(self, kind: Kind) -> WholeHints:
        return WholeHints(
            self._pending[kind],
            lambda: self._look_whole(kind, "Watch"),
            lambda: self._runner.settled(self._configuration.plan, kind),
        )

    def _wake(self, kind: Kind) -> None:
        self._workers[kind].wake()

    def _poll_files(self) -> None:
        self._workers[Kind.FILES].ask()

    def _read(self, path: bytes) -> None:
        """A large content was read: now its file is looked at."""
        self._pending[Kind.FILES].add([Hint(path, time.monotonic())])

    def _hint(self, kind: Kind, hints: Sequence[Hint]) -> None:
        self._pending[kind].add(hints)

    def _adopt(self, plan: Plan) -> None:
        self._sender.tags = plan.tags
        log.info(
            "configuration %s: %s", plan.version or "(no rule)", ", ".join(sorted(plan.kinds())) or "nothing to do"
        )
        self._watching.adopt(plan)
        self._unit_signals.want(wanted=Kind.DAEMONS in plan.kinds())
        for kind, worker in self._workers.items():
            # A kind that nobody asks for still has items to let go.
            worker.schedule(plan.looks(kind) or [("", _IDLE_SECONDS)], now=True)
        with contextlib.suppress(StorageFull):  # the rules are in force all the same
            report_plan(self._state, plan)

    def _look(self, kind: Kind, job: str) -> float | None:
        """Run one job by the plan in force; return seconds until it should look again early."""
        plan = self._configuration.plan
        if kind is not Kind.FILES:
            return self._look_whole(kind, "Poll")[0]
        if not self._wanted(plan, kind):
            return None
        found = next((j for j in plan.file_jobs if j.name == job), None)
        if found is None:
            return 0.1  # the plan changed while this job waited; its own jobs are scheduled
        self._looked(kind, self._runner.run_files(plan, found, self._hinted_files.between))
        return None

    def _look_whole(self, kind: Kind, detected_by: str) -> tuple[float | None, bool]:
        """Look at a kind as a whole; return seconds until it should look again early, and whether it found a change."""
        plan = self._configuration.plan
        if not self._wanted(plan, kind):
            return None, False
        collector = self._packages if kind is Kind.SOFTWARE else self._daemons
        run = self._runner.run_snapshot(plan, kind, collector, detected_by=detected_by)
        self._looked(kind, run)
        self._unsettled[kind] = self._unsettled.get(kind, 0) + 1 if run.unsettled else 0
        # Soon, but less and less so: a service that crashes in a loop is never settled.
        again = float(2 ** min(self._unsettled[kind] - 1, 12)) if run.unsettled else None
        return again, run.changes > 0

    def _wanted(self, plan: Plan, kind: Kind) -> bool:
        """Let go what left the rules; return whether anything of a kind is left to look at."""
        wanted = kind in plan.kinds()
        if (pruned := self._runner.prune(plan, kind)) or not wanted:
            self._exports.looked(kind, changed=pruned)
        return wanted

    def _looked(self, kind: Kind, run: Progress) -> None:
        if kind is Kind.FILES and run.finished_ns is not None:
            self._coverage.count()
            if (watched := self._watching.coverage) is not None:
                self._coverage.report(self._configuration.plan, run.job, watched, expected=self._watching.enabled)
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
                root = os.fsencode(self._settings.root)
                return preview(asked.rule, root, self._policy, self._variables(), self._stop, self._runner.budget)
            case other:
                raise ValueError(f"this tracker knows no request {other!r}")

    def _new_epoch(self) -> Mapping[str, Any]:
        begin_epoch(self._state)
        for worker in self._workers.values():
            worker.ask()
        return {"epoch": self._state.epoch}

    def _kind(self, name: str) -> Kind:
        for known, kind in KINDS.items():
            if name.lower() in (known, kind.value.lower()):
                return kind
        raise ValueError(f"no kind {name!r}; there are {', '.join(KINDS)}")

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

    def _why(self, asked: Mapping[str, Any]) -> Any:
        path = os.fsencode(str(asked.get("path", "")))
        if not path.startswith(b"/"):
            raise SettingsError("the path must begin at the root", hint="give the full path")
        root = os.fsencode(self._settings.root)
        return explain(path, self._configuration.plan, self._policy, self._state, root, self._watching.coverage)

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
        return {
            "version": __version__,
            "pid": os.getpid(),
            "epoch": self._state.epoch,
            "configuration": {
                "version": plan.version,
                "kinds": sorted(plan.kinds()),
                "rules": [rule.name for rule in plan.file_rules],
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
            "rehash": self._runner.rehash(plan),
            "reading": self._large.status(),
            "exports": {"pending": self._exports.pending(), "error": self._exports.error},
            "next": {kind.value: worker.due_in() for kind, worker in self._workers.items()},
            "items": {kind.value: self._state.inventory_count(kind) for kind in self._workers},
            "coverage": self._rule_coverage(plan),
            "budget": {**msgspec.structs.asdict(self._runner.budget.spent()), "idle_io": self._idle},
            "watch": {
                **self._watching.status(),
                "systemd": self._unit_signals.status(),
                "pending": {kind.value: len(pending) for kind, pending in self._pending.items()},
            },
        }

    def _rule_coverage(self, plan: Plan) -> dict[str, Any]:
        runs = self._state.last_runs(Kind.FILES)
        covered = self._coverage.rules(plan, self._watching.coverage or Coverage())
        rows = [rule.columns(runs.get(rule.job)) for rule in itertools.islice(covered, _RULES_TOLD)]
        counted = time_text(self._coverage.counted_ns) if self._coverage.counted_ns else ""
        return {"rules": rows, "counted": counted, "more": max(len(plan.file_rules) - len(rows), 0)}
