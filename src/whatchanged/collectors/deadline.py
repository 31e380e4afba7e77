"""Asking something that may never answer: in a thread of its own, which is left behind when the time is over.

A thread that hangs in another program's code cannot be ended, so there is never more than one of a question: until it
comes back, asking again fails at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Question", "Unanswered"]

_NOTICED = 0.25
"""Seconds after which a stop is noticed at the latest."""

Answer = TypeVar("Answer")


class Unanswered(Exception):
    """There was no answer in time."""


class Question(Generic[Answer]):
    """One question, asked again and again by one thread. Keep it: it remembers that nobody answers."""

    def __init__(
        self, name: str, ask: Callable[[], Answer], seconds: float, stop: threading.Event | None = None
    ) -> None:
        """Who waits is free again after so many `seconds`, or when `stop` is set."""
        self._name = name
        self._ask = ask
        self._seconds = seconds
        self._stop = threading.Event() if stop is None else stop
        self._asking: _Asking[Answer] | None = None

    def answer(self) -> Answer:
        """Return what `ask` returns, or raise what it raises; Unanswered when it takes too long."""
        if self._asking is not None and self._asking.is_alive():
            raise Unanswered("was asked before and has not answered yet")
        self._asking = _Asking(self._name, self._ask)
        self._asking.start()
        end = time.monotonic() + self._seconds
        while self._asking.is_alive():
            left = end - time.monotonic()
            if left <= 0 or self._stop.is_set():
                raise Unanswered(f"did not answer within {self._seconds:g} s" if left <= 0 else "was not waited for")
            self._asking.join(min(left, _NOTICED))
        asked, self._asking = self._asking, None
        return asked.result()


class _Asking(threading.Thread, Generic[Answer]):
    """A question under way. It keeps nothing from ending."""

    def __init__(self, name: str, ask: Callable[[], Answer]) -> None:
        super().__init__(name=name, daemon=True)
        self._ask = ask
        self._answers: list[Answer] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._answers.append(self._ask())
        except BaseException as error:  # noqa: BLE001  # raised where it is awaited
            self._error = error

    def result(self) -> Answer:
        """Return or raise what came of it, once it has ended."""
        if self._error is not None:
            raise self._error
        return self._answers[0]
