"""How `server`, `forwarder` and `tracker` run: log, account, how they are asked to end."""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Callable
from typing import Protocol

from whatchanged import logs
from whatchanged.cli.options import Values
from whatchanged.cli.privileges import drop, follow_parent, keep_modules_reachable
from whatchanged.cli.signals import stop_on
from whatchanged.settings import DataFolder

__all__ = ["Host", "run_process"]

_GRACE_SECONDS = 30


class Host(Protocol):
    """Where a process runs: under a shell, systemd or `up`, or in Windows' service control manager."""

    def configure_logs(self, level: str, data: DataFolder) -> None:
        """Say where the log goes."""

    def stop_on_request(self, stop: threading.Event) -> None:
        """Set `stop` when the process shall end. From now on it counts as started."""


class _Parent:
    """A parent process, which reads standard error and sends signals."""

    def configure_logs(self, level: str, data: DataFolder) -> None:
        logs.configure(level)
        faulthandler.enable()  # a crash in a library says where it was

    def stop_on_request(self, stop: threading.Event) -> None:
        stop_on((signal.SIGTERM, signal.SIGINT), stop, grace_seconds=_GRACE_SECONDS)


_PARENT = _Parent()


def run_process(values: Values, load: Callable[[], Callable[[threading.Event], int]], host: Host | None = None) -> int:
    """Run one of the three processes until it is asked to end; return its exit code.

    `load` imports what the process needs (still with the rights it was started with) and returns its `run`.
    Without a `host`, the parent process is it.
    """
    host = host or _PARENT
    host.configure_logs(values["log_level"], values.data)
    keep_modules_reachable()
    run = load()
    drop()
    stop = threading.Event()
    host.stop_on_request(stop)
    follow_parent()
    return run(stop)
