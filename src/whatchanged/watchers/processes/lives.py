"""What is known of one process: the programs it ran, one after the other, and under which user.

A program has what was read of it in /proc, and what audit told of its execution, where that is asked for. Where both
know and contradict each other, neither is believed.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from collections.abc import Iterable

import msgspec

from whatchanged.watchers.processes.executions import Executed, agreed
from whatchanged.watchers.processes.proc import SHORT_COMMAND, Reading, command_line

__all__ = ["Life", "Phase", "Program", "be_sure", "between", "read_into", "same"]

_LONGEST_CHARACTER = 4


class Program(Executed, eq=False):
    """One execution of a program, shared by the processes that are copies of it."""

    name: bytes | None = None
    command_line: str | None = None
    executable: str | None = None
    layout: tuple[bytes, ...] | None = None

    def forget(self) -> None:
        """Take back what was read of it."""
        self.name = self.command_line = self.executable = self.layout = None

    @property
    def agreed_name(self) -> bytes | None:
        """Return the name that it began with."""
        return agreed(self.name, self.told.name if self.told else None)

    @property
    def agreed_executable(self) -> str | None:
        """Return the program file."""
        return agreed(self.executable, self.told.executable if self.told else None)

    @property
    def agreed_command_line(self) -> str | None:
        """Return the command line; what was read may be shorter, where there are many processes."""
        told = command_line(self.told.arguments) if self.told and self.told.arguments is not None else None
        read = self.command_line
        cut = read is not None and len(read.encode()) >= SHORT_COMMAND - _LONGEST_CHARACTER
        return told if read and told and cut and told.startswith(read.rstrip("\ufffd")) else agreed(read, told)


class Phase(msgspec.Struct, eq=False):
    """A stretch of a life in which nothing changed."""

    since_ns: int
    program: Program
    renamed: bytes | None
    user: int | None
    executed: bool
    """The process runs a program of its own, not the one it was copied from."""
    sure: bool
    """The program is known to be the one that ran."""

    @property
    def name(self) -> bytes | None:
        """Return the name the process had."""
        return self.renamed or self.program.agreed_name


class Life(msgspec.Struct, eq=False):
    """A process from its beginning to its end, as far as it is known."""

    pid: int
    seen_ns: int
    """It was there: its beginning, or the beginning of the reading that found it."""
    known_ns: int
    """From here on its phases are known."""
    phases: list[Phase]
    whole: bool
    """Nothing is missing between its beginning and `known_ns`."""
    parent_pid: int | None = None
    parent: Phase | None = None
    ended_ns: int | None = None
    sealed: bool = False
    """It may have gone on after `ended_ns`, unseen."""
    recorded: bool = False
    start_ticks: int | None = None
    reading: Reading | None = None
    read_program: Program | None = None
    pending: Reading | None = None
    """Of a copy: it showed another program than the one copied, and may be of one whose event is still to come."""
    login_user: int | None = None
    login_read: bool = False
    login_set: int = 0
    """Serial of the last record of audit that its login account was set: what an older one says is over."""
    service: str | None = None

    def forget_login(self) -> None:
        """Take back what was read of its login account."""
        self.login_user, self.login_read = None, False

    def told_logins(self, phases: Iterable[Phase]) -> set[int | None]:
        """Return the login accounts that audit told of its executions; a copied program was another's."""
        told = (phase.program.told for phase in phases if phase.executed)
        return {one.login_user for one in told if one and one.pid == self.pid and one.serial > self.login_set}

    def login(self, phases: Iterable[Phase]) -> int | None:
        """Return the account that logged in; None when nobody did, too."""
        told = self.told_logins(phases)
        if self.login_read or not told:
            return self.login_user if told <= {self.login_user} else None
        return told.pop() if len(told) == 1 else None


def be_sure(life: Life) -> None:
    """The program that a process runs now is known to be the one that ran."""
    for phase in life.phases:
        if phase.program is life.phases[-1].program:
            phase.sure = True


def same(program: Program, reading: Reading) -> bool:
    """Say whether a reading shows the program."""
    layout = reading.stat.layout if reading.stat else None
    return layout is not None and (layout, reading.command_line, reading.executable) == (
        program.layout,
        program.command_line,
        program.executable,
    )


def read_into(program: Program, reading: Reading) -> None:
    """Put into a program what was read of it."""
    if reading.stat is not None:
        program.name = reading.stat.name
        program.layout = reading.stat.layout
    program.command_line = reading.command_line
    program.executable = reading.executable


def between(phases: list[Phase], at_ns: int, earliest_ns: int) -> list[Phase]:
    """Return the phases of a stretch; what a process was as a copy does not count where it ran its own program."""
    ends = [*(phase.since_ns for phase in phases[1:]), None]
    found = [
        phase
        for phase, end_ns in zip(phases, ends, strict=True)
        if phase.since_ns <= at_ns and (end_ns is None or end_ns > earliest_ns)
    ]
    return [phase for phase in found if phase.executed] or found
