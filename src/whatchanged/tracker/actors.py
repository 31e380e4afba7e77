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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from whatchanged.collectors.files import names_of_users
from whatchanged.records.items import Kind
from whatchanged.tracker.places import subject_of
from whatchanged.tracker.touches import Inquiry, Stretch, Touch
from whatchanged.tracker.visits import Columns, Visit, Visited, Visits, common
from whatchanged.watchers.hints import Executed, Hint, Reach
from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.observer import ProcessObserver

__all__ = ["Actors"]

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
_ASKED_NS = 5 * 10**9
"""A process that is gone is known for half a minute: who came is asked before, however long a look has to wait."""
_ASKED_AT_ONCE = 16
_COMM_LENGTH = 15  # TASK_COMM_LEN without its NUL, proc_pid_comm(5)


class Actors:
    """Remembers touches and answers for them; safe to be used by several threads."""

    def __init__(self, observer: ProcessObserver, caught_up: Callable[[], bool], *, command_lines: bool) -> None:
        """`caught_up` waits until all that happened so far was noted, and says whether it was.

        Without `command_lines` those are left out.
        """
        self._observer = observer
        self._caught_up = caught_up
        self._command_lines = command_lines
        self._lock = threading.Lock()
        self._touches: dict[bytes, Touch] = {}
        self._visits: dict[Kind, Visits] = {kind: Visits() for kind in (Kind.SOFTWARE, Kind.DAEMONS)}
        self._watched: frozenset[Kind] = frozenset()
        self._blind = False
        self._lost_ns: int | None = None
        """When somebody came to files unseen, at last: a change that is found now may be his. None: it was found."""
        self._executed: dict[int, deque[tuple[int, bytes]]] = {}
        self._place = 0
        self._names: Mapping[int, str] = {}
        self._names_at = float("-inf")

    def note(self, events: Iterable[tuple[Hint | Executed, Collection[Kind]]], since: float) -> None:
        """Remember what events say, in their order, with the kinds that each concerns.

        They happened after `since` (monotonic clock, seconds).
        """
        since_ns = int(since * 10**9)
        with self._lock:
            for event, kinds in events:
                self._place += 1
                if isinstance(event, Executed):
                    self._note_executed(event)
                    continue
                if event.reach is Reach.ALL:
                    self._lose_files(int(event.when * 10**9))
                elif event.reach is not Reach.FOLDER and Kind.FILES in kinds:  # of a tree it says who renamed it
                    self._note(event, since_ns)
                for kind in kinds:
                    if kind in self._visits:
                        self._note_visit(kind, event, since_ns)

    def _note_visit(self, kind: Kind, hint: Hint, since_ns: int) -> None:
        until_ns = int(hint.when * 10**9)
        if hint.reach is not Reach.ENTRY:  # files came or went with a folder, or nobody knows which
            self._visits[kind].lose(until_ns)
        elif (subject := subject_of(kind, hint.path)) is not None:
            self._visits[kind].add(hint.pid, self._place, since_ns, until_ns, subject)

    def lose(self, *, blind: bool) -> None:
        """Note that somebody may have come unseen to the kinds that are looked at whole.

        `blind`: to every file too, and so it goes on until this is called again without.
        """
        with self._lock:
            now_ns = time.monotonic_ns()
            for visits in self._visits.values():
                visits.lose(now_ns)
            self._blind = blind
            if blind or self._lost_ns is not None:
                self._lose_files(now_ns)

    def _lose_files(self, at_ns: int) -> None:
        self._touches.clear()
        self._executed.clear()
        self._lost_ns = at_ns

    def watched(self, kinds: Collection[Kind]) -> None:
        """Note of which kinds every touch is told; of the others a part is only polled."""
        with self._lock:
            self._watched = frozenset(kinds)

    def visited(self, kind: Kind) -> Visited:
        """Return who touched the files of a kind since a look at it was settled."""
        with self._lock:
            return self._visits[kind].seen() if kind in self._watched and kind in self._visits else Visited()

    def settle(self, kind: Kind, before_ns: int, held: frozenset[bytes]) -> None:
        """Forget who came to a kind before a look that began at `before_ns`, but for `held` subjects.

        Of files: what was lost before then has been found.
        """
        with self._lock:
            if kind is Kind.FILES and not self._blind and self._lost_ns is not None and self._lost_ns < before_ns:
                self._lost_ns = None
            if kind in self._visits:
                self._visits[kind].settle(before_ns, held)

    def tell(self) -> bool:
        """Ask who came some time ago, while it is still known; return whether there is somebody to ask about later.

        For the thread that notes: it never waits for what it has to note itself.
        """
        if self._observer.health().events:  # then nobody is known who is gone: asking early gains nothing
            return False
        before_ns = time.monotonic_ns() - _ASKED_NS
        with self._lock:
            waiting = any(visits.untold(time.monotonic_ns()) for visits in self._visits.values())
            due = [(v, visit, visit.until_ns) for v in self._visits.values() for visit in v.untold(before_ns)]
        if due:
            inquiry = self.inquiry(lambda: False)
            end = time.monotonic() + _SECONDS  # events wait meanwhile: the rest is asked the next time
            for visits, visit, until_ns in due[:_ASKED_AT_ONCE]:
                if time.monotonic() > end:
                    break
                columns = inquiry.visitor(visit)
                with self._lock:
                    visits.tell(visit, until_ns, columns)
        return waiting

    def _note_executed(self, event: Executed) -> None:
        if len(self._executed) >= _CAPACITY:
            self._executed.clear()
        self._executed.setdefault(event.pid, deque(maxlen=_PROGRAMS)).append((self._place, event.name))

    def executed(self, pid: int, place: int) -> Sequence[bytes]:
        """Return which files `pid` executed before an event of its own; none if it executed one after that."""
        with self._lock:
            found = list(self._executed.get(pid, ()))
        return [name for _, name in found] if all(at < place for at, _ in found) else []

    def went_on(self, pid: int, first: int) -> bool:
        """Whether `pid` executed a file after an event of its own."""
        with self._lock:
            return any(at > first for at, _ in self._executed.get(pid, ()))

    def _note(self, hint: Hint, since_ns: int) -> None:
        until_ns = int(hint.when * 10**9)
        touch = self._touches.get(hint.path)
        if touch is None:
            if len(self._touches) >= _CAPACITY:
                self._touches.clear()
            touch = self._touches[hint.path] = Touch({})
        stretch = touch.processes.get(hint.pid)
        if stretch is not None:
            stretch.place, stretch.until_ns = self._place, until_ns
        elif not hint.pid or self._lost_ns is not None or len(touch.processes) >= _MOST_PROCESSES:
            touch.unknown_ns = until_ns
        else:
            touch.processes[hint.pid] = Stretch(self._place, since_ns, until_ns, self._place)

    def take(self, path: bytes, looked_ns: int) -> Touch | None:
        """Return the touch of `path`, and forget what was over when the look at it began, at `looked_ns`.

        The rest may be of a change that only the next look sees.
        """
        with self._lock:
            touch = self._touches.pop(path, None)
            if touch is not None and (rest := touch.rest(looked_ns)) is not None:
                self._touches[path] = rest
            return touch

    def inquiry(self, caught_up: Callable[[], bool] | None = None) -> Inquiry:
        """Return a way to ask about the touches of one batch."""
        if time.monotonic() - self._names_at > _NAMES_SECONDS:
            # Of the machine that runs the processes, whatever root is looked at.
            self._names, self._names_at = names_of_users(b"/"), time.monotonic()
        wait = caught_up or self._caught_up
        return _Inquiry(self, self._observer, self._names, wait, command_lines=self._command_lines)


