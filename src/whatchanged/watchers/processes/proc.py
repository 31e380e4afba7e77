"""What /proc says of a process that is still there; see proc_pid_stat(5) and its neighbours.

A reading is of one process: the files are opened below a descriptor of its folder, which a later process with the
same pid never answers for. It is also of one program, or it can be told that it is not: the addresses of the memory
layout come last, and differ from those of the next program that the process runs.

`read_process` reads; the parsers are pure and take any bytes.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import functools
import os
import time
from collections.abc import Iterator

import msgspec

__all__ = [
    "COMMAND_LIMIT",
    "SHORT_COMMAND",
    "Reading",
    "Stat",
    "command_line",
    "parse_stat",
    "read_process",
    "running",
    "unit_of",
]

COMMAND_LIMIT = 4096
"""Bytes of a command line that are kept."""
SHORT_COMMAND = 512
"""With very many processes in memory, so many: 64k times 4 KiB would be too much."""
_READ = os.O_RDONLY | os.O_CLOEXEC
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_OVERFLOW_USER = 65534
_NOBODY_LOGGED_IN = 0xFFFFFFFF
_UNIT_ENDINGS = (".service", ".scope", ".socket", ".mount", ".swap")


class Stat(msgspec.Struct, frozen=True):
    """Of /proc/PID/stat."""

    name: bytes
    parent: int
    start_ticks: int
    """Since the machine started, by CLOCK_BOOTTIME."""
    layout: tuple[bytes, ...] | None
    """Addresses of the program in memory; None when we may not see them, or the process is ending."""


class Reading(msgspec.Struct, frozen=True):
    """A process between `began_ns` and `finished_ns` (CLOCK_MONOTONIC). What could not be read is None."""

    pid: int
    began_ns: int
    finished_ns: int
    stat: Stat | None = None
    start_ns: int | None = None
    """When the process began, by CLOCK_MONOTONIC: never too late, and too early by a tick (10 ms) or a suspension."""
    command_line: str | None = None
    executable: str | None = None
    effective_user: int | None = None
    login_user: int | None = None
    """None also when nobody logged in: then `login_read` says that this is known."""
    service: str | None = None
    one_user: bool = False
    """Its real, effective, saved and file system user are one: it uses no rights but its own."""
    login_read: bool = False


def running() -> Iterator[int]:
    """Yield the pids of all processes."""
    for name in os.listdir(b"/proc"):
        if name.isdigit():
            yield int(name)


def read_process(pid: int, *, user: bool = True, command_limit: int = COMMAND_LIMIT) -> Reading | None:
    """Read a process, first what vanishes first; None when it is gone. Without `user` its user is left out."""
    began = time.monotonic_ns()
    try:
        folder = os.open(b"/proc/%d" % pid, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        executable = _link(folder, b"exe")
        command = _read(folder, b"cmdline", command_limit)
        users = _users(_read(folder, b"status", 4096)) if user else ()
        raw_login = _read(folder, b"loginuid", 32)
        service = unit_of(_read(folder, b"cgroup", 8192))
        stat = parse_stat(_read(folder, b"stat", 4096))
    finally:
        os.close(folder)
    finished = time.monotonic_ns()
    login = _login_user(raw_login)
    asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - finished
    start = stat.start_ticks * _TICK_NS - asleep if stat else None
    return Reading(
        pid,
        began,
        finished,
        stat,
        start,
        command_line(command),
        executable,
        _shown(users[1]) if users else None,
        None if login is None else _shown(login),
        service,
        len(set(users)) == 1,
        raw_login.strip().isdigit(),
    )


def _read(folder: int, name: bytes, limit: int) -> bytes:
    try:
        file = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return b""
    try:
        return os.read(file, limit)
    except OSError:  # ESRCH: the process ended in between
        return b""
    finally:
        os.close(file)


def _link(folder: int, name: bytes) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder).decode(errors="replace")
    except OSError:  # a kernel thread, a process that is ending, or not for us to see
        return None


def command_line(raw: bytes) -> str | None:
    """Return the arguments in /proc/PID/cmdline with a space between them; None when there are none."""
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace") or None


def parse_stat(raw: bytes) -> Stat | None:
    """Return what /proc/PID/stat says; None when it says nothing. A name may hold spaces and brackets."""
    head, bracket, tail = raw.rpartition(b")")
    fields = tail.split()
    if not bracket or len(fields) < 24 or not (fields[1].isdigit() and fields[19].isdigit()):
        return None
    # Fields 26-28 and 45-51 of proc_pid_stat(5): code and stack, data, heap, arguments and environment.
    layout = (*fields[23:26], *fields[42:49])
    seen = any(address not in (b"0", b"1") for address in layout)
    return Stat(head.partition(b"(")[2], int(fields[1]), int(fields[19]), layout if seen else None)


def _users(status: bytes) -> tuple[int, ...]:
    """Return the real, effective, saved and file system user of /proc/PID/status; nothing when it does not say."""
    fields = status.partition(b"\nUid:")[2].partition(b"\n")[0].split()
    return tuple(map(int, fields)) if len(fields) == 4 and all(field.isdigit() for field in fields) else ()


def _shown(user: int) -> int | None:
    """Return a user as /proc shows it; None for the number that stands for all that our namespace does not have."""
    return None if user == _stand_in() else user


@functools.cache
def _stand_in() -> int | None:
    """Return that number (user_namespaces(7)); None where every user has its own."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            if file.read(4096).split() == [b"0", b"0", b"4294967295"]:
                return None
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return _OVERFLOW_USER


def _login_user(raw: bytes) -> int | None:
    return int(raw) if raw.strip().isdigit() and int(raw) != _NOBODY_LOGGED_IN else None


def unit_of(cgroup: bytes) -> str | None:
    """Return the unit in /proc/PID/cgroup: the first below the slices, as sd_pid_get_unit(3) has it."""
    paths = {}
    for line in cgroup.splitlines():
        hierarchy, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        paths[controllers if controllers == b"name=systemd" else hierarchy] = path
    for part in (paths.get(b"name=systemd") or paths.get(b"0") or b"").split(b"/"):
        name = part.removeprefix(b"_").decode(errors="replace")
        if name.endswith(_UNIT_ENDINGS) and not name.startswith("."):
            return name
        if name and not name.endswith(".slice"):
            return None
    return None
