from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whatchanged.errors import RecordError, StorageFull
from whatchanged.records.carrier import Eviction
from whatchanged.records.streams import DataType
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest import Ingestor, Stored
from whatchanged.server.ingest.prepare import Upload, prepare
from whatchanged.server.storage import Storage, database, open_storage

CHANGES = DataType.CONFIG_CHANGE_V2


def health(storage: Storage, machine: Any, reason: str) -> list[dict[str, Any]]:
    return storage.query(
        "SELECT * FROM TrackingHealth WHERE SourceComputerId = {m:String} AND Reason = {r:String} ORDER BY IngestedAt",
        {"m": machine.identity.machine_id, "r": reason},
    )


def sequences(storage: Storage, machine: Any) -> list[int]:
    rows = storage.query(
        "SELECT Sequence FROM ConfigurationChange WHERE SourceComputerId = {m:String} ORDER BY Sequence",
        {"m": machine.identity.machine_id},
    )
    return [row["Sequence"] for row in rows]


def test_a_repeated_body_is_stored_once(machine: Any, storage: Storage) -> None:
    async def run() -> list[Stored]:
        return [await machine.changes(1, 2), await machine.changes(1, 2), await machine.changes(2, 3)]

    assert asyncio.run(run()) == [Stored(2, 0), Stored(0, 2), Stored(1, 1)]
    assert sequences(storage, machine) == [1, 2, 3]
    assert health(storage, machine, "Gap") == []


def test_the_same_body_sent_at_once_many_times_is_stored_once(machine: Any, storage: Storage) -> None:
    async def run() -> list[Stored]:
        return list(await asyncio.gather(*(machine.changes(1, 2) for _ in range(20))))

    assert sum(stored.rows for stored in asyncio.run(run())) == 2
    assert sequences(storage, machine) == [1, 2]


def test_a_hole_is_reported_once_and_may_be_filled(machine: Any, storage: Storage, events: Any) -> None:
    async def first() -> None:
        await machine.changes(3)
        await machine.changes(6)

    asyncio.run(first())
    gaps = health(storage, machine, "Gap")
    assert [(g["FirstSequence"], g["LastSequence"], g["LostRecords"]) for g in gaps] == [(1, 2, 2), (4, 5, 2)]
    assert all(g["Component"] == "Server" and g["Status"] == "Error" and g["Epoch"] == machine.epoch for g in gaps)
    # A server that starts again reads the watermarks from the rows, and says nothing twice.
    with_restart = Ingestor(storage, events)
    machine.ingestor = with_restart
    try:
        assert asyncio.run(machine.changes(4, 6, 7)) == Stored(2, 1)
    finally:
        with_restart.close()
    assert [g["Status"] for g in health(storage, machine, "Gap")] == ["Error", "Error", "Ok"]
    assert sequences(storage, machine) == [3, 4, 6, 7]


def test_another_content_under_a_stored_sequence_is_a_fork(machine: Any, storage: Storage, events: Any) -> None:
    async def run() -> list[Stored]:
        await machine.changes(1, 2)
        return [await machine.changes(2, Size=7), await machine.changes(2, Size=7)]

    assert asyncio.run(run()) == [Stored(1, 0), Stored(0, 1)]
    assert sequences(storage, machine) == [1, 2, 2]
    assert events.epochs == [machine.identity.machine_id]
    assert [f["FirstSequence"] for f in health(storage, machine, "Fork")] == [2]


def test_evictions_become_gap_records_and_move_the_watermark(machine: Any, storage: Storage) -> None:
    eviction = Eviction(stream=CHANGES, epoch=machine.epoch, first=2, last=9, count=8, reason="store full").fields()

    async def run() -> list[Stored]:
        await machine.changes(1)
        sent = [eviction, machine.record(CHANGES, 10, Size=1)]
        return [await machine.send(CHANGES, *sent), await machine.send(CHANGES, *sent)]

    assert asyncio.run(run()) == [Stored(1, 0), Stored(0, 2)]
    gaps = health(storage, machine, "Gap")
    assert [(g["FirstSequence"], g["LastSequence"], g["LostRecords"]) for g in gaps] == [(2, 9, 8)]
    assert "store full" in gaps[0]["Detail"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"Size": "3"}, "[1].Size"),
        ({"Nonsense": 1}, "[1].Nonsense"),
        ({"DateModified": "yesterday"}, "[1].DateModified"),
        ({"DateModified": "2026-02-30T00:00:00.0000000Z"}, "[1].DateModified"),
        ({"_Stream": "TRACKING_HEALTH"}, "[1]._Stream"),
        ({"_Sequence": 0}, "[1]._Sequence"),
        ({"_Epoch": "x"}, "[1]._Epoch"),
        ({"FieldsChanged": "x" * 70_000}, "[1].FieldsChanged"),
    ],
)
def test_a_wrong_record_is_refused_with_its_place(
    machine: Any, storage: Storage, change: dict[str, Any], place: str
) -> None:
    good = machine.record(CHANGES, 1)
    with pytest.raises(RecordError) as caught:
        asyncio.run(machine.send(CHANGES, good, machine.record(CHANGES, 2) | change))
    assert caught.value.place == place
    assert sequences(storage, machine) == []


