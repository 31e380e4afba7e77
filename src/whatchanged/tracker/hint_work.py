"""What a worker does about hints: the files that were pointed at, or its whole kind."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import time
from collections.abc import Callable, Collection

from whatchanged.errors import OperationError
from whatchanged.records.items import Kind
from whatchanged.tracker.exports import write_export
from whatchanged.tracker.hints import Batch, PendingHints
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.runner import Runner
from whatchanged.tracker.state import State
from whatchanged.watchers.hints import Hint, Reach

__all__ = ["ExportWriter", "FileHints", "WholeHints"]

_PAUSE = 1.0
_REREAD_RATE = 5_000_000
"""Bytes a second that reading one file over and over again may cost, on average."""
_REREAD_SIZE = 1024 * 1024
_LONGEST_COOLING = 60.0
_EXPORT_SHARE = 20
"""An export takes at most one part in so many of the time, however often something changes."""
_WHOLE_SHARE = 5
_WHOLE_PAUSE = 0.5
_LONGEST_WHOLE_PAUSE = 5.0


class ExportWriter:
    """Writes the export of a kind: at once after a run, later after hints that come one upon the other."""

    def __init__(self, state: State, kind: Kind, folder: str) -> None:
        self._state = state
        self._kind = kind
        self._folder = folder
        self._next = 0.0
        self._stale = True  # nobody knows how the last life of this process ended

    def changed(self) -> None:
        """Note that the export is not what the state is any more."""
        self._stale = True

    def due_at(self) -> float | None:
        """Return when it shall be written, on the monotonic clock, or None."""
        return self._next if self._stale else None

    def write_if_stale(self) -> None:
        """Write it now, unless it is what the state is. It stays stale until it was written. Raises StorageFull."""
        if not self._stale:
            return
        began = time.monotonic()
        write_export(self._state, self._kind, self._folder)
        ended = time.monotonic()
        self._stale = False
        self._next = ended + (ended - began) * _EXPORT_SHARE

    def put_off(self, seconds: float) -> None:
        """Let it wait for some seconds: it cannot be written."""
        self._next = time.monotonic() + seconds

    def write_if_due(self) -> None:
        """Write it if it is stale and was not written just now. Raises StorageFull."""
        if time.monotonic() >= self._next:
            self.write_if_stale()


class FileHints:
    """Looks at files that hints point at."""

    def __init__(
        self,
        pending: PendingHints,
        runner: Runner,
        export: ExportWriter,
        plan: Callable[[], Plan],
        poll: Callable[[], object],
    ) -> None:
        """`poll` makes every job of the kind due now."""
        self._pending = pending
        self._runner = runner
        self._export = export
        self._plan = plan
        self._poll = poll
        self._batch = Batch()

    def due_at(self) -> float | None:
        """Return when there is something to look at.

        Not before every job has looked once: what a hint finds until then may have changed while the tracker was off.
        """
        if not self._runner.settled(self._plan(), Kind.FILES):
            return None
        times = [at for at in (self._pending.due_at(), self._export.due_at()) if at is not None]
        return min(times, default=None)

    def run(self) -> None:
        """Look. Raises StorageFull, OutboxFull."""
        self._look()
        self._export.write_if_due()

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
        self._export.put_off(pause)

    def _look(self) -> Collection[bytes]:
        batch = self._batch = self._pending.take()
        plan = self._plan()
        if not batch or Kind.FILES not in plan.kinds():
            return ()
        if batch.everything:
            self._poll()
            return ()
        self._runner.prune(plan, Kind.FILES)
        found = self._runner.run_hints(plan, batch)
        self._batch = Batch()
        for path, size in found.sizes.items():
            if size > _REREAD_SIZE:
                self._pending.cool(path, min(size / _REREAD_RATE, _LONGEST_COOLING))
        if found.touched:
            self._export.changed()
        return found.paths


class WholeHints:
    """Looks at a kind as a whole when a hint marks it."""

    def __init__(
        self, pending: PendingHints, look: Callable[[], tuple[float | None, bool]], settled: Callable[[], bool]
    ) -> None:
        """`look` looks; it returns after how many seconds to look again (or None), and whether it found a change."""
        self._pending = pending
        self._look = look
        self._settled = settled
        self._pause = _WHOLE_PAUSE

    def due_at(self) -> float | None:
        """Return when there is something to look at."""
        return self._pending.due_at() if self._settled() else None

    def run(self) -> None:
        """Look. Raises StorageFull, OutboxFull."""
        if not self._pending.take():
            return
        began = time.monotonic()
        again, changed = self._look()
        took = time.monotonic() - began
        # Something that signals all the time without changing anything gets a growing pause.
        self._pause = _WHOLE_PAUSE if changed else min(self._pause * 2, _LONGEST_WHOLE_PAUSE)
        if again is not None:
            self._pending.add([Hint(b"/", time.monotonic(), Reach.ALL)])
        self._pending.pause(max(again or 0.0, took * _WHOLE_SHARE, self._pause))

    def failed(self, pause: float) -> None:
        """Look again later."""
        self._pending.put_back(Batch(everything=True), pause)
