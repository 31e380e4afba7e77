"""What the server does on its own: contacts, silence, certificates, retention. One task, each duty at its own pace."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from litestar import Litestar

from whatchanged.errors import OperationError
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.api.context import Context
from whatchanged.server.certificates import Authority

__all__ = ["Housekeeping", "renewer"]

_LOG = logging.getLogger(__name__)
_HOUR_NS = 3600 * 10**9


class Housekeeping:
    """The server's own duties."""

    def __init__(
        self,
        context: Context,
        *,
        silence_seconds: float,
        pace_seconds: float,
        retention_days: Mapping[str, int],
        renew: Callable[[], None] | None,
    ) -> None:
        """`renew` is called hourly to look after the certificate."""
        self._context = context
        self._silence_ns = int(silence_seconds * 10**9)
        self._pace = pace_seconds
        self._retention = dict(retention_days)
        self._renew = renew
        self._started = now_ns()
        self._hourly_done = now_ns()

    def lifespan(self, _app: Litestar) -> AbstractAsyncContextManager[None]:
        """Run while the application serves."""
        return self._running()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._forever())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(self._pace)
            try:
                await self.once()
            except OperationError as error:
                _LOG.error("housekeeping failed, will be tried again: %s", error)
            except Exception:  # noqa: BLE001 - one failed duty must not end all of them for the life of the server
                _LOG.exception("housekeeping failed")

    async def once(self) -> None:
        """Do what is due."""
        await self._context.call(self._context.control.machines.flush_contacts)
        await self._report_silence()
        if now_ns() - self._hourly_done > _HOUR_NS:
            self._hourly_done = now_ns()
            await self._hourly()

    async def _hourly(self) -> None:
        if self._renew is not None:
            await self._context.call(self._renew)
        if self._retention:
            await self._context.call(self._context.storage.retain, self._retention)

    async def _report_silence(self) -> None:
        now = now_ns()
        # While the server was away it heard nobody: silence counts from its start.
        if now - self._started < self._silence_ns:
            return
        machines = self._context.control.machines
        for machine, last in await self._context.call(machines.newly_silent, now - self._silence_ns):
            record = HealthRecord(
                component=Component.SERVER,
                status=HealthStatus.ERROR,
                reason=HealthReason.SILENT,
                time_ns=now,
                window_start_ns=last,
                window_end_ns=now,
                detail=f"nothing was heard of this machine since {time_text(last)}",
            )
            await self._context.write_health(machine, record)
            await self._context.call(machines.note_silence, [machine.machine_id])


def renewer(authority: Authority, hosts: list[str], context: ssl.SSLContext) -> Callable[[], None]:
    """Return a function that renews the certificate; connections made from then on get the new one."""

    def renew() -> None:
        files = authority.server_files(hosts)
        context.load_cert_chain(files.certificate, files.key)

    return renew
