"""The scheduler: one worker a kind, which runs the kind's jobs when they are due.

A job is due at once when it is new, then every `frequency` seconds from the begin of its last run (monotonic
clock: setting the wall clock back or forth moves no run). A run that could not finish because a disk or the
outbox is full is tried again soon, with a growing pause.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from whatchanged.errors import OperationError, StorageFull
from whatchanged.records.items import Kind

__all__ = ["Hinted", "Worker"]

log = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_HINTS = "\0hints"
"""Stands among the jobs for what watchers ask for; no job has such a name."""


class Hinted(Protocol):
    """Work that comes from hints."""

    def due_at(self) -> float | None:
        """Return when there is something to do, on the monotonic clock, or None."""

    def run(self) -> None:
        """Do what is due."""

    def failed(self, pause: float) -> None:
        """It could not be done: try again after some seconds."""


class Worker:
    """Runs the jobs of one kind, one at a time."""

    def __init__(
        self,
        kind: Kind,
        run: Callable[[str], float | None],
        *,
        stop: threading.Event,
        on_trouble: Callable[[Kind, OperationError], None],
        hinted: Hinted | None = None,
    ) -> None:
        """`run(job)` does it, and may return seconds after which it wants to look again.

        `hinted` is what watchers ask for; it runs between the jobs, in the same thread.
        """
        self.kind = kind
        self._run = run
        self._stop = stop
        self._on_trouble = on_trouble
        self._hinted = hinted
        self._changed = threading.Condition()
        self._frequencies: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._asked: dict[str, list[threading.Event]] = {}
        self._pause = _FIRST_PAUSE
        self.running = ""

    def schedule(self, jobs: Iterable[tuple[str, float]], *, now: bool) -> None:
        """Set the jobs of this kind (name, frequency in seconds); new ones, and all if `now`, are due at once."""
        moment = time.monotonic()
        with self._changed:
            self._frequencies = dict(jobs)
            known = {} if now else self._due
            self._due = {
                name: min(known.get(name, moment), moment + frequency) for name, frequency in self._frequencies.items()
            }
            self._release([self._asked.pop(name) for name in set(self._asked) - set(self._due)])
            self._changed.notify_all()

    def ask(self) -> threading.Event:
        """Make every job due now; the event is set when all of them have run from now on."""
        done = threading.Event()
        with self._changed:
            for name in self._due:
                self._due[name] = time.monotonic()
                self._asked.setdefault(name, []).append(done)
            if not self._due:
                done.set()
            self._changed.notify_all()
        return done

    def due_in(self) -> float | None:
        """Return seconds until the next run, or None when there is no job."""
        with self._changed:
            return max(min(self._due.values()) - time.monotonic(), 0.0) if self._due else None

    def wake(self) -> None:
        """Let the worker notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def work(self) -> None:
        """Run jobs until stopped."""
        while not self._stop.is_set():
            job = self._next()
            if job is None:
                continue
            if job == _HINTS:
                self._run_hinted()
                continue
            started = time.monotonic()
            with self._changed:
                waiting = self._asked.pop(job, [])
                due = self._due.get(job)
            self.running = job
            again = self._try(functools.partial(self._run, job))
            self.running = ""
            with self._changed:
                # Who asked for it, or changed the plan, while it ran wants a run that begins after that.
                if job in self._due and self._due[job] == due:
                    regular = started + self._frequencies[job]
                    self._due[job] = regular if again is None else min(regular, time.monotonic() + again)
                self._release([waiting])

    def _release(self, waiting: list[list[threading.Event]]) -> None:
        """Set the events for which no other job has to run."""
        left = {done for events in self._asked.values() for done in events}
        for done in {done for events in waiting for done in events} - left:
            done.set()

    def _next(self) -> str | None:
        with self._changed:
            if self._stop.is_set():  # looked at under the lock: `wake` cannot come between this and the wait
                return None
            due = dict(self._due)
            if self._hinted is not None and (at := self._hinted.due_at()) is not None:
                due[_HINTS] = at
            if not due:
                self._changed.wait()
                return None
            job = min(due, key=lambda name: due[name])
            wait = due[job] - time.monotonic()
            if wait > 0:
                self._changed.wait(min(wait, 3600.0))
                return None
            return job

    def _run_hinted(self) -> None:
        hinted = self._hinted
        if hinted is None:
            return
        self.running = "watch"

        if (pause := self._try(hinted.run)) is not None:
            hinted.failed(pause)
        self.running = ""

    def _try(self, run: Callable[[], float | None]) -> float | None:
        try:
            again = run()
        except StorageFull as error:
            self._on_trouble(self.kind, error)
        except OperationError as error:
            log.error("looking at %s failed: %s", self.kind.value, error)
            self._on_trouble(self.kind, error)
        else:
            self._pause = _FIRST_PAUSE
            return again
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause
