"""How `server`, `forwarder` and `tracker` run: log, account, signals."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from whatchanged import logs
from whatchanged.cli.options import Values
from whatchanged.cli.privileges import drop, follow_parent, keep_modules_reachable

__all__ = ["run_process"]

_GRACE_SECONDS = 30


def run_process(values: Values, load: Callable[[], Callable[[threading.Event], int]]) -> int:
    """Run one of the three processes until SIGTERM or SIGINT; return its exit code.

    `load` imports what the process needs (still with the rights it was started with) and returns its `run`.
    """
    logs.configure(values["log_level"])
    keep_modules_reachable()
    run = load()
    drop()
    stop = threading.Event()
    _stop_on_signals(stop)
    follow_parent()
    return run(stop)


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        if sys.platform != "win32":
            # The kernel ends a process that does not manage to stop: a crash is something every store survives.
            signal.alarm(_GRACE_SECONDS)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
