"""Who watches for rows that arrive: a mark that moves with every group of rows, and requests held until it does.

The mark is a hint and says nothing but "look again"; rows that another process of the server stored move it there.
"""

from __future__ import annotations

import asyncio
import secrets

__all__ = ["Arrivals"]

_MOST = 1000


class Arrivals:
    """The mark, and everyone who waits for it to move. Beyond a thousand nobody is held."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(4)
        self._count = 0
        self._held = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moved = asyncio.Event()
        self._closed = False

    @property
    def mark(self) -> str:
        """The mark now."""
        return f"{self._life}-{self._count}"

    def open(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Let everyone go and hold nobody any more; from any thread."""
        self._closed = True
        self.arrived()

    def arrived(self) -> None:
        """Move the mark; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._move)

    async def wait(self, known: str, seconds: float) -> str:
        """Return the mark as soon as it is not `known`, at the latest after `seconds`."""
        if known != self.mark or self._closed or self._held >= _MOST:
            return self.mark
        self._held += 1
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            pass
        finally:
            self._held -= 1
        return self.mark

    def _move(self) -> None:
        self._count += 1
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
