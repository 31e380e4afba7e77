"""Machines that hold a request open until something is new for them. One small object each, no thread.

`wake` may be called from any thread. Each waiter has a counter that only grows, so that what happens between
building an answer and beginning to wait is not missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Waiter", "WaitingRoom"]


class Waiter:
    """One held request."""

    __slots__ = ("_event", "group", "machine_id")

    def __init__(self, machine_id: str, group: str) -> None:
        self.machine_id = machine_id
        self.group = group
        self._event = asyncio.Event()

    def wake(self) -> None:
        """End the wait (in the event loop's thread)."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until woken, at most `seconds`; says whether it was woken. The next wait begins anew."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class WaitingRoom:
    """Everyone who waits. `limit` bounds them: beyond it nobody is held, everyone is answered at once."""

    def __init__(self, limit: int = 50_000) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: dict[str, set[Waiter]] = {}
        self._count = 0
        self._limit = limit
        self.closed = False

    @property
    def count(self) -> int:
        """How many wait."""
        return self._count

    @property
    def full(self) -> bool:
        """Whether nobody else is held."""
        return self.closed or self._count >= self._limit

    def open(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def enter(self, machine_id: str, group: str) -> Iterator[Waiter]:
        """Take a place; what happens from now on wakes the waiter."""
        waiter = Waiter(machine_id, group)
        self._waiters.setdefault(machine_id, set()).add(waiter)
        self._count += 1
        try:
            yield waiter
        finally:
            self._count -= 1
            mine = self._waiters[machine_id]
            mine.discard(waiter)
            if not mine:
                del self._waiters[machine_id]

    def wake(self, machine_id: str | None = None, group: str | None = None) -> None:
        """Wake one machine, a group, or (neither named) everyone; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, machine_id, group)

    def close(self) -> None:
        """Let everyone go and hold nobody any more; from any thread."""
        self.closed = True
        self.wake()

    def _wake(self, machine_id: str | None, group: str | None) -> None:
        if machine_id is not None:
            for waiter in self._waiters.get(machine_id, ()):
                waiter.wake()
            return
        for waiters in self._waiters.values():
            for waiter in waiters:
                if group is None or waiter.group == group:
                    waiter.wake()