class _Inquiry:
    """Answers about the touches of one batch: most of a burst are one process's."""

    def __init__(
        self,
        actors: Actors,
        observer: ProcessObserver,
        names: Mapping[int, str],
        caught_up: Callable[[], bool],
        *,
        command_lines: bool,
    ) -> None:
        self._caught_up = caught_up
        self._actors = actors
        self._observer = observer
        self._names = names
        self._command_lines = command_lines
        self._asked: dict[int, tuple[int, int, Actor | None]] = {}

    def columns(self, touch: Touch | None, changed_ns: int | None) -> Columns:
        """Return the columns of ConfigurationChange that say who; none if that is not known.

        `changed_ns`: the change time of what was found (wall clock), None if it is gone.
        """
        if touch is None or touch.unknown_ns or not touch.processes:
            return {}
        found = [self._one(pid, stretch, changed_ns) for pid, stretch in sorted(touch.processes.items())]
        return common([{} if actor is None else self._described(actor) for actor in found])

    def visitor(self, visit: Visit) -> Columns:
        """Return the columns of ConfigurationChange that say who a visit was; none if that is not known."""
        if not visit.pid:
            return {}
        return self.columns(Touch({visit.pid: Stretch(visit.place, visit.since_ns, visit.until_ns, visit.first)}), None)

    def _one(self, pid: int, touch: Stretch, changed_ns: int | None) -> Actor | None:
        now_ns = time.monotonic_ns()
        from_ns, to_ns, actor = self._asked.get(pid, (0, 0, None))
        if not from_ns <= touch.since_ns <= touch.until_ns <= to_ns:
            actor = self._observer.who(pid, now_ns, touch.since_ns, timeout=_SECONDS)
            # What is only read may have been executed between the last event that was told and the reading.
            if actor is not None and not actor.followed and not self._caught_up():
                actor = None
            self._asked[pid] = (touch.since_ns, now_ns, actor)
        if actor is not None and not actor.followed:
            return None if self._actors.went_on(pid, touch.first) else actor
        if actor is not None and actor.name is not None and actor.account is not None:
            return actor
        # It was not one program all the time. The change time of the file may say more precisely when, the order of
        # events that it had become its last program before.
        then = self._at_the_change(pid, touch, changed_ns)
        if then is not None and then.account is not None:
            return then
        return self._in_the_end(pid, touch, now_ns) or then

    def _at_the_change(self, pid: int, touch: Stretch, changed_ns: int | None) -> Actor | None:
        earliest_ns = self._earliest(touch, changed_ns)
        if earliest_ns is None:
            return None
        actor = self._observer.who(pid, touch.until_ns, earliest_ns, timeout=_SECONDS)
        return actor if actor is not None and actor.name is not None else None

    def _in_the_end(self, pid: int, touch: Stretch, now_ns: int) -> Actor | None:
        executed = self._actors.executed(pid, touch.place)
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
    def _earliest(touch: Stretch, changed_ns: int | None) -> int | None:
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