def test_identity_and_text_come_out_as_they_should(machine: Any, storage: Storage) -> None:
    hostile = "/tmp/'; DROP TABLE x --\\\n\t\u0000\u202e\U0001f600\"{a:String}"
    record = machine.record(
        CHANGES,
        1,
        FileSystemPath=hostile,
        SourceComputerId="somebody else",
        _Future="x",
        DateModified="1601-01-01T00:00:00Z",
        PreviousDateModified="2024-02-29T12:00:00+02:00",
    )
    asyncio.run(machine.send(CHANGES, record))
    (row,) = storage.query(
        "SELECT * FROM ConfigurationChange WHERE FileSystemPath = {p:String} AND SourceComputerId = {m:String}",
        {"p": hostile, "m": machine.identity.machine_id},
    )
    assert row["FileSystemPath"] == hostile
    assert row["_ResourceId"] == machine.identity.resource_id
    assert row["TenantId"] == machine.identity.workspace_id
    assert row["DateModified"] == "1900-01-01T00:00:00.0000000Z"  # the engine's first day
    assert row["PreviousDateModified"] == "2024-02-29T10:00:00.0000000Z"


def test_a_clock_that_runs_ahead_is_reported_once(machine: Any, storage: Storage) -> None:
    async def run() -> None:
        for n in (1, 2):
            await machine.changes(n, TimeGenerated="2199-01-01T00:00:00.0000000Z")

    asyncio.run(run())
    assert len(health(storage, machine, "ClockSkew")) == 1


_CHILD = """
import asyncio, json, sys
from whatchanged.records.streams import DataType
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest import Ingestor
from whatchanged.server.storage import open_storage

class Quiet:
    def request_resync(self, machine_id, kind): pass
    def request_new_epoch(self, machine_id): pass

async def main(path):
    storage = open_storage(path)
    ingestor = Ingestor(storage, Quiet())
    machine = MachineIdentity(machine_id="m", workspace_id="w", group="g", name="n")
    if sys.argv[2] == "read":
        rows = storage.query("SELECT max(Sequence) AS last, count() AS n FROM ConfigurationChange")
        again = await send(ingestor, machine, rows[0]["last"])
        print(json.dumps([rows[0]["last"], rows[0]["n"], again.duplicates]), flush=True)
        ingestor.close(); storage.close()
        return
    for n in range(1, 100000):
        await send(ingestor, machine, n)
        print(n, flush=True)

async def send(ingestor, machine, n):
    record = {"_Stream": "CONFIG_CHANGE_BLOB_V2", "_Epoch": "a" * 32, "_Sequence": n, "Size": n,
              "TimeGenerated": "2026-01-01T00:00:00.0000000Z"}
    return await ingestor.store(machine, DataType.CONFIG_CHANGE_V2, json.dumps([record]).encode())

asyncio.run(main(sys.argv[1]))
"""


