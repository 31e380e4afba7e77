"""Who made a change: the processes that watchers name, remembered until the path is looked at.

An answer is given only where it cannot be another: every process that touched the path since it was looked at last is
known, and they are the same program and account; what differs between them is left out. Where events were lost, or a
watcher cannot name a process, nobody is named.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from whatchanged.collectors.files import names_of_users
from whatchanged.watchers.hints import Executed, Hint, Reach
from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.observer import ProcessObserver

__all__ = ["Actors", "Touch"]

_CAPACITY = 50_000
_MOST_PROCESSES = 8
"""Of a path that so many processes touch between two looks nobody is named."""
_NAMES_SECONDS = 10.0
_TICK_NS = 10 * 10**6
"""Times of files move in steps of the kernel's tick."""
_PROGRAMS = 16
"""Files executed by one process that are remembered."""
_SECONDS = 0.5
"""How long an answer is waited for."""
_COMM_LENGTH = 15  # TASK_COMM_LEN without its NUL, proc_pid_comm(5)

Columns = Mapping[str, str | int]


class Touch(msgspec.Struct):
    """Who touched a path: processes, and the stretch in which they did (nanoseconds of the monotonic clock)."""

    processes: dict[int, int]
    """Process → place of its last event among all events."""
    since_ns: int
    until_ns: int
    known: bool = True


class Actors:
    """Remembers touches and answers for them; safe to be used by several threads."""

    def __init__(self, observer: ProcessObserver, root: bytes, *, command_lines: bool) -> None:
        """`root`: of the machine whose accounts these are. Without `command_lines` those are left out."""
        self._observer = observer
        self._root = root
        self._command_lines = command_lines
        self._lock = threading.Lock()
        self._touches: dict[bytes, Touch] = {}
        self._executed: dict[int, deque[tuple[int, bytes]]] = {}
        self._place = 0
        self._names: Mapping[int, str] = {}
        self._names_at = float("-inf")

    def note(self, events: Iterable[Hint | Executed], since: float) -> None:
        """Remember what events say, in their order; they happened after `since` (monotonic clock, seconds)."""
        since_ns = int(since * 10**9)
        with self._lock:
            for event in events:
                self._place += 1
                if isinstance(event, Executed):
                    self._note_executed(event)
                elif event.reach is Reach.ALL:
                    self._touches.clear()
                    self._executed.clear()
                elif event.reach is Reach.ENTRY:
                    self._note(event, since_ns)

    def _note_executed(self, event: Executed) -> None:
        if len(self._executed) >= _CAPACITY:
            self._executed.clear()
        self._executed.setdefault(event.pid, deque(maxlen=_PROGRAMS)).append((self._place, event.name))

    def executed(self, pid: int, place: int) -> Sequence[bytes]:
        """Return which files `pid` executed before an event of its own; none if it executed one after that."""
        with self._lock:
            found = list(self._executed.get(pid, ()))
        return [name for _, name in found] if all(at < place for at, _ in found) else []

    def _note(self, hint: Hint, since_ns: int) -> None:
        until_ns = int(hint.when * 10**9)
        touch = self._touches.get(hint.path)
        if touch is None:
            if len(self._touches) >= _CAPACITY:
                self._touches.clear()
            touch = self._touches[hint.path] = Touch({}, since_ns, until_ns)
        touch.until_ns = until_ns
        if not hint.pid or len(touch.processes) >= _MOST_PROCESSES:
            touch.known = False
        else:
            touch.processes[hint.pid] = self._place

    def take(self, path: bytes) -> Touch | None:
        """Return the touch of `path`, and forget it."""
        with self._lock:
            return self._touches.pop(path, None)

    def inquiry(self) -> Inquiry:
        """Return a way to ask about the touches of one batch."""
        if time.monotonic() - self._names_at > _NAMES_SECONDS:
            self._names, self._names_at = names_of_users(self._root), time.monotonic()
        return Inquiry(self, self._observer, self._names, command_lines=self._command_lines)


