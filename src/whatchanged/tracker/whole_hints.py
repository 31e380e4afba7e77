"""What a worker does about hints of a kind that is looked at whole: it looks at all of it, and not too often."""

from __future__ import annotations

import time
from collections.abc import Callable

from whatchanged.tracker.hints import Batch, PendingHints
from whatchanged.watchers.hints import Hint, Reach

__all__ = ["WholeHints"]

_WHOLE_SHARE = 5
_WHOLE_PAUSE = 0.5
_LONGEST_WHOLE_PAUSE = 5.0


class WholeHints:
    """Looks at a kind as a whole when a hint marks it."""

    def __init__(
        self, pending: PendingHints, look: Callable[[], tuple[float | None, bool]], settled: Callable[[], bool]
    ) -> None:
        """`look` looks; it returns after how many seconds to look again (or None), and whether it found a change."""
        self._pending = pending
        self._look = look
        self._settled = settled
        self._pause = _WHOLE_PAUSE
        self._ended = 0.0

    def due_at(self) -> float | None:
        """Return when there is something to look at."""
        return self._pending.due_at() if self._settled() else None

    def run(self) -> None:
        """Look. Raises StorageFull, OutboxFull."""
        if not self._pending.take():
            return
        began = time.monotonic()
        rested = began - self._ended > 2 * _LONGEST_WHOLE_PAUSE
        again, changed = self._look()
        self._ended = time.monotonic()
        # Something that signals all the time without changing anything gets a growing pause.
        self._pause = _WHOLE_PAUSE if changed or rested else min(self._pause * 2, _LONGEST_WHOLE_PAUSE)
        if again is not None:  # a hint before that says that what was awaited has come
            self._pending.add([Hint(b"/", self._ended + again, Reach.ALL)])
        self._pending.pause(max((self._ended - began) * _WHOLE_SHARE, self._pause))

    def failed(self, pause: float) -> None:
        """Look again later."""
        self._pending.put_back(Batch(everything=True), pause)
