"""The ingestor: bodies in, acknowledgement out after the group commit that holds them is on disk.

A small pool of threads validates; one thread commits. It takes what has gathered in a bounded queue (at most one
body per machine and stream a group, so that decisions rest on stored rows only), writes gap records first and the
rows after them, one insert a table, then answers. Only here are gap and fork records made.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from whatchanged.errors import OperationError, RecordError, StateError, StorageFull
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import Intake
from whatchanged.server.identity import MachineIdentity, SenderIdentity
from whatchanged.server.ingest.foreign import prepare_passed_on, prepare_request
from whatchanged.server.ingest.prepare import Confirmed, NumberedRow, Upload, identity_json, prepare
from whatchanged.server.ingest.sequences import Decision, Missing, Watermarks
from whatchanged.server.ingest.stored import StoredRows
from whatchanged.server.storage import CHECKSUM_SQL, Storage, physical_table

__all__ = ["IngestEvents", "Ingestor", "Stored", "health_line"]

_log = logging.getLogger(__name__)

_GROUP_BYTES = 16 * 1024 * 1024
_GROUP_WAIT = 0.01
_QUEUE = 512
_RESYNC_PAUSE = 60.0
_RESYNC_LONGEST = 6 * 3600.0
_SKEW_NS = 10 * 60 * 10**9
_SKEW_EVERY_NS = 3600 * 10**9
MAX_BODY = 2 * 1024 * 1024 * 8
"""Bytes of a decompressed body; the interface in front has the tighter bound on what it takes."""


class IngestEvents(Protocol):
    """What ingestion asks of the control plane. Called from the commit thread; must not block for long."""

    def request_resync(self, machine_id: str, kind: Kind) -> None:
        """Ask the machine to send everything of one kind again."""

    def request_new_epoch(self, machine_id: str) -> None:
        """Ask the machine to begin a new epoch: its state database is a copy or was rolled back."""


class Stored(msgspec.Struct, frozen=True):
    """What became of a body: rows that were added, and rows that were there already."""

    rows: int
    duplicates: int


@dataclass(slots=True)
class _Submission:
    upload: Upload
    answer: Future[Stored] = field(default_factory=Future)


@dataclass(slots=True)
class _Group:
    members: list[tuple[_Submission, Decision]] = field(default_factory=list)
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    health: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Resync:
    """A kind that was asked for and not right since: asked for again ever more rarely.

    Where a row was refused or lost for good no sending again helps, and every one costs the whole inventory.
    """

    asked: float = field(default_factory=time.monotonic)
    pause: float = _RESYNC_PAUSE

    def due(self) -> bool:
        return time.monotonic() - self.asked >= self.pause

    def again(self) -> None:
        self.asked = time.monotonic()
        self.pause = min(self.pause * 2, _RESYNC_LONGEST)


class Ingestor:
    """Stores uploads; create one per storage and `close` it before the storage."""

    def __init__(self, storage: Storage, events: IngestEvents, *, validators: int = 2) -> None:
        self._storage = storage
        self._stored = StoredRows(storage)
        self._events = events
        self._marks = Watermarks(storage.watermarks())
        self._doubtful = False
        """A group failed: some of its tables may hold their rows, and the watermarks do not know."""
        self._validators = ThreadPoolExecutor(validators, thread_name_prefix="validate")
        self._slots = threading.BoundedSemaphore(_QUEUE)
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._deferred: deque[_Submission] = deque()
        self._verified: dict[tuple[str, str], tuple[int, str]] = {}
        self._resyncing: dict[tuple[str, str], _Resync] = {}
        self._skew: dict[str, int] = {}
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self._counts = dict.fromkeys(
            ("rows", "bodies", "duplicates", "gaps", "lost_records", "forks", "resyncs", "refused", "commits"), 0
        )
        self._thread = threading.Thread(target=self._commit_forever, name="commit", daemon=True)
        self._thread.start()

    async def store(self, machine: MachineIdentity, stream: DataType, payload: bytes) -> Stored:
        """Store one decompressed body; returns when it is on disk.

        Raises RecordError (the body is wrong), StorageFull (nothing of it was stored; try again later).
        """
        return await self._store(payload, lambda: prepare(machine, stream, payload, time_text(now_ns())))

    async def store_passed_on(self, machine: MachineIdentity, name: str, intake: Intake, payload: bytes) -> Stored:
        """Store, as `store`, what a machine passes on for another program, under the stream `name`."""
        return await self._store(payload, lambda: prepare_passed_on(machine, name, intake, payload))

    async def store_request(self, sender: SenderIdentity, intake: Intake, payload: bytes, request_id: str) -> Stored:
        """Store, as `store`, what a sender uploads; the same id (if there is one) and body again add nothing."""
        return await self._store(payload, lambda: prepare_request(sender, intake, payload, request_id))

    async def _store(self, payload: bytes, make: Callable[[], Upload]) -> Stored:
        if len(payload) > MAX_BODY:
            raise RecordError(f"the body has more than {MAX_BODY} bytes")
        if self._closed or not self._slots.acquire(blocking=False):
            raise StorageFull("too many uploads are waiting", hint="try again later")
        try:
            loop = asyncio.get_running_loop()
            try:
                upload = await loop.run_in_executor(self._validators, make)
            except RecordError:
                self._count("refused", 1)
                raise
            return await asyncio.wrap_future(self._submit(upload))
        finally:
            self._slots.release()

    def on_stored(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever rows were stored, in the commit thread."""
        self._listeners.append(listener)

    def metrics(self) -> dict[str, int]:
        """Return counters since the start, and the depth of the queue."""
        with self._lock:
            return {**self._counts, "queue_depth": self._queue.qsize() + len(self._deferred)}

    def close(self) -> None:
        """Commit what was submitted, then stop; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._validators.shutdown()

    def _submit(self, upload: Upload) -> Future[Stored]:
        submission = _Submission(upload)
        # Whoever waits may be cancelled; the commit thread must be able to answer all the same.
        submission.answer.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                raise StorageFull("the server is stopping", hint="try again later")
            self._queue.put(submission)
        return submission.answer

    def _count(self, name: str, by: int) -> None:
        with self._lock:
            self._counts[name] += by

    # ---- the commit thread ----

    def _commit_forever(self) -> None:
        stopping = False
        while not stopping or self._deferred:
            submissions, ended = self._gather(stopping)
            stopping = stopping or ended
            if submissions:
                try:
                    self._commit(submissions)
                except Exception as error:  # noqa: BLE001 - the thread must outlive what nobody foresaw
                    self._doubtful = True
                    _log.exception("a group commit failed")
                    _fail(submissions, StateError(f"internal error: {error!r}"))

    def _gather(self, stopping: bool) -> tuple[list[_Submission], bool]:
        """Return the next group: at most one body per machine and stream; and whether the end was reached."""
        group: list[_Submission] = []
        taken: set[tuple[str, str]] = set()
        size = 0
        waiting, self._deferred = self._deferred, deque()
        while waiting:
            size += self._take(waiting.popleft(), group, taken)
        deadline = time.monotonic() + _GROUP_WAIT
        while not stopping and size < _GROUP_BYTES and len(self._deferred) < _QUEUE:
            try:
                wait = max(deadline - time.monotonic(), 0.0) if group else None
                # What has gathered during the last commit is taken at once; waiting is for the first few only.
                found = self._queue.get_nowait() if wait == 0.0 else self._queue.get(timeout=wait)
            except queue.Empty:
                break
            if found is None:
                return group, True
            size += self._take(found, group, taken)
            if len(group) == 1:
                deadline = time.monotonic() + _GROUP_WAIT
        return group, False

    def _take(self, found: _Submission, group: list[_Submission], taken: set[tuple[str, str]]) -> int:
        key = (found.upload.machine.machine_id, found.upload.name)
        if key in taken:
            self._deferred.append(found)
            return 0
        taken.add(key)
        group.append(found)
        return found.upload.size

    def _commit(self, submissions: list[_Submission]) -> None:
        group = _Group()
        try:
            self._settle_doubts()
        except OperationError as error:
            _fail(submissions, StorageFull(f"the watermarks cannot be read: {error}", hint="try again later"))
            return
        for submission in submissions:
            try:
                decision = self._decide(submission.upload)
            except RecordError as error:
                submission.answer.set_exception(error)
                continue
            except OperationError as error:
                # Also where a bound was hit: the body is good, and a final answer would make the machine drop it.
                problem = StorageFull(f"the stored rows cannot be read: {error}", hint="try again later")
                submission.answer.set_exception(problem)
                continue
            group.members.append((submission, decision))
            self._add(group, submission.upload, decision)
        try:
            self._insert(group)
        except StorageFull as error:
            self._doubtful = True
            _log.error("a group of %d uploads was not stored: %s", len(group.members), error)
            _fail([submission for submission, _ in group.members], error)
            return
        for submission, decision in group.members:
            self._marks.advance(submission.upload, decision)
        self._after(group)

    def _decide(self, upload: Upload) -> Decision:
        if not upload.request:
            return self._marks.decide(upload, self._stored)
        if self._stored.has_request(upload.machine.machine_id, upload.stream, upload.request):
            return Decision(duplicates=len(upload.entries))
        return Decision(rows=[entry for entry in upload.entries if isinstance(entry, NumberedRow)], orders={"": 0})

    def _settle_doubts(self) -> None:
        """After a failed group, take the watermarks from what is stored: a part of it may have been."""
        if self._doubtful:
            self._marks = Watermarks(self._storage.watermarks())
            self._doubtful = False

    def _insert(self, group: _Group) -> None:
        # Gaps first: a crash between the two must not leave rows behind a hole that nobody will report.
        if group.health:
            self._storage.insert("TrackingHealth", b"\n".join(group.health))
        for table, lines in group.lines.items():
            self._storage.insert(table, b"\n".join(lines))

    def _add(self, group: _Group, upload: Upload, decision: Decision) -> None:
        inventory = upload.stream is DataType.CONFIG_DATA_V2
        lines = group.lines.setdefault(physical_table(upload.stream), [])
        for row in (*decision.rows, *decision.late):
            lines.append(_finish(row, decision, inventory=inventory))
        for row in decision.forked:
            change_id = (
                f"{upload.machine.machine_id}:{upload.name}:{row.epoch}:{row.sequence}:{row.digest}"
                if physical_table(upload.stream) == "ConfigurationChange"
                else ""
            )
            lines.append(_finish(row, decision, inventory=inventory, change_id=change_id))
        if not lines:
            del group.lines[physical_table(upload.stream)]
        group.health += [health_line(upload.machine, record) for record in self._health(upload, decision)]

    def _health(self, upload: Upload, decision: Decision) -> list[HealthRecord]:
        records = [_gap(upload.name, missing) for missing in decision.missing]
        records += [_fork(upload.name, rows) for rows in _by_epoch(decision.forked)]
        records += [_filled(upload.name, rows) for rows in _by_epoch(decision.late)]
        if skew := self._skewed(upload):
            records.append(skew)
        return records

    def _skewed(self, upload: Upload) -> HealthRecord | None:
        now = now_ns()
        machine = upload.machine.machine_id
        if upload.latest <= time_text(now + _SKEW_NS) or now - self._skew.get(machine, 0) < _SKEW_EVERY_NS:
            return None
        self._skew[machine] = now
        return HealthRecord(
            component=Component.SERVER,
            status=HealthStatus.WARNING,
            reason=HealthReason.CLOCK_SKEW,
            time_ns=now,
            detail=f"records of {upload.latest} arrived at {time_text(now)}: the machine's clock is ahead",
        )

    def _after(self, group: _Group) -> None:
        """Answer, count and ask for what the group showed to be needed."""
        added = duplicates = 0
        for submission, decision in group.members:
            rows = len(decision.rows) + len(decision.late) + len(decision.forked)
            added += rows
            duplicates += decision.duplicates
            submission.answer.set_result(Stored(rows, decision.duplicates))
        with self._lock:
            self._counts["commits"] += 1
            self._counts["bodies"] += len(group.members)
            self._counts["rows"] += added
            self._counts["duplicates"] += duplicates
            for _, decision in group.members:
                self._counts["gaps"] += len(decision.missing)
                self._counts["lost_records"] += sum(m.count for m in decision.missing)
                self._counts["forks"] += len(decision.forked)
        if added:
            for listener in self._listeners:
                listener()
        for submission, decision in group.members:
            try:
                self._ask(submission.upload, decision)
            except Exception:  # noqa: BLE001 - the rows are stored and answered; the next confirmation asks again
                _log.exception("cannot verify the state of machine %s", submission.upload.machine.machine_id)

    def _ask(self, upload: Upload, decision: Decision) -> None:
        machine = upload.machine
        if decision.forked:
            self._events.request_new_epoch(machine.machine_id)
        for kind in upload.touched:
            self._verified.pop((machine.machine_id, kind), None)
        for confirmed in upload.confirmations.values():
            # Of a repeated body nothing is checked: the state has moved on since.
            if any(row.sequence == confirmed.sequence and row.epoch == confirmed.epoch for row in decision.rows):
                self._verify(machine, confirmed, decision.orders[confirmed.epoch])
        for kind in upload.unconfirmed:
            self._verified.pop((machine.machine_id, kind), None)

    def _verify(self, machine: MachineIdentity, confirmed: Confirmed, order: int) -> None:
        key = (machine.machine_id, confirmed.kind)
        claimed = (confirmed.items, confirmed.checksum)
        if self._verified.get(key) == claimed:
            return
        row = self._storage.query(
            CHECKSUM_SQL,
            {"machine": machine.machine_id, "kind": confirmed.kind, "order": order, "sequence": confirmed.sequence},
        )[0]
        if (row["items"], row["checksum"]) == claimed:
            self._verified[key] = claimed
            self._resyncing.pop(key, None)
            return
        asked = self._resyncing.get(key)
        if asked is not None and not asked.due():
            return
        self._count("resyncs", 1)
        if asked is not None:
            asked.again()
        else:
            self._resyncing[key] = _Resync()
            detail = f"the machine holds {confirmed.items} items, the server {row['items']}; asked for all of them"
            record = HealthRecord(
                component=Component.SERVER,
                status=HealthStatus.WARNING,
                reason=HealthReason.RESYNC,
                time_ns=now_ns(),
                kind=confirmed.kind,
                detail=detail,
            )
            self._storage.insert("TrackingHealth", health_line(machine, record))
        self._events.request_resync(machine.machine_id, Kind(confirmed.kind))


def _finish(row: NumberedRow, decision: Decision, *, inventory: bool, change_id: str = "") -> bytes:
    if inventory:
        return b'%b,"_EpochOrder":%d}' % (row.line, decision.orders[row.epoch])
    return b'%b,"ChangeId":"%b"}' % (row.line, change_id.encode()) if change_id else row.line + b"}"


def _fail(submissions: list[_Submission], error: OperationError) -> None:
    for submission in submissions:
        if not submission.answer.done():
            submission.answer.set_exception(error)


def health_line(machine: MachineIdentity, record: HealthRecord) -> bytes:
    """Return the row of TrackingHealth that the server writes about a machine."""
    columns = {**record.columns(), "Computer": machine.name}
    return msgspec.json.encode(columns)[:-1] + identity_json(machine, DataType.TRACKING_HEALTH) + b"}"


def _by_epoch(rows: list[NumberedRow]) -> Iterable[list[NumberedRow]]:
    """Return the rows of each epoch: a health record speaks of one, and is read for its watermark."""
    epochs: dict[str, list[NumberedRow]] = {}
    for row in rows:
        epochs.setdefault(row.epoch, []).append(row)
    return epochs.values()


def _gap(stream: str, missing: Missing) -> HealthRecord:
    return HealthRecord(
        component=Component.SERVER,
        status=HealthStatus.ERROR,
        reason=HealthReason.GAP,
        time_ns=now_ns(),
        detail=f"{missing.count} records are missing: {missing.reason}",
        stream=stream,
        epoch=missing.epoch,
        first_sequence=missing.first,
        last_sequence=missing.last,
        lost_records=missing.count,
    )


def _fork(stream: str, forked: list[NumberedRow]) -> HealthRecord:
    return HealthRecord(
        component=Component.SERVER,
        status=HealthStatus.ERROR,
        reason=HealthReason.FORK,
        time_ns=now_ns(),
        detail=f"{len(forked)} records came again with other content: the state database is a copy or was rolled back",
        stream=stream,
        epoch=forked[0].epoch,
        first_sequence=forked[0].sequence,
        last_sequence=forked[-1].sequence,
    )


def _filled(stream: str, late: list[NumberedRow]) -> HealthRecord:
    return HealthRecord(
        component=Component.SERVER,
        status=HealthStatus.OK,
        reason=HealthReason.GAP,
        time_ns=now_ns(),
        detail=f"{len(late)} records that were missing have arrived",
        stream=stream,
        epoch=late[0].epoch,
        first_sequence=late[0].sequence,
        last_sequence=late[-1].sequence,
        lost_records=0,
    )
