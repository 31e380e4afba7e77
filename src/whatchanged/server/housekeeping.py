"""What the server does on its own: contacts, silence, certificates, retention. One task, each duty at its own pace."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from litestar import Litestar

from whatchanged.errors import OperationError
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.api.context import Context
from whatchanged.server.backup import forget_restored, restored_from
from whatchanged.server.certificates import TlsFiles

__all__ = ["Housekeeping", "renewer"]

_LOG = logging.getLogger(__name__)
_HOUR = 3600.0


class Housekeeping:
    """The server's own duties."""

    def __init__(
        self,
        context: Context,
        *,
        silence_seconds: float,
        pace_seconds: float,
        renew: Callable[[], None] | None,
    ) -> None:
        """`renew` is called hourly and takes the certificate that is current, also one that others renew."""
        self._context = context
        self._silence_ns = int(silence_seconds * 10**9)
        self._pace = pace_seconds
        self._renew = renew
        self._started = self._hourly_done = time.monotonic()

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
        await _attempt("restored", self._tell_restored)
        while True:
            await asyncio.sleep(self._pace)
            await self.once()

    async def once(self) -> None:
        """Do what is due. A duty that fails is logged and comes again; it keeps no other from its turn."""
        await _attempt("silence", self._watch_contacts)
        if time.monotonic() - self._hourly_done > _HOUR:
            self._hourly_done = time.monotonic()
            if (renew := self._renew) is not None:
                await _attempt("certificate", lambda: self._context.call(renew))
            await _attempt("retention", lambda: self._context.call(self._retain))

    def _retain(self) -> None:
        days = self._context.settings.retention(self._context.control, now_ns())
        if days:
            self._context.storage.retain(days)

    async def _tell_restored(self) -> None:
        """Say of every machine which time is missing, once: a hole is only seen by what comes after it."""
        folder = self._context.server_folder
        taken = await self._context.call(restored_from, folder)
        if taken is None:
            return
        machines = await self._context.call(self._context.control.machines.active_machines)
        record = _restored(taken, now_ns())
        if machines:
            await self._context.write_health([(machine, record) for machine in machines])
        await self._context.call(forget_restored, folder)

    async def _watch_contacts(self) -> None:
        await self._context.call(self._context.control.flush)
        # While the server was away it heard nobody: silence counts from its start, whatever its clock did.
        if (time.monotonic() - self._started) * 10**9 < self._silence_ns:
            return
        now = now_ns()
        machines = self._context.control.machines
        silent = await self._context.call(machines.newly_silent, now - self._silence_ns)
        if silent:
            await self._context.write_health([(machine, _silence(last, now)) for machine, last in silent])
            await self._context.call(machines.note_silence, [machine.machine_id for machine, _ in silent])


async def _attempt(duty: str, work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except OperationError as error:
        _LOG.error("housekeeping (%s) failed, will be tried again: %s", duty, error)
    except Exception:  # noqa: BLE001 - one failed duty must not end all of them for the life of the server
        _LOG.exception("housekeeping (%s) failed", duty)


def _restored(taken: int, now: int) -> HealthRecord:
    return HealthRecord(
        component=Component.SERVER,
        status=HealthStatus.ERROR,
        reason=HealthReason.RESTORED,
        time_ns=now,
        window_start_ns=taken,
        window_end_ns=now,
        detail=f"the server was restored from a backup of {time_text(taken)}: changes that it took after that are gone",
    )


def _silence(last: int, now: int) -> HealthRecord:
    return HealthRecord(
        component=Component.SERVER,
        status=HealthStatus.ERROR,
        reason=HealthReason.SILENT,
        time_ns=now,
        window_start_ns=last,
        window_end_ns=now,
        detail=f"nothing was heard of this machine since {time_text(last)}",
    )


def renewer(current: Callable[[], TlsFiles], context: ssl.SSLContext) -> Callable[[], None]:
    """Return a function that takes the certificate that is `current`; connections made from then on get it."""

    def renew() -> None:
        files = current()
        context.load_cert_chain(files.certificate, files.key)

    return renew