def test_what_was_acknowledged_survives_kill_nine(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(_CHILD)
    database = str(tmp_path / "db")
    with subprocess.Popen([sys.executable, str(script), database, "write"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        acknowledged = 0
        while acknowledged < 25:
            acknowledged = int(child.stdout.readline())
        child.kill()
        acknowledged = max(acknowledged, *map(int, child.stdout.read().split()), 0)
    done = subprocess.run([sys.executable, str(script), database, "read"], capture_output=True, check=True)
    last, count, duplicates = map(int, done.stdout.decode().strip("[]\n").split(","))
    assert last == count >= acknowledged
    assert duplicates == 1


@contextmanager
def closed(storage: Storage) -> Iterator[None]:
    """A real refusal by the engine, of one table only: gap records are stored, the rows are not."""
    storage._command("ALTER TABLE ConfigurationChange ADD CONSTRAINT closed CHECK 0", None)
    try:
        yield
    finally:
        storage._command("ALTER TABLE ConfigurationChange DROP CONSTRAINT closed", None)


def gap(machine: Any, first: int, last: int) -> dict[str, Any]:
    count = last - first + 1
    return Eviction(stream=CHANGES, epoch=machine.epoch, first=first, last=last, count=count, reason="quota").fields()


def gaps(storage: Storage, machine: Any) -> list[tuple[int, int, int]]:
    found = [(g["FirstSequence"], g["LastSequence"], g["LostRecords"]) for g in health(storage, machine, "Gap")]
    return sorted(found)


def test_a_group_that_was_stored_in_part_is_not_told_twice(machine: Any, storage: Storage) -> None:
    """Gap records are on disk, the rows are not: the upload that comes again adds the rows only."""
    with closed(storage), pytest.raises(StorageFull):
        asyncio.run(machine.changes(3))
    assert asyncio.run(machine.changes(3)) == Stored(1, 0)
    assert sequences(storage, machine) == [3]
    assert gaps(storage, machine) == [(1, 2, 2)]


def test_rows_before_a_stored_gap_that_are_dropped_in_the_end_are_reported(machine: Any, storage: Storage) -> None:
    """The disk was full when the rows should have followed their gap records, and then the machine's store was."""

    async def first() -> list[Stored]:
        await machine.changes(1, 2)
        with closed(storage), pytest.raises(StorageFull):
            rows = [machine.record(CHANGES, n, Size=1) for n in (3, 4, 8, 12)]
            await machine.send(CHANGES, *rows[:2], gap(machine, 5, 7), rows[2], rows[3])
        last = machine.record(CHANGES, 13, Size=1)
        sent = [gap(machine, 2, 12), last]
        return [await machine.send(CHANGES, *sent), await machine.send(CHANGES, *sent)]

    assert asyncio.run(first()) == [Stored(1, 0), Stored(0, 2)]
    assert sequences(storage, machine) == [1, 2, 13]
    assert gaps(storage, machine) == [(3, 4, 2), (5, 7, 3), (8, 8, 1), (9, 11, 3), (12, 12, 1)]


def test_rows_that_fill_holes_of_several_epochs_speak_of_their_own(machine: Any, storage: Storage) -> None:
    """What is said of one epoch must not move the watermark of another."""
    short, long = machine.epoch, "e" * 32

    async def run() -> None:
        await machine.changes(2)
        late = machine.record(CHANGES, 1)
        machine.epoch = long
        await machine.changes(900)
        await machine.send(CHANGES, late, machine.record(CHANGES, 800))

    asyncio.run(run())
    filled = [(g["Epoch"], g["FirstSequence"], g["LastSequence"]) for g in health(storage, machine, "Gap")[2:]]
    assert sorted(filled) == sorted([(short, 1, 1), (long, 800, 800)])
    marks = {m["epoch"]: m["last"] for m in storage.watermarks() if m["machine"] == machine.identity.machine_id}
    assert marks == {short: 2, long: 900}


def test_forks_of_several_epochs_are_told_apart(machine: Any, storage: Storage) -> None:
    first, second = machine.epoch, "d" * 32

    async def run() -> None:
        await machine.changes(1)
        copy = machine.record(CHANGES, 1, Size=7)
        machine.epoch = second
        await machine.changes(1, 2)
        await machine.send(CHANGES, copy, machine.record(CHANGES, 2, Size=7))

    asyncio.run(run())
    forks = [(f["Epoch"], f["FirstSequence"], f["LastSequence"]) for f in health(storage, machine, "Fork")]
    assert sorted(forks) == sorted([(first, 1, 1), (second, 2, 2)])


def test_a_sender_that_gives_up_does_not_disturb_the_others(machine: Any, storage: Storage, ingestor: Any) -> None:
    """A cancelled request (the server is stopping) stands in a group with others, who hear that they are stored."""

    def upload(machine_id: str) -> Upload:
        identity = MachineIdentity(machine_id=machine_id, workspace_id="w", group="g", name="n")
        return prepare(identity, CHANGES, msgspec.json.encode([machine.record(CHANGES, 1)]), "")

    with storage.writes_held():  # nothing is committed meanwhile
        impatient, patient = (ingestor._submit(upload(str(uuid.uuid4()))) for _ in range(2))
        asyncio.run(cancelled(impatient))
    assert patient.result(30) == Stored(1, 0)


async def cancelled(answer: Future[Stored]) -> None:
    waiting = asyncio.wrap_future(answer)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_what_cannot_be_looked_up_now_is_not_refused_for_good(
    machine: Any, storage: Storage, events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A final answer would make the machine drop the body; a bound that was hit says nothing against it."""
    asyncio.run(machine.changes(1, 2))
    monkeypatch.setitem(database._READ_LIMITS, "max_result_rows", 1)
    with open_storage(storage.path, readers=1) as narrow:
        narrowed = Ingestor(narrow, events)
        machine.ingestor, wide = narrowed, machine.ingestor
        with pytest.raises(StorageFull):
            asyncio.run(machine.changes(1, 2))
        narrowed.close()
    machine.ingestor = wide
    assert asyncio.run(machine.changes(1, 2)) == Stored(0, 2)
