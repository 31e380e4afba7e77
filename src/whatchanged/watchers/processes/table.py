"""The lives of processes: which program and which user a pid was, at which moment.

`ProcessTable` is fed with events in the order in which the kernel queued them, and with readings of /proc, which are
always late. A reading is believed for the program that ran when it was made, and only once no event contradicts it:
an event that turns out to be older than a reading takes the reading away from the program that was there before.
Times are CLOCK_MONOTONIC in ns. No system call is made here.

What is never guessed: a program that was not read has no command line; a process that began as a copy of another one
(fork) has the other's program only once its own reading or its exit record confirms it, because a parent in an event
need not be the one that was copied (CLONE_PARENT of clone(2)).
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.audit_records import Execution, LoginSet
from whatchanged.watchers.processes.executions import Executions
from whatchanged.watchers.processes.lives import Life, Phase, Program, be_sure, between, read_into, same
from whatchanged.watchers.processes.proc import Reading
from whatchanged.watchers.processes.taskstats import ExitRecord

__all__ = ["ProcessTable"]

_KEPT_NS = 30 * 10**9
"""How long an ended process can still be asked for."""
_MARGIN_NS = 100 * 10**6
"""A new program is in place, and a new process in /proc, a little before the event says so: a page of the program may
have to come from a disk. A reading this shortly before an event may be of either."""
_RECORD_NS = 2_500_000_000
"""An exit record has its beginning in whole seconds of a clock that may be set."""
_MOST_PHASES = 64

T = TypeVar("T")


class ProcessTable:
    """Lives by pid. Not safe for threads."""

    def __init__(
        self, *, most_living: int = 65536, most_ended: int = 16384, kept_ns: int = _KEPT_NS, audited: bool = False
    ) -> None:
        """`audited`: records of audit will come, too."""
        self._executions = Executions() if audited else None
        self._lives: dict[int, list[Life]] = {}
        self._living: dict[int, Life] = {}
        self._ended: deque[tuple[int, Life]] = deque()
        self._unconfirmed: dict[int, Life] = {}
        self._pending: dict[int, Life] = {}
        self._most_living = most_living
        self._most_ended = most_ended
        self._kept_ns = kept_ns
        self.complete_from_ns: int | None = None
        """Every process that began after this is known; None: nothing is."""

    def __len__(self) -> int:
        return len(self._living) + len(self._ended)

    # Events

    def forked(self, at_ns: int, pid: int, parent_pid: int) -> None:
        """A process began as a copy of another one, most likely of its parent."""
        parent = self._living.get(parent_pid)
        source = parent.phases[-1] if parent and parent.known_ns <= at_ns else None
        life = self._living.get(pid)
        if (
            life is not None and not life.whole and at_ns < life.seen_ns
        ):  # found by a reading before we came to its fork
            life.parent_pid, life.parent = parent_pid, source
            return
        for earlier in self._lives.get(pid, ()):
            self._doubt(earlier, at_ns)
        if life is not None:
            self._end(life, at_ns)
        phase = Phase(at_ns, Program(), None, None, executed=False, sure=False)
        if source is not None:
            phase = Phase(at_ns, source.program, source.renamed, source.user, executed=False, sure=False)
        life = Life(pid, at_ns, at_ns, [phase], whole=True, parent_pid=parent_pid, parent=source)
        if self._add(life):
            self._unconfirmed[pid] = life
            return
        self.complete_from_ns = None
        for earlier in self._lives.get(pid, ()):  # a program run under this pid is none of theirs
            earlier.sealed = True

    def wants_reading(self, at_ns: int, pid: int) -> bool:
        """Say whether a program that began at `at_ns` is still to be read."""
        life = self._living.get(pid)
        return life is None or life.read_program is None or life.reading is None or life.reading.began_ns < at_ns

    def wants_user(self, pid: int) -> bool:
        """Say whether a reading should ask for the user too: no event has told it."""
        life = self._living.get(pid)
        return life is None or life.phases[-1].user is None

    def executed(self, at_ns: int, pid: int, reading: Reading | None) -> None:
        """A process runs another program; `reading` is what /proc says now."""
        program = Program()
        if self._executions is not None:
            self._executions.began(at_ns, pid, program)
        life = self._living.get(pid) or self._revive(pid)
        if life is None:
            life = Life(pid, at_ns, at_ns, [Phase(at_ns, program, None, None, executed=True, sure=True)], whole=False)
            if not self._add(life):
                return
        elif at_ns < life.seen_ns:
            return
        else:
            reading = self._before(life, at_ns, reading)
            self._push(life, at_ns, program=program, renamed=None, executed=True, sure=True)
        self._settle(life)
        if reading is not None:
            self._fill(life, reading)

    def user_changed(self, at_ns: int, pid: int, thread: int, effective: int) -> None:
        """A thread has another user. Linux keeps them by thread: a process whose threads differ has none."""
        life = self._living.get(pid)
        if life is None or at_ns < life.seen_ns:
            return
        if thread == pid:
            self._push(life, at_ns, user=effective)
        elif life.phases[-1].user != effective:
            self._push(life, at_ns, user=None)

    def renamed(self, at_ns: int, pid: int, thread: int, name: bytes) -> None:
        """A process gave itself a name; those of further threads do not matter."""
        life = self._living.get(pid)
        if life is None or thread != pid or at_ns < life.seen_ns:
            return
        program = life.phases[-1].program
        if program is life.read_program and self._reading_is_near(life, at_ns) and program.name == name:
            program.name = None  # what was read is the new name: the one before is not known
        self._push(life, at_ns, renamed=name)

    def exited(self, at_ns: int, pid: int, thread: int) -> None:
        """A process ended, or at least its first thread: what the others do then is not known."""
        life = self._living.get(pid)
        if life is not None and thread == pid and at_ns >= life.seen_ns:
            self._end(life, at_ns)

    def recorded(self, record: ExitRecord, began_ns: int) -> None:
        """The kernel's record of an ended task that began at about `began_ns`; ignored where it may be of another."""
        fitting = [
            life
            for life in self._lives.get(record.pid, ())
            if not life.recorded and life.whole and abs(life.seen_ns - began_ns) <= _RECORD_NS
        ]
        if len(fitting) != 1:
            return
        life = fitting[0]
        life.recorded = True
        last = life.phases[-1]
        if last.executed:
            if last.name is None:
                last.program.name = record.name
        elif last.name != record.name:  # a copy of something else than its parent
            self._replace(life, last.program, Program(name=record.name))
        be_sure(life)

    def told(self, told: Execution | LoginSet, at_ns: int, received_ns: int) -> None:
        """A record of audit, of about `at_ns`. The events until it was received must have been taken in before."""
        if isinstance(told, LoginSet):
            for life in self._lives.get(told.pid, ()):
                life.login_set = max(life.login_set, told.serial)
                if life.reading is not None and life.reading.began_ns <= at_ns + _MARGIN_NS:
                    life.forget_login()
        elif self._executions is not None:
            self._executions.told(told, at_ns, received_ns)

    def found(self, reading: Reading) -> None:
        """A process was met in /proc, not by an event."""
        life = self._living.get(reading.pid)
        if life is None:
            phase = Phase(reading.finished_ns, Program(), None, reading.effective_user, executed=True, sure=True)
            life = Life(reading.pid, reading.began_ns, reading.finished_ns, [phase], whole=False)
            life.parent_pid = (reading.stat.parent or None) if reading.stat else None
            if not self._add(life):
                return
        self._fill(life, reading)

    def found_all(self, began_ns: int) -> None:
        """Every process that was there at `began_ns` was found, and no event since then is missing.

        Those that were found get the names of their parents, as far as these are known by now.
        """
        self.complete_from_ns = began_ns
        if self._executions is not None:
            self._executions.complete(began_ns)
        for life in self._living.values():
            if life.whole or life.parent is not None or life.parent_pid is None:
                continue
            parent = self._living.get(life.parent_pid)
            if parent is None or parent.start_ticks is None or life.start_ticks is None:
                continue
            if parent.start_ticks <= life.start_ticks:
                life.parent = parent.phases[-1]

    def lost(self, last_ns: int) -> None:
        """Events are missing after `last_ns`: of nothing that lived then it is known how it went on."""
        if self._executions is not None:
            self._executions.lost()
        for life in list(self._living.values()):
            life.sealed = True
            self._end(life, last_ns)
        self.complete_from_ns = None

    def unconfirmed(self, before_ns: int) -> list[int]:
        """Return the living copies that began before this, run no program of their own, and are not confirmed."""
        pids = []
        for pid, life in self._unconfirmed.items():
            if life.seen_ns >= before_ns:
                break
            pids.append(pid)
        return pids

    def confirm(self, pid: int, reading: Reading | None) -> None:
        """Compare a copy with what /proc says of it."""
        life = self._unconfirmed.pop(pid, None)
        if life is None or reading is None:
            return
        if same(life.phases[-1].program, reading):
            self._fill(life, reading)
        else:
            life.pending = reading
            self._pending[pid] = life

    @property
    def waits(self) -> bool:
        """There are copies that are not confirmed."""
        return bool(self._unconfirmed or self._pending)

    def settle(self, drained_ns: int) -> None:
        """Believe what no event up to `drained_ns` has contradicted."""
        for life in list(self._pending.values()):
            reading = life.pending
            if reading is None or reading.finished_ns + _MARGIN_NS > drained_ns:
                break
            self._settle(life)
            self._fill(life, reading)

    def _settle(self, life: Life) -> None:
        life.pending = None
        for waiting in (self._unconfirmed, self._pending):
            if waiting.get(life.pid) is life:
                del waiting[life.pid]

    # Questions

    def who(self, pid: int, at_ns: int, earliest_ns: int) -> Actor | None:
        """Return who `pid` was at some moment from `earliest_ns` to `at_ns`; None when that is not certain."""
        lives = [
            life
            for life in self._lives.get(pid, ())
            if life.known_ns <= at_ns and (life.ended_ns is None or life.ended_ns >= earliest_ns)
        ]
        if len(lives) != 1 or not self._covers(lives[0], at_ns, earliest_ns):
            return None
        life = lives[0]
        phases = between(life.phases, at_ns, earliest_ns)
        named = [phase for phase in phases if phase.sure]
        return Actor(
            pid,
            name=_text(_only(phase.name for phase in named)),
            command_line=_only(phase.program.agreed_command_line for phase in named),
            executable=_only(phase.program.agreed_executable for phase in named),
            account=_only(phase.user for phase in phases),
            login_account=life.login(named),
            parent_pid=life.parent_pid,
            parent_name=_text(life.parent.name) if life.parent and life.parent.sure else None,
            service=life.service,
        )

    def last_program_ns(self, pid: int, at_ns: int, earliest_ns: int) -> int | None:
        """Return since when `pid` was what it was at the end of a stretch, at the earliest from its beginning."""
        lives = [
            life
            for life in self._lives.get(pid, ())
            if life.known_ns <= at_ns and (life.ended_ns is None or life.ended_ns >= earliest_ns)
        ]
        if len(lives) != 1:
            return None
        phases = between(lives[0].phases, at_ns, earliest_ns)
        if not phases:
            return None
        own = [phase.since_ns for phase in phases if phase.program is phases[-1].program]
        return max(min(own), earliest_ns)

    def settled_ns(self, pid: int, at_ns: int) -> int:
        """Return until when events may still contradict what `who` says of this moment."""
        life = self._living.get(pid)
        if life is None:
            return max(at_ns, self._told_ns(pid))
        reading = life.pending or life.reading
        return max(at_ns, reading.finished_ns if reading else 0) + _MARGIN_NS

    def _told_ns(self, pid: int) -> int:
        """Return until when audit may still tell what was executed last under this pid; 0 when it has, or does not."""
        if self._executions is None or not (lives := self._lives.get(pid)):
            return 0
        last = lives[-1].phases[-1]
        return last.since_ns + _MARGIN_NS if last.executed and last.program.told is None else 0

    def _covers(self, life: Life, at_ns: int, earliest_ns: int) -> bool:
        """Say whether nobody else can have had the pid in this stretch, nor this one have been anything unseen."""
        if life.sealed and life.ended_ns is not None and at_ns > life.ended_ns:
            return False
        if earliest_ns >= life.known_ns:
            return True
        return life.whole and self.complete_from_ns is not None and earliest_ns >= self.complete_from_ns

    # Keeping

    def _add(self, life: Life) -> bool:
        if len(self._living) >= self._most_living:
            return False
        self._lives.setdefault(life.pid, []).append(life)
        self._living[life.pid] = life
        return True

    def _end(self, life: Life, at_ns: int) -> None:
        life.ended_ns = max(at_ns, life.known_ns)
        self._living.pop(life.pid, None)
        self._settle(life)
        self._ended.append((life.ended_ns, life))
        while self._ended and (
            len(self._ended) > self._most_ended or self._ended[0][0] + self._kept_ns < life.ended_ns
        ):
            self._forget(*self._ended.popleft())

    def _forget(self, ended_ns: int, life: Life) -> None:
        if life.ended_ns != ended_ns:  # it came back to life
            return
        lives = self._lives[life.pid]
        lives.remove(life)
        if not lives:
            del self._lives[life.pid]
        if self.complete_from_ns is not None:
            self.complete_from_ns = max(self.complete_from_ns, ended_ns)

    def _revive(self, pid: int) -> Life | None:
        """Return a process whose first thread has ended: the thread that runs a new program becomes the first."""
        lives = self._lives.get(pid)
        if not lives or lives[-1].sealed or len(self._living) >= self._most_living:
            return None
        life = lives[-1]
        life.ended_ns = None
        self._living[pid] = life
        return life

    def _push(
        self,
        life: Life,
        at_ns: int,
        **changes: object,
    ) -> None:
        last = life.phases[-1]
        phase = msgspec.structs.replace(last, since_ns=max(at_ns, last.since_ns), **changes)
        if phase.since_ns == last.since_ns:
            life.phases[-1] = phase
            return
        life.phases.append(phase)
        if len(life.phases) > _MOST_PHASES:
            del life.phases[0]
            life.known_ns = life.phases[0].since_ns
            life.whole = False

    # Readings

    def _before(self, life: Life, at_ns: int, reading: Reading | None) -> Reading | None:
        """Settle what was read before a program began at `at_ns`; return the reading that is of the new program."""
        earlier = life.reading
        if earlier is None or life.read_program is None:
            return reading
        if at_ns <= earlier.began_ns:  # it was of this program already
            life.read_program.forget()
            return reading or earlier
        before = earlier.stat.layout if earlier.stat else None
        now = reading.stat.layout if reading and reading.stat else None
        if before is None or now is None:
            self._doubt(life, at_ns)
        elif before == now:
            life.read_program.forget()
        return reading

    def _doubt(self, life: Life, at_ns: int) -> None:
        if life.read_program is not None and self._reading_is_near(life, at_ns):
            life.read_program.forget()
            life.service = None
            life.forget_login()

    @staticmethod
    def _reading_is_near(life: Life, at_ns: int) -> bool:
        return life.reading is not None and life.reading.finished_ns + _MARGIN_NS > at_ns

    def _fill(self, life: Life, reading: Reading) -> None:
        """Believe a reading of the program that runs now, if it is of this process."""
        start_ns = reading.start_ns
        if reading.stat is not None and start_ns is not None:
            if life.start_ticks is None:
                if start_ns > life.seen_ns + _MARGIN_NS:
                    return
                life.start_ticks = reading.stat.start_ticks
            elif life.start_ticks != reading.stat.start_ticks:
                return
        last = life.phases[-1]
        if not last.executed and same(last.program, reading):
            life.read_program = None  # the program is the parent's, and so is what was read of it
        else:
            if not last.executed:
                self._replace(life, last.program, Program())
            life.read_program = life.phases[-1].program
            read_into(life.read_program, reading)
        be_sure(life)
        life.reading = reading
        life.login_user, life.login_read = reading.login_user, reading.login_read
        life.service = reading.service
        if life.phases[-1].user is None and reading.effective_user is not None:
            self._push(life, reading.finished_ns, user=reading.effective_user)

    @staticmethod
    def _replace(life: Life, old: Program, new: Program) -> None:
        for phase in life.phases:
            if phase.program is old:
                phase.program, phase.renamed = new, None


def _only(values: Iterable[T]) -> T | None:
    """Return the value that all have; None when they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")
