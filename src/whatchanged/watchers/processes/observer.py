"""Watches processes, so that it can be asked who did something after they are gone.

One thread follows the kernel's process events, reads /proc as soon as a program begins, and takes in the exit records.
`ProcessObserver.who` may be called from any thread; ask about half a second after the change, when everything is
known that will be. Without the events (no CAP_NET_ADMIN, a foreign namespace, a kernel without them) only processes
that are still there are known, by the program and user they have when we ask.

In a container with a pid namespace of its own the kernel gives no events and /proc shows the container's processes
only. From the host, processes in containers are seen like all others, under their pids on the host.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import logging
import os
import select
import threading
import time

import msgspec

from whatchanged.errors import OperationError, WireError
from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.audit import Audit, AuditHealth
from whatchanged.watchers.processes.audit_log import Heard
from whatchanged.watchers.processes.connector import (
    QUEUE_BYTES,
    Connector,
    EventsLost,
    Executed,
    Exited,
    Forked,
    Occurrence,
    Renamed,
    UserChanged,
)
from whatchanged.watchers.processes.proc import COMMAND_LIMIT, SHORT_COMMAND, Reading, read_process, running
from whatchanged.watchers.processes.table import ProcessTable
from whatchanged.watchers.processes.taskstats import ExitRecord, ExitRecords, RecordsLost

__all__ = ["ObserverHealth", "ProcessObserver"]

_LOG = logging.getLogger(__name__)

_COPY_AGE_NS = 20 * 10**6
"""A copy that runs no program of its own after this long is read: most have one within a millisecond."""
_MANY = 4096
_RESCAN_PAUSE_NS = 5 * 10**9
"""A machine that makes us lose events has no time for us to look at all its processes again and again."""
_PRIORITY = 1
_LONGEST_RUN_NS = 200 * 10**6
"""So long the thread may keep a processor for itself."""
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


class ObserverHealth(msgspec.Struct, frozen=True):
    """What works. A reason is empty where it does."""

    events: str
    """Why there are no process events: only what is still in /proc is known."""
    records: str
    """Why there are no exit records: of programs that ended at once, names are missing."""
    real_time: str
    """Why the thread does not go first: of programs that end at once, command lines are missing."""
    losses: int
    """How often the kernel threw events away: answers about processes that lived then are missing."""
    processes: int
    """In memory."""
    audit: AuditHealth | None = None
    """None: audit is not asked for."""


class ProcessObserver:
    """Knows the processes of this machine from `start` to `stop`."""

    def __init__(self, *, real_time: bool = True, queue_bytes: int = QUEUE_BYTES, audit: Audit | None = None) -> None:
        """`real_time`: let the thread go before others (SCHED_FIFO) where that is allowed.

        `queue_bytes`: kernel memory that waiting events may take. `audit` (not started) tells executions, too.
        """
        self._audit = audit
        self._queue_bytes = queue_bytes
        self._wish_real_time = real_time
        self._table = ProcessTable(audited=audit is not None)
        self._lock = threading.Lock()
        self._caught_up = threading.Condition()
        self._drained_ns = 0
        self._last_event_ns = 0
        self._connector: Connector | None = None
        self._records: ExitRecords | None = None
        self._wake = -1
        self._queues = select.poll()
        """Says whether events or records wait."""
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._no_events = "not started"
        self._no_records = "not started"
        self._no_real_time = "not started"
        self._losses = 0
        self._scanned_ns = 0
        self._rescan_at_ns: int | None = None

    def start(self) -> None:
        """Subscribe and look at every process there is; what cannot be had is in `health`."""
        try:
            self._connector = Connector(queue_bytes=self._queue_bytes)
        except OperationError as error:
            self._no_events = error.message
            self._no_records = self._no_real_time = "not used without process events"
            return
        self._no_events = self._no_records = ""
        try:
            self._records = ExitRecords()
        except OperationError as error:
            self._no_records = error.message
        if self._audit is not None:
            self._audit.start()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._scan()
        self._thread = threading.Thread(target=self._run, name="processes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the subscriptions. What is known can still be asked for."""
        self._stopping = True
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            with self._caught_up:  # nobody is about to wake it
                os.close(self._wake)
                self._thread = None
        if self._audit is not None:
            self._audit.stop()
        for source in (self._connector, self._records):
            if source is not None:
                source.close()
        self._connector = self._records = None

    def __enter__(self) -> ProcessObserver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def health(self) -> ObserverHealth:
        """Return what works."""
        return ObserverHealth(
            self._no_events,
            self._no_records,
            self._no_real_time,
            self._losses,
            len(self._table),
            None if self._audit is None else self._audit.health(),
        )

    def who(self, pid: int, at_ns: int, earliest_ns: int | None = None, *, timeout: float = 2.0) -> Actor | None:
        """Return who `pid` was at `at_ns` (CLOCK_MONOTONIC), or at some moment between `earliest_ns` and then.

        The narrower the stretch, the more is known: a process that ran two programs in it has none. A pid that two
        processes had in it is nobody. Waits up to `timeout` seconds until all that happened by `at_ns` is known.
        """
        earliest_ns = at_ns if earliest_ns is None else earliest_ns
        if self._no_events:
            return _who_is_there(pid, earliest_ns)
        deadline = time.monotonic() + timeout
        if not self._catch_up(at_ns, deadline):
            return None
        with self._lock:
            settled_ns = self._table.settled_ns(pid, at_ns)
        if settled_ns > self._drained_ns and not self._catch_up(settled_ns, deadline):
            return None
        with self._lock:
            actor = self._table.who(pid, at_ns, earliest_ns)
            complete_from = self._table.complete_from_ns
        if actor is None and (complete_from is None or earliest_ns < complete_from):
            return _who_is_there(pid, earliest_ns)
        return actor

    def last_program_ns(self, pid: int, at_ns: int, earliest_ns: int) -> int | None:
        """Return since when `pid` ran the program that it ran last in a stretch; None when that is not known.

        Ask after `who`, which waits until all that happened is known.
        """
        with self._lock:
            return self._table.last_program_ns(pid, at_ns, earliest_ns)

    def _catch_up(self, to_ns: int, deadline: float) -> bool:
        """Wait until all that happened by `to_ns` has been taken in; False when it has not by the deadline."""
        with self._caught_up:
            if self._thread is None:
                return to_ns <= self._drained_ns
            early = (to_ns - time.monotonic_ns()) / 10**9
            if early > 0:
                self._caught_up.wait_for(lambda: self._over, min(early, deadline - time.monotonic()))
                if self._over:
                    return to_ns <= self._drained_ns
            asked_ns = time.monotonic_ns()
            os.eventfd_write(self._wake, 1)
            drained = self._caught_up.wait_for(
                lambda: self._over or self._drained_ns >= max(to_ns, asked_ns),
                max(0.0, deadline - time.monotonic()),
            )
        # The kernel's queue is in order: with an event after that moment, all before it have been seen.
        return (drained and not self._over) or max(self._drained_ns, self._last_event_ns) >= to_ns

    @property
    def _over(self) -> bool:
        return self._stopping or bool(self._no_events)

    # The thread

    def _run(self) -> None:
        self._go_first()
        try:
            poller = select.poll()
            # Records do not wake us: a task's comes just before the event of its end, which does.
            assert self._connector is not None
            for waking in (self._connector.fileno(), self._wake):
                poller.register(waking, select.POLLIN)
            for queue in (self._connector, self._records):
                if queue is not None:
                    self._queues.register(queue, select.POLLIN)
            if self._audit is not None and (told := self._audit.fileno()) is not None:
                poller.register(told, select.POLLIN)
                self._queues.register(told, select.POLLIN)
            while not self._stopping:
                ready = poller.poll(self._patience_ms())
                self._work(asked=any(source == self._wake for source, _ in ready))
        except Exception as error:  # noqa: BLE001 - the last line of a thread; /proc remains
            _LOG.exception("the observer of processes ended")
            self._no_events = f"the observer ended: {error}"
        finally:
            with self._caught_up:
                self._caught_up.notify_all()

    def _patience_ms(self) -> int | None:
        if self._rescan_at_ns is not None:
            return 100
        if self._table.waits:
            return _COPY_AGE_NS // 10**6
        return 1000 if self._audit is not None and self._audit.incomplete else None

    def _work(self, *, asked: bool) -> None:
        if asked:
            os.eventfd_read(self._wake)
        drained_ns = self._drain()
        self._confirm_copies(drained_ns if asked else drained_ns - _COPY_AGE_NS)
        with self._lock:
            self._table.settle(drained_ns)
        if self._rescan_at_ns is not None and self._rescan_at_ns <= time.monotonic_ns():
            self._scan()
        with self._caught_up:
            self._drained_ns = drained_ns
            self._caught_up.notify_all()

    def _drain(self) -> int:
        """Take in all that waits; return the moment up to which nothing is missing."""
        began_ns = time.monotonic_ns()
        gone_first = not self._no_real_time
        told: list[Heard] = []
        while True:
            drained_ns = time.monotonic_ns()
            # Asking all queues at once costs less than finding each of them empty.
            if not self._queues.poll(0):
                break
            records = self._waiting_records()
            told += self._audit.waiting() if self._audit is not None else []
            # The events before a task's end are queued before its record is, and an execution's before audit's.
            busy = self._take_events()
            self._take_records(records)
            if not busy:  # all events until then have been taken in
                self._take_told(told)
                told.clear()
            if gone_first and drained_ns - began_ns > _LONGEST_RUN_NS:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
                gone_first = False
        self._take_told(told)
        if not self._no_real_time and not gone_first:
            self._go_first()
        return drained_ns

    def _take_events(self) -> bool:
        """Take in the events that wait, up to a number; return whether there were any."""
        assert self._connector is not None
        taken = 0
        while taken < _MANY:
            try:
                occurrence = self._connector.receive()
            except (EventsLost, WireError) as error:
                self._lose(error)
                return True
            if occurrence is None:
                break
            self._take(occurrence)
            taken += 1
        return taken > 0

    def _take(self, occurrence: Occurrence) -> None:
        at_ns, event = occurrence.at_ns, occurrence.event
        if isinstance(event, Executed):
            self._take_program(at_ns, event.pid)
        else:
            with self._lock:
                if isinstance(event, Forked):
                    if event.pid == event.thread:
                        self._table.forked(at_ns, event.pid, event.parent)
                elif isinstance(event, Exited):
                    self._table.exited(at_ns, event.pid, event.thread)
                elif isinstance(event, UserChanged):
                    self._table.user_changed(at_ns, event.pid, event.thread, event.effective)
                elif isinstance(event, Renamed):
                    self._table.renamed(at_ns, event.pid, event.thread, event.name)
        self._last_event_ns = at_ns

    def _take_program(self, at_ns: int, pid: int) -> None:
        reading = self._read(pid, user=self._table.wants_user(pid)) if self._table.wants_reading(at_ns, pid) else None
        with self._lock:
            self._table.executed(at_ns, pid, reading)

    def _read(self, pid: int, *, user: bool) -> Reading | None:
        limit = COMMAND_LIMIT if len(self._table) < _MANY else SHORT_COMMAND
        return read_process(pid, user=user, command_limit=limit)

    def _waiting_records(self) -> list[ExitRecord]:
        records: list[ExitRecord] = []
        while self._records is not None and len(records) < _MANY:
            try:
                record = self._records.receive()
            except (RecordsLost, WireError) as error:
                _LOG.warning("%s", error.message)
                continue
            if record is None:
                break
            records.append(record)
        return records

    def _take_records(self, records: list[ExitRecord]) -> None:
        if not records:
            return
        offset_ns = time.time_ns() - time.monotonic_ns()
        with self._lock:
            for record in records:
                self._table.recorded(record, record.began_s * 10**9 - offset_ns)

    def _take_told(self, told: list[Heard]) -> None:
        with self._lock:
            for one in told:
                self._table.told(one.told, one.at_ns, one.received_ns)

    def _confirm_copies(self, before_ns: int) -> None:
        with self._lock:
            pids = self._table.unconfirmed(before_ns)
        for pid in pids:
            reading = self._read(pid, user=self._table.wants_user(pid))
            with self._lock:
                self._table.confirm(pid, reading)

    def _lose(self, error: OperationError) -> None:
        """Begin anew after a gap."""
        assert self._connector is not None
        self._losses += 1
        _LOG.warning("%s", error.message)
        with self._lock:
            self._table.lost(self._last_event_ns)
        self._connector.discard()
        if self._rescan_at_ns is None:
            self._rescan_at_ns = self._scanned_ns + _RESCAN_PAUSE_NS

    def _scan(self) -> None:
        """Look at every process that began before the events did."""
        began_ns = self._scanned_ns = time.monotonic_ns()
        self._rescan_at_ns = None
        for pid in running():
            reading = self._read(pid, user=True)
            if reading is not None:
                with self._lock:
                    self._table.found(reading)
        with self._lock:
            self._table.found_all(began_ns)

    def _go_first(self) -> None:
        if not self._wish_real_time:
            self._no_real_time = "not wished"
            return
        try:
            # Reset on fork: no program that this process starts inherits it, sched(7).
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
        except OSError as error:
            self._no_real_time = error.strerror or str(error)
        else:
            self._no_real_time = ""


def _who_is_there(pid: int, earliest_ns: int) -> Actor | None:
    """Return who `pid` is now, if it is the process that it was then.

    What it was in between is not known. A user that is not its parent's, or not its only one, it may have become since.
    """
    reading = read_process(pid)
    if reading is None or reading.stat is None or reading.start_ns is None:
        return None
    if reading.start_ns + _TICK_NS > earliest_ns:
        return None
    parent = read_process(reading.stat.parent) if reading.stat.parent else None
    older = parent and parent.stat and parent.stat.start_ticks <= reading.stat.start_ticks
    steady = reading.one_user and (parent is None or parent.effective_user == reading.effective_user)
    return Actor(
        pid,
        name=reading.stat.name.decode(errors="replace"),
        command_line=reading.command_line,
        executable=reading.executable,
        account=reading.effective_user if steady else None,
        login_account=reading.login_user,
        parent_pid=reading.stat.parent or None,
        parent_name=parent.stat.name.decode(errors="replace") if parent and parent.stat and older else None,
        service=reading.service,
        followed=False,
    )
