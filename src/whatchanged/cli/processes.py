"""How `server`, `forwarder` and `tracker` run: log, account, signals."""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Callable

from whatchanged import logs
from whatchanged.cli.options import Values
from whatchanged.cli.privileges import drop, follow_parent, keep_modules_reachable
from whatchanged.cli.signals import stop_on

__all__ = ["run_process"]

_GRACE_SECONDS = 30


def run_process(values: Values, load: Callable[[], Callable[[threading.Event], int]]) -> int:
    """Run one of the three processes until SIGTERM or SIGINT; return its exit code.

    `load` imports what the process needs (still with the rights it was started with) and returns its `run`.
    """
    logs.configure(values["log_level"])
    faulthandler.enable()  # a crash in a library says where it was
    keep_modules_reachable()
    run = load()
    drop()
    stop = threading.Event()
    stop_on((signal.SIGTERM, signal.SIGINT), stop, grace_seconds=_GRACE_SECONDS)
    follow_parent()
    return run(stop)
