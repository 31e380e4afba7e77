"""Simulated machines before an ingestor on the shared engine. Every test takes machines of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from whatchanged.records.items import Kind
from whatchanged.records.streams import DataType
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest import Ingestor, Stored
from whatchanged.server.storage import Storage


@dataclass
class RecordedEvents:
    """A control plane that remembers what it was asked."""

    resyncs: list[tuple[str, Kind]] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)

    def request_resync(self, machine_id: str, kind: Kind) -> None:
        self.resyncs.append((machine_id, kind))

    def request_new_epoch(self, machine_id: str) -> None:
        self.epochs.append(machine_id)


@dataclass
class Machine:
    """A simulated machine."""

    ingestor: Ingestor
    events: RecordedEvents
    storage: Storage
    identity: MachineIdentity = field(
        default_factory=lambda: MachineIdentity(
            machine_id=str(uuid.uuid4()), workspace_id=str(uuid.uuid4()), group="lab", name="host"
        )
    )
    epoch: str = field(default_factory=lambda: uuid.uuid4().hex)

    def record(self, stream: DataType, sequence: int, **columns: Any) -> dict[str, Any]:
        times = {"TimeGenerated": f"2026-03-01T00:{sequence // 60:02}:{sequence % 60:02}.0000000Z"}
        return {"_Stream": stream.value, "_Epoch": self.epoch, "_Sequence": sequence} | times | columns

    async def send(self, stream: DataType, *records: dict[str, Any]) -> Stored:
        return await self.ingestor.store(self.identity, stream, msgspec.json.encode(records))

    def settle(self) -> None:
        """Wait for what follows an answer (checksums), by a restart of the ingestor."""
        self.ingestor.close()
        self.ingestor = Ingestor(self.storage, self.events)

    async def changes(self, *sequences: int, **columns: Any) -> Stored:
        stream = DataType.CONFIG_CHANGE_V2
        columns = {"ConfigChangeType": "Files", "FileSystemPath": "/etc/hosts"} | columns
        return await self.send(stream, *(self.record(stream, n, **columns) for n in sequences))


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def ingestor(storage: Storage, events: RecordedEvents) -> Iterator[Ingestor]:
    opened = Ingestor(storage, events)
    yield opened
    opened.close()


@pytest.fixture
def machine(ingestor: Ingestor, events: RecordedEvents, storage: Storage) -> Iterator[Machine]:
    made = Machine(ingestor, events, storage)
    yield made
    made.ingestor.close()