class Inquiry:
    """Answers about the touches of one batch: most of a burst are one process's."""

    def __init__(
        self, actors: Actors, observer: ProcessObserver, names: Mapping[int, str], *, command_lines: bool
    ) -> None:
        self._actors = actors
        self._observer = observer
        self._names = names
        self._command_lines = command_lines
        self._asked: dict[int, tuple[int, int, Actor | None]] = {}

    def columns(self, touch: Touch | None, changed_ns: int | None) -> Columns:
        """Return the columns of ConfigurationChange that say who; none if that is not known.

        `changed_ns`: the change time of what was found (wall clock), None if it is gone.
        """
        if touch is None or not touch.known or not touch.processes:
            return {}
        found = [self._one(pid, touch, changed_ns) for pid in sorted(touch.processes)]
        actors = [actor for actor in found if actor is not None]
        if len(actors) < len(found):
            return {}
        common = {
            name: value
            for name, value in self._described(actors[0]).items()
            if all(self._described(actor).get(name) == value for actor in actors[1:])
        }
        # An account or a parent without the program would be half an answer.
        return common if "InitiatingProcessName" in common else {}

    def _one(self, pid: int, touch: Touch, changed_ns: int | None) -> Actor | None:
        now_ns = time.monotonic_ns()
        from_ns, to_ns, actor = self._asked.get(pid, (0, 0, None))
        if not from_ns <= touch.since_ns <= touch.until_ns <= to_ns:
            actor = self._observer.who(pid, now_ns, touch.since_ns, timeout=_SECONDS)
            self._asked[pid] = (touch.since_ns, now_ns, actor)
        if actor is not None and actor.name is not None and actor.account is not None:
            return actor
        # It was not one program all the time. The change time of the file may say more precisely when, the order of
        # events that it had become its last program before.
        return self._at_the_change(pid, touch, changed_ns) or self._in_the_end(pid, touch, now_ns)

    def _at_the_change(self, pid: int, touch: Touch, changed_ns: int | None) -> Actor | None:
        earliest_ns = self._earliest(touch, changed_ns)
        if earliest_ns is None:
            return None
        actor = self._observer.who(pid, touch.until_ns, earliest_ns, timeout=_SECONDS)
        return actor if actor is not None and actor.name is not None else None

    def _in_the_end(self, pid: int, touch: Touch, now_ns: int) -> Actor | None:
        executed = self._actors.executed(pid, touch.processes[pid])
        since_ns = self._observer.last_program_ns(pid, now_ns, touch.since_ns) if executed else None
        if since_ns is None:
            return None
        actor = self._observer.who(pid, now_ns, since_ns, timeout=_SECONDS)
        if actor is None or actor.name is None:
            return None
        # What it runs must be one of the files whose execution came before the change: others may go unseen.
        file = os.path.basename(actor.executable or "")
        return actor if any(_is_called(name, actor.name, file) for name in executed) else None

    @staticmethod
    def _earliest(touch: Touch, changed_ns: int | None) -> int | None:
        if changed_ns is None:
            return None
        at_ns = changed_ns - (time.time_ns() - time.monotonic_ns()) - _TICK_NS
        # Beyond the stretch of the events the clock was set, or the time forged.
        return at_ns if touch.since_ns <= at_ns <= touch.until_ns else None

    def _described(self, actor: Actor) -> dict[str, str | int]:
        described: dict[str, Any] = {
            "InitiatingProcessName": _program(actor),
            "InitiatingProcessId": actor.pid,
            "InitiatingProcessCommandLine": actor.command_line if self._command_lines else None,
            "InitiatingProcessAccountName": self._account(actor.account),
            "InitiatingProcessLoginAccountName": self._account(actor.login_account),
            "InitiatingProcessParentName": actor.parent_name,
            "InitiatingProcessService": actor.service,
        }
        return {name: value for name, value in described.items() if value}

    def _account(self, uid: int | None) -> str | None:
        return None if uid is None else self._names.get(uid) or str(uid)


def _is_called(name: bytes, kernel_name: str, file: str) -> bool:
    text = name.decode(errors="replace")
    return text == file or text[:_COMM_LENGTH] == kernel_name


def _program(actor: Actor) -> str | None:
    """Return the kernel's name of a process, whole where its program file shows how it goes on."""
    if actor.name is None or len(actor.name.encode()) < _COMM_LENGTH:
        return actor.name
    file = os.path.basename((actor.executable or "").removesuffix(" (deleted)"))
    return file if file.startswith(actor.name) else actor.name
