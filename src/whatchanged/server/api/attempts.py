"""Failed sign-ins are counted, by name and by address; who fails too often waits.

By name, so that one password is not guessed from everywhere; by address, so that one place does not try all names. In
memory: a restart forgets, which costs more than waiting.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from whatchanged.server.control.refusals import Refusal

__all__ = ["Attempts"]

_WINDOW = 600.0
_OF_A_NAME = 10
_OF_AN_ADDRESS = 30
_MOST = 10_000


class Attempts:
    """Counts failures of the last ten minutes. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, name: str, address: str) -> None:
        """Refuse who failed too often; `name` is empty where a secret is tried that needs none."""
        if any(len(self._recent(key)) >= most for key, most in _keys(name, address)):
            raise Refusal(429, "TooManyRequests", "too many sign-ins failed; try again in ten minutes")

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        for key, most in _keys(name, address):
            self._failures.setdefault(key, deque(maxlen=most)).append(self._clock())
            self._failures.move_to_end(key)
        while len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name: its owner mistyped."""
        self._failures.pop(f"name:{name}", None)

    def _recent(self, key: str) -> deque[float]:
        found = self._failures.get(key)
        if found is None:
            return deque()
        while found and found[0] < self._clock() - _WINDOW:
            found.popleft()
        return found


def _keys(name: str, address: str) -> list[tuple[str, int]]:
    keys = [(f"address:{address}", _OF_AN_ADDRESS)]
    return [*keys, (f"name:{name}", _OF_A_NAME)] if name else keys
