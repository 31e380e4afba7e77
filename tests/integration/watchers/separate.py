"""A tracker in a process of its own: for what only a whole process shows (its end, its clock, its limits).

Run as a program it is that process: its one argument is the settings as JSON.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from integration.watchers.tracking import SECONDS, Tracking
from whatchanged.cli.signals import stop_on
from whatchanged.settings import DataFolder
from whatchanged.tracker.process import run
from whatchanged.tracker.settings import TrackerSettings


class SeparateTracking(Tracking):
    """A tracker in a process of its own."""

    def __init__(
        self, folder: Path, *, before: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        """`before`: words of the command line before the program, such as `setpriv …`."""
        super().__init__(folder)
        self._before = tuple(before)
        self._environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, settings: TrackerSettings) -> None:
        fields = msgspec.structs.asdict(settings) | {"data": settings.data.path}
        tests = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [*self._before, sys.executable, __file__, msgspec.json.encode(fields).decode()],
            env={**os.environ, "PYTHONPATH": tests, **self._environment},
        )

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(SECONDS)
            finally:
                self.process.kill()
                self.process.wait()
                self.process = None


def main() -> int:
    fields = msgspec.json.decode(sys.argv[1])
    stop = threading.Event()
    stop_on([signal.SIGTERM], stop)
    return run(TrackerSettings(**{**fields, "data": DataFolder(fields["data"])}), stop)


if __name__ == "__main__":
    sys.exit(main())
