"""How a process is asked to end."""

from __future__ import annotations

import queue
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

__all__ = ["stop_on"]


def stop_on(signals: Sequence[signal.Signals], stop: threading.Event, *, grace_seconds: int | None = None) -> None:
    """Set `stop` when one of `signals` comes; after `grace_seconds` the kernel ends the process. Main thread only.

    A handler runs in the main thread between any two of its instructions, also while it holds the lock of `stop` in
    order to wait for it: setting it there would wait for itself. So a thread of its own does, and the handler only
    puts into a queue that may be interrupted by itself (queue.SimpleQueue.put).
    """
    came: queue.SimpleQueue[int] = queue.SimpleQueue()

    def on_signal(number: int, frame: FrameType | None) -> None:
        came.put(number)
        if sys.platform != "win32" and grace_seconds is not None:
            # Of a process that does not manage to stop: a crash is something every store survives.
            signal.alarm(grace_seconds)

    def wait() -> None:
        came.get()
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in signals:
        signal.signal(number, on_signal)
