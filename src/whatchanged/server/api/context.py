"""What every handler needs: the rooms of the server, and threads for their blocking functions."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, cast

from litestar.connection import ASGIConnection

from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.times import now_ns
from whatchanged.server.api.arrivals import Arrivals
from whatchanged.server.api.attempts import Attempts
from whatchanged.server.api.metrics import Metrics
from whatchanged.server.api.portal import Portal
from whatchanged.server.api.waiting import WaitingRoom
from whatchanged.server.control import Control, Refusal
from whatchanged.server.control.tokens import IngestionSigner
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest import Ingestor, health_line
from whatchanged.server.query import Questions, Reader
from whatchanged.server.settings_in_force import SettingsInForce
from whatchanged.server.storage import Storage

__all__ = ["Connection", "Context", "context_of"]

Connection = ASGIConnection[Any, Any, Any, Any]
_MOST_UPLOADS = 8
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """The rooms of one server."""

    control: Control
    storage: Storage
    ingestor: Ingestor
    reader: Reader
    questions: Questions
    signer: IngestionSigner
    public_url: str
    """Where machines reach this server, without a slash at the end."""
    hosts: frozenset[str]
    """Values of the Host header that may appear in addresses given to machines."""
    authority_pem: bytes | None
    authority_digest: str
    """SHA-256 of the authority's certificate, hex, or `-`."""
    server_folder: str
    """The server's own folder."""
    backups: str
    """Folder below which backups are written."""
    settings: SettingsInForce = field(default_factory=SettingsInForce)
    waiting: WaitingRoom = field(default_factory=WaitingRoom)
    arrivals: Arrivals = field(default_factory=Arrivals)
    attempts: Attempts = field(default_factory=Attempts)
    portal: Portal = field(default_factory=Portal)
    metrics: Metrics = field(default_factory=Metrics)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=8, thread_name_prefix="server")
    )
    bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))
    """Bodies being read at a time: with 2 MiB each it bounds the memory that machines can take."""

    uploads: Counter[str] = field(default_factory=Counter)
    """Bodies being read, by machine."""

    passwords: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Passwords being checked at a time: each takes 32 MiB and a quarter of a second of a core."""

    @property
    def secure(self) -> bool:
        """Whether browsers reach this server by TLS."""
        return self.public_url.startswith("https://")

    @contextmanager
    def uploading(self, machine_id: str) -> Iterator[None]:
        """Count a body of the machine; refuses one too many: one machine must not take every place in `bodies`."""
        if self.uploads[machine_id] >= _MOST_UPLOADS:
            raise Refusal(429, "TooManyRequests", f"{_MOST_UPLOADS} uploads of this machine are under way")
        self.uploads[machine_id] += 1
        try:
            yield
        finally:
            self.uploads[machine_id] -= 1
            if not self.uploads[machine_id]:
                del self.uploads[machine_id]

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, functools.partial(function, *args, **kwargs))

    async def report_clone(self, machine: MachineIdentity) -> None:
        """Write the health record of a machine id that is held twice."""
        record = HealthRecord(
            component=Component.SERVER,
            status=HealthStatus.ERROR,
            reason=HealthReason.CLONED,
            time_ns=now_ns(),
            detail="two live forwarders hold this machine id; the one that came later is refused and must enrol anew",
        )
        await self.write_health([(machine, record)])

    async def write_health(self, records: Sequence[tuple[MachineIdentity, HealthRecord]]) -> None:
        """Write rows of TrackingHealth about machines, in one insert: a part each would be too many for the engine."""
        lines = [health_line(machine, record) for machine, record in records]
        await self.call(self.storage.insert, "TrackingHealth", b"\n".join(lines))


def context_of(connection: Connection) -> Context:
    """Return the context of the application that serves `connection`."""
    return cast("Context", connection.app.state["context"])
