"""What the worker of files does about hints: it looks at what they point at."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from whatchanged.errors import OperationError
from whatchanged.records.items import Kind
from whatchanged.tracker.exports import Exports
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.hints import Batch, PendingHints
from whatchanged.tracker.plan import Plan
from whatchanged.watchers.hints import Hint, Reach

__all__ = ["FileHints"]

_PAUSE = 1.0
_REREAD_RATE = 5_000_000
"""Bytes a second that reading one file over and over again may cost, on average."""
_REREAD_SIZE = 1024 * 1024
_ASTRAY_SECONDS = 3.0
"""How long a file that is renamed again and again is waited for, until it is told as removed."""
_LONGEST_COOLING = 600.0
_PACKAGES_PAUSE = 1.0
"""Seconds between two looks while a package manager is at work: each reads its database anew, and it never pauses."""


class FileHints:
    """Looks at files that hints point at."""

    def __init__(
        self,
        pending: PendingHints,
        runner: FileRunner,
        exports: Exports,
        plan: Callable[[], Plan],
        poll: Callable[[], object],
    ) -> None:
        """`poll` makes every job of the kind due now."""
        self._pending = pending
        self._runner = runner
        self._exports = exports
        self._plan = plan
        self._poll = poll
        self._batch = Batch()
        self._astray: dict[bytes, float] = {}
        """Where something was that is on its way → until when it is waited for."""

    def due_at(self) -> float | None:
        """Return when there is something to look at.

        Not before every job has looked once: what a hint finds until then may have changed while the tracker was off.
        """
        if not self._runner.settled(self._plan(), Kind.FILES):
            return None
        return self._pending.due_at()

    def run(self) -> None:
        """Look. Raises StorageFull, OutboxFull."""
        self._look()

    def between(self, before: Callable[[], None]) -> Collection[bytes]:
        """Look in the middle of a walk, if something is due; return the paths that were looked at."""
        due = self._pending.due_at()
        if due is None or due > time.monotonic() or not self._runner.settled(self._plan(), Kind.FILES):
            return ()
        before()
        try:
            return self._look()
        except OperationError:  # the walk fails with it; what was pointed at is not forgotten
            self.failed(_PAUSE)
            raise

    def failed(self, pause: float) -> None:
        """Keep what could not be looked at."""
        self._pending.put_back(self._batch, pause)
        self._batch = Batch()

    def _look(self) -> Collection[bytes]:
        batch = self._batch = self._pending.take()
        plan = self._plan()
        if not batch or Kind.FILES not in plan.kinds():
            return ()
        if batch.everything:
            self._poll()
            return ()
        self._runner.prune(plan, Kind.FILES)
        now = time.monotonic()
        batch.awaited.update(path for path, until in self._astray.items() if until > now)
        found = self._runner.run_hints(plan, batch)
        self._batch = Batch()
        self._wait_for(found.astray, batch)
        for path, size in found.sizes.items():
            if size > _REREAD_SIZE:
                self._pending.cool(path, min(size / _REREAD_RATE, _LONGEST_COOLING))
        if found.touched:
            self._exports.looked(Kind.FILES, changed=True)
        if found.packages_at_work:
            self._pending.pause(_PACKAGES_PAUSE)
        return found.paths

    def _wait_for(self, astray: Collection[bytes], batch: Batch) -> None:
        """Look again soon where something was that was on its way: for some seconds, then it is gone."""
        now = time.monotonic()
        elsewhere = {p: until for p, until in self._astray.items() if p not in batch.entries and p not in batch.trees}
        self._astray = elsewhere | {path: self._astray.get(path, now + _ASTRAY_SECONDS) for path in astray}
        if astray:
            self._pending.add([Hint(p, now, Reach.TREE if p in batch.trees else Reach.ENTRY) for p in astray])
