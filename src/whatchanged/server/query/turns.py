"""Turns: who asks how many questions at once, so that one dashboard leaves room for everybody else.

An asker (a token) has a bounded number of questions that run, a bounded number that wait, and a bounded number in any
thirty seconds. A place that becomes free goes to whoever of those that wait has the fewest running. All of it happens
in one event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

from whatchanged.errors import LimitExceeded

__all__ = ["Busy", "Limits", "Turns"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What questions may take. The defaults of an asker are those of Azure's Logs Query API for a user."""

    at_once: int = 6
    """Questions that run at once, of all askers: one more than an asker may have, so that nobody takes every place."""
    of_one_at_once: int = 5
    of_one_waiting: int = 200
    of_one_in_window: int = 200
    window_seconds: float = 30.0
    wait_seconds: float = 180.0
    """How long a question waits for its turn."""
    memory: int = 2 * 1024**3
    """Bytes that the engine takes for one question."""


class Busy(LimitExceeded):
    """An asker asks too much; after `seconds` it may go again."""

    def __init__(self, message: str, why: str, seconds: float) -> None:
        super().__init__(message)
        self.why = why
        """`rate`, `waiting` or `turn`: a closed set."""
        self.seconds = max(1, math.ceil(seconds))


class _Asker:
    __slots__ = ("asked", "running", "served", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.served = 0
        """The number of its last turn, of all that were given."""
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.asked: deque[float] = deque()
        """When its questions of this window came."""


class Turns:
    """Gives turns. Belongs to one event loop."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._askers: dict[str, _Asker] = {}
        self._running = 0
        self._given = 0
        self.refused: Counter[str] = Counter()
        """Questions that were refused, by the reason."""

    @property
    def running(self) -> int:
        """How many questions have their turn."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many questions wait for it."""
        return sum(len(asker.waiting) for asker in self._askers.values())

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn of the asker `name` and hold it. Raises Busy."""
        self._forget()
        asker = self._askers.setdefault(name, _Asker())
        self._admit(asker)
        await self._wait(asker)
        try:
            yield
        finally:
            self._running -= 1
            asker.running -= 1
            self._next()

    def _admit(self, asker: _Asker) -> None:
        limits, now = self.limits, self._clock()
        if len(asker.asked) >= limits.of_one_in_window:
            seconds = asker.asked[0] + limits.window_seconds - now
            what = f"more than {limits.of_one_in_window} queries of this token in {limits.window_seconds:g} s"
            raise self._busy(what, "rate", seconds)
        if len(asker.waiting) >= limits.of_one_waiting:
            raise self._busy(f"{limits.of_one_waiting} queries of this token wait already", "waiting", 5)
        asker.asked.append(now)

    def _busy(self, message: str, why: str, seconds: float) -> Busy:
        self.refused[why] += 1
        return Busy(message, why, seconds)

    async def _wait(self, asker: _Asker) -> None:
        """Return with the turn taken."""
        turn = asyncio.get_running_loop().create_future()
        asker.waiting.append(turn)
        self._next()
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.cancelled():
                with suppress(ValueError):  # `_next` passed it over
                    asker.waiting.remove(turn)
            else:  # it came as its asker went away
                self._running -= 1
                asker.running -= 1
                self._next()
            if isinstance(error, TimeoutError):
                raise self._busy(f"no turn within {self.limits.wait_seconds:g} s", "turn", 5) from error
            raise

    def _next(self) -> None:
        """Give every place that is free to whom it is due."""
        while self._running < self.limits.at_once:
            due = [a for a in self._askers.values() if a.waiting and a.running < self.limits.of_one_at_once]
            if not due:
                return
            asker = min(due, key=lambda one: (one.running, one.served))
            turn = asker.waiting.popleft()
            if turn.cancelled():
                continue
            self._given += 1
            asker.served = self._given
            asker.running += 1
            self._running += 1
            turn.set_result(None)

    def _forget(self) -> None:
        """Let go of what is older than the window, and of askers of whom nothing is left."""
        begin = self._clock() - self.limits.window_seconds
        for name, asker in list(self._askers.items()):
            while asker.asked and asker.asked[0] <= begin:
                asker.asked.popleft()
            if not (asker.asked or asker.waiting or asker.running):
                del self._askers[name]
