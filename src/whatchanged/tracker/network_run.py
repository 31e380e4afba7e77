"""A walk that also looks into network file systems, through the processes that `remote_mounts` keeps for that."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import threading
from collections.abc import Sequence

import msgspec

from whatchanged.collectors import Failure, Outcome, RunStatus, Skipped, joined
from whatchanged.collectors.files import Budget
from whatchanged.rules import Policy
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.file_run import Between, FileRun, Seen
from whatchanged.tracker.observer import below_any, container
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.recorder import Recorder
from whatchanged.tracker.remote_mounts import MountSilent, RemoteLook, RemoteMounts
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["NetworkRun"]


class NetworkRun(FileRun):
    """One walk over the files of a job, wherever they lie."""

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        plan: Plan,
        job: FileJob,
        recorder: Recorder,
        progress: Seen,
        stop: threading.Event,
        between: Between,
        budget: Budget,
        large: LargeContents | None,
        remote: RemoteMounts,
    ) -> None:
        """As FileRun; `remote`: the network mounts."""
        super().__init__(state, settings, policy, plan, job, recorder, progress, stop, between, budget, large)
        self._remote = remote
        self._whole_rules = plan.file_rules

    def _look_beyond(self, local: Outcome) -> Outcome:
        """Look into the network file systems that the walk came to, if the policy lets rules ask for it."""
        if not self._remote.allowed:
            return local
        outcomes, todo = self._put_aside(local)
        done: set[bytes] = set()
        while todo and not self._stop.is_set():
            point = todo[0].point
            places = [skipped.path for skipped in todo if skipped.point == point]
            todo = [skipped for skipped in todo if skipped.point != point]
            done.update(places)
            found, more = self._put_aside(self._look_into(point, places))
            outcomes += found
            # A mount within the mount is the next one.
            todo += [skipped for skipped in more if skipped.path not in done]
        if self._stop.is_set():
            outcomes.append(Outcome(status=RunStatus.STOPPED))
        return joined(outcomes)

    def _put_aside(self, outcome: Outcome) -> tuple[list[Outcome], list[Skipped]]:
        """Return an outcome without the network file systems that are entered, and those."""
        entered = [skipped for skipped in outcome.skipped if skipped.point and self._whole.network(skipped.path)]
        left = tuple(skipped for skipped in outcome.skipped if skipped not in entered)
        return [msgspec.structs.replace(outcome, skipped=left)], entered

    def _look_into(self, point: bytes, places: Sequence[bytes]) -> Outcome:
        self._vanished.clear()
        try:
            with self._remote.open(point, places, self._job.rules, self._whole_rules) as remote:
                for look in remote.walk(self.folder, self._rehash, self._idle):
                    self._take(look)
                if remote.outcome.status in (RunStatus.OK, RunStatus.PARTIAL):
                    self._decide_remote_removals(remote, places)
                return remote.outcome
        except MountSilent as error:
            failures = tuple(Failure(place, f"network file system: {error.message}") for place in places)
            return Outcome(
                status=RunStatus.PARTIAL, failures=failures, failures_total=len(failures), denied=tuple(places)
            )

    def _decide_remote_removals(self, remote: RemoteLook, places: Sequence[bytes]) -> None:
        closed = remote.outcome.closed
        for path in [*self._vanished, *(p for place in places for p in self._unvisited(container(place)))]:
            if below_any(path, closed):
                continue
            found = remote.look(path)
            if found is None:  # stopped
                return
            if found.looked is not None:
                self._observe_if_read(found.looked)
            elif found.failure is None:
                self._remove(path)
