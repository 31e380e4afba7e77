"""Ingestion beside the raw engine.

Uploads of change rows from simulated machines through `Ingestor.store` (bodies are built beforehand), beside plain
JSONEachRow inserts of the same final rows into an identical table, in the same process, in turn.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Callable

import msgspec

from benchmarks.table import Measure
from whatchanged.records.items import Kind
from whatchanged.records.streams import DataType
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest import Ingestor
from whatchanged.server.ingest.prepare import NumberedRow, prepare
from whatchanged.server.storage import Storage, open_storage

__all__ = ["measure"]

STREAM = DataType.CONFIG_CHANGE_V2
Bodies = list[tuple[MachineIdentity, list[bytes]]]
_IN_FLIGHT = 500
"""Just below what the ingestor lets wait before it says 503."""


class Quiet:
    """A control plane that is asked nothing here."""

    def request_resync(self, machine_id: str, kind: Kind) -> None:
        """Ignore it."""

    def request_new_epoch(self, machine_id: str) -> None:
        """Ignore it."""


def build(machines: int, rows: int, bodies: int) -> Bodies:
    """Return every machine with its bodies."""
    made = []
    for _ in range(machines):
        identity = MachineIdentity(
            machine_id=str(uuid.uuid4()), workspace_id=str(uuid.uuid4()), group="lab", name=uuid.uuid4().hex[:12]
        )
        epoch = uuid.uuid4().hex
        own = [
            msgspec.json.encode([row(identity.name, epoch, n) for n in range(b * rows + 1, (b + 1) * rows + 1)])
            for b in range(bodies)
        ]
        made.append((identity, own))
    return made


def row(computer: str, epoch: str, n: int) -> dict[str, object]:
    """Return a modified file, as the tracker writes it."""
    name = f"file-{n:06}.conf"
    return {
        "_Stream": STREAM.value,
        "_Epoch": epoch,
        "_Sequence": n,
        "TimeGenerated": f"2026-03-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.1234567Z",
        "Computer": computer,
        "ConfigChangeType": "Files",
        "ChangeCategory": "Modified",
        "FieldsChanged": "Size,DateModified,FileContentChecksum",
        "Name": name,
        "Location": "/etc/application",
        "FileSystemPath": f"/etc/application/{name}",
        "Size": n,
        "PreviousSize": n + 1,
        "DateModified": "2026-03-01T00:00:01.0000000Z",
        "PreviousDateModified": "2026-02-01T00:00:01.0000000Z",
        "Attributes": "-rw-r--r--",
        "Acls": "root:root",
        "FileContentChecksum": f"{n * 7919:064X}",
        "PreviousFileContentChecksum": f"{n * 7907:064X}",
        "SourceSystem": "Linux",
        "DetectedBy": "Watch",
        "RuleName": "etc",
        "TransactionId": f"{n:032x}",
    }


def final_lines(made: Bodies) -> list[bytes]:
    """Return the rows as they reach the table, in inserts as large as the group commits."""
    lines = []
    for identity, bodies in made:
        for body in bodies:
            upload = prepare(identity, STREAM, body, "")
            lines += [entry.line + b"}" for entry in upload.entries if isinstance(entry, NumberedRow)]
    return [b"\n".join(lines[n : n + 10_000]) for n in range(0, len(lines), 10_000)]


async def upload(ingestor: Ingestor, made: Bodies) -> None:
    """Send every machine's bodies in order, all machines at once, as many in flight as the ingestor takes."""
    slots = asyncio.Semaphore(_IN_FLIGHT)

    async def one(identity: MachineIdentity, bodies: list[bytes]) -> None:
        for body in bodies:
            async with slots:
                await ingestor.store(identity, STREAM, body)

    await asyncio.gather(*(one(identity, bodies) for identity, bodies in made))


def insert_raw(storage: Storage, blocks: list[bytes]) -> float:
    """Insert the rows into a table like ours; return the seconds."""
    with storage.writes_held() as client:
        client.command("CREATE TABLE Raw AS ConfigurationChange")
        began = time.perf_counter()
        for block in blocks:
            client.raw_insert("Raw", insert_block=block, fmt="JSONEachRow")
        seconds = time.perf_counter() - began
        client.command("DROP TABLE Raw SYNC")
    return seconds


def ingest(ingestor: Ingestor, made: Bodies) -> float:
    """Send the uploads; return the seconds."""
    began = time.perf_counter()
    asyncio.run(upload(ingestor, made))
    return time.perf_counter() - began


def measure(machines: int, rows: int, bodies: int, rounds: int) -> list[Measure]:
    """Return the rate of ingestion beside that of the engine."""
    total = machines * rows * bodies
    raw: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as folder, open_storage(folder + "/db") as storage:
        ingestor = Ingestor(storage, Quiet())
        insert_raw(storage, final_lines(build(10, rows, 1)))  # warm
        ingest(ingestor, build(10, rows, 1))
        stored = 10 * rows
        for number in range(rounds):
            made = build(machines, rows, bodies)
            blocks = final_lines(made)
            contests: list[tuple[list[float], Callable[[], float]]] = [
                (raw, lambda: insert_raw(storage, blocks)),  # noqa: B023 - called in this turn
                (ours, lambda: ingest(ingestor, made)),  # noqa: B023
            ]
            for results, work in contests if number % 2 == 0 else reversed(contests):
                results.append(total / work())
            stored += total
            print(f"raw insert {raw[-1]:,.0f} rows/s, through Ingestor.store {ours[-1]:,.0f} rows/s", flush=True)
        print(f"ingestor: {ingestor.metrics()}")
        ingestor.close()
        assert storage.query("SELECT count() AS n FROM ConfigurationChange") == [{"n": stored}]
    return [
        Measure(f"ingestion of {machines} machines / raw insert", max(ours), max(raw), "rows/s", 0.5, at_least=True)
    ]
