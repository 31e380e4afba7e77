"""Child processes of `up`: started, watched, started again with back-off, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from whatchanged.cli.privileges import DROP_TO, PARENT
from whatchanged.cli.program import command_line

__all__ = ["Account", "Child", "Supervisor", "child_environment"]

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0
"""A child that lived so long starts its back-off anew."""
_STOP_SECONDS = 35.0
_LOOK_SECONDS = 0.2
# Secrets that children have no use for.
_WITHHELD = ("WHATCHANGED_TOKEN", "WHATCHANGED_ENROLLMENT_TOKEN", "WHATCHANGED_URL")


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a child changes to; None in `Child` keeps the parent's."""

    uid: int
    gid: int


@dataclass(slots=True)
class Child:
    """One process and how it fared."""

    name: str
    arguments: Sequence[str]
    account: Account | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    again_at: float = field(default=0.0)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None


def child_environment(account: Account | None) -> Mapping[str, str]:
    """Return the environment of a child."""
    environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    environment[PARENT] = str(os.getpid())
    if account is not None:
        environment[DROP_TO] = f"{account.uid}:{account.gid}"
    return environment


class Supervisor:
    """Owns the children. Use from the main thread only: the kernel's parent-death signal follows the thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []

    def start(self, child: Child) -> None:
        """Start a child and keep it running from now on."""
        self._children.append(child)
        self._launch(child)

    def run(self, stop: threading.Event, on_tick: Callable[[], None]) -> None:
        """Watch the children until `stop` is set; `on_tick` is called a few times a second."""
        while not stop.wait(_LOOK_SECONDS):
            self.watch()
            on_tick()

    def watch(self) -> None:
        """Look after every child once: start those again whose pause is over."""
        now = time.monotonic()
        for child in self._children:
            if child.alive:
                continue
            if child.process is not None:
                self._ended(child, child.process.returncode, now)
            elif now >= child.again_at:
                self._launch(child)

    def stop(self) -> None:
        """End all children: ask, wait, and force those that do not listen. In reverse order of their start."""
        deadline = time.monotonic() + _STOP_SECONDS
        for child in reversed(self._children):
            if child.process is None:
                continue
            if child.alive:
                child.process.send_signal(signal.SIGTERM)
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                self._say(f"{child.name} does not stop; ending it")
                child.process.kill()
                child.process.wait()

    def _launch(self, child: Child) -> None:
        child.started = time.monotonic()
        # A process group of its own: Ctrl-C reaches only us, and we stop the children in order.
        child.process = subprocess.Popen(  # noqa: S603 - our own program, arguments made by us
            command_line(child.arguments),
            env=dict(child_environment(child.account)),
            stdin=subprocess.DEVNULL,
            process_group=0,
        )

    def _ended(self, child: Child, code: int, now: float) -> None:
        if now - child.started >= _STEADY_SECONDS:
            child.pause = _FIRST_PAUSE
        how = f"signal {-code}" if code < 0 else f"code {code}"
        self._say(f"{child.name} ended with {how}; starting it again in {child.pause:g} s")
        child.process = None
        child.again_at = now + child.pause
        child.pause = min(child.pause * 2, _LONGEST_PAUSE)
