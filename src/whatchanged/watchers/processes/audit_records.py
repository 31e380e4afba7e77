"""What the kernel's audit tells of executions: records, and what they say together (linux/audit.h, ausearch(8)).

One system call makes several records with one serial: SYSCALL, EXECVE (as many as the arguments need), others that do
not matter here, and EOE at the end. What processes choose themselves (names, arguments, paths) is in quotes, or in hex
where it holds a space, a quote or a control character: no name can end a field and begin another one. The kind of a
record is in the netlink header, where nobody else's text comes to either.

Pure: takes any bytes, makes no system call, and keeps little.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re
from collections.abc import Iterator

import msgspec

from whatchanged.errors import WireError
from whatchanged.watchers.processes import netlink
from whatchanged.watchers.processes.proc import COMMAND_LIMIT

__all__ = ["CONFIG_CHANGE", "EOE", "EXECVE", "LOGIN", "SYSCALL", "Execution", "Joiner", "LoginSet", "Record", "parse"]

SYSCALL = 1300
EXECVE = 1309
EOE = 1320
CONFIG_CHANGE = 1305
"""Rules or the status were changed by somebody."""
LOGIN = 1006
"""A process was given the account of a login (loginuid of pam_loginuid(8))."""

KINDS = frozenset({SYSCALL, EXECVE, EOE, CONFIG_CHANGE, LOGIN})
"""What matters: five of eight records of an execution do not."""

_HEAD = re.compile(rb"audit\((\d{1,12})\.(\d{3}):(\d{1,10})\): ?")
_ARGUMENT = re.compile(rb"a(\d{1,9})(_len|\[(\d{1,9})\])?\Z")
_HEX = re.compile(rb"(?:[0-9A-F]{2})+\Z")
_NOBODY = 0xFFFFFFFF
_MOST_EVENTS = 256
_LONGEST_NS = 2 * 10**9
"""An event that has no end by then has lost it."""


class Record(msgspec.Struct, frozen=True):
    """One record: `at_ns` is the beginning of the system call by the wall clock, cut to milliseconds."""

    kind: int
    at_ns: int
    serial: int
    text: bytes


class Execution(msgspec.Struct, frozen=True):
    """A process runs another program, as it was when execve(2) came back."""

    pid: int
    at_ns: int
    serial: int
    login_user: int | None
    """None: nobody logged in."""
    name: bytes | None = None
    executable: str | None = None
    """As the process sees it, in its own root."""
    arguments: bytes | None = None
    """As /proc/PID/cmdline has them, cut after `COMMAND_LIMIT`; None when some are missing."""


class LoginSet(msgspec.Struct, frozen=True):
    """The login account of a process was set."""

    pid: int
    at_ns: int
    serial: int


def parse(message: bytes) -> Record | None:
    """Return the record in a netlink message, None when its kind does not matter; raises WireError when it is none."""
    if len(message) < netlink.NLMSG.size:
        raise WireError(f"an audit record is cut off after {len(message)} bytes")
    kind = netlink.NLMSG.unpack_from(message)[1]
    if kind not in KINDS:
        return None
    head = _HEAD.match(message, netlink.NLMSG.size)
    if head is None:
        raise WireError(f"an audit record of type {kind} without a time")
    at_ns = (int(head[1]) * 1000 + int(head[2])) * 10**6
    return Record(kind, at_ns, int(head[3]), message[head.end() :].rstrip(b"\0\n"))


def _fields(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    for part in text.split(b" "):
        name, equals, value = part.partition(b"=")
        if equals:
            yield name, value


def _first(text: bytes) -> dict[bytes, bytes]:
    """Return name → value. The first counts: behind it may stand what others write (a security module's label)."""
    found: dict[bytes, bytes] = {}
    for name, value in _fields(text):
        found.setdefault(name, value)
    return found


def _untrusted(value: bytes | None) -> bytes | None:
    """Return a text of audit_log_untrustedstring: in quotes, or in hex. None when it is neither."""
    if value is None:
        return None
    if len(value) >= 2 and value[:1] == value[-1:] == b'"':
        return value[1:-1]
    return bytes.fromhex(value.decode()) if _HEX.match(value) else None


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) <= 10 else None


class _Arguments:
    """The arguments of one execution, in their order; kept up to `COMMAND_LIMIT`."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._seen = 0
        self._piece = 0
        self._left = 0
        """Characters of a long argument that are still to come."""
        self._kept = bytearray()
        self._broken = False

    def add(self, text: bytes) -> None:
        for name, value in _fields(text):
            if name == b"argc":
                self._count = _number(value)
            elif (found := _ARGUMENT.match(name)) is not None:
                self._broken |= not self._take(int(found[1]), found[2], found[3], value)

    def _take(self, index: int, suffix: bytes | None, piece: bytes | None, value: bytes) -> bool:
        if suffix == b"_len":
            length = _number(value)
            if index != self._seen or self._left or length is None:
                return False
            self._left, self._piece = length, 0
            return True
        text = _untrusted(value)
        if text is None:
            return False
        if piece is None or int(piece) == 0:
            if index != self._seen or (self._left == 0) is not (piece is None):
                return False
            self._seen += 1
        elif index != self._seen - 1 or int(piece) != self._piece:
            return False
        if piece is not None:
            self._piece += 1
            self._left -= len(value) if value[:1] != b'"' else len(text)
        self._keep(text, ended=self._left == 0)
        return self._left >= 0

    def _keep(self, text: bytes, *, ended: bool) -> None:
        room = COMMAND_LIMIT - len(self._kept)
        if room > 0:
            self._kept += text[:room] + (b"\0" if ended else b"")

    def raw(self) -> bytes | None:
        """Return them as /proc does; None when some are missing that would have been kept."""
        full = len(self._kept) >= COMMAND_LIMIT
        whole = self._seen == self._count and not self._left
        return None if self._broken or not (full or whole) else bytes(self._kept[:COMMAND_LIMIT])


class _Event:
    """The records of one serial."""

    def __init__(self, now_ns: int) -> None:
        self.began_ns = now_ns
        self.call: Record | None = None
        self.arguments: _Arguments | None = None

    def execution(self) -> Execution | None:
        """Return what they say of an execution; None when they are of something else, or the call failed."""
        if self.call is None or self.arguments is None:
            return None
        fields = _first(self.call.text)
        pid, login = _number(fields.get(b"pid")), _number(fields.get(b"auid"))
        if fields.get(b"success") != b"yes" or pid is None or login is None:
            return None
        executable = _untrusted(fields.get(b"exe"))
        return Execution(
            pid,
            self.call.at_ns,
            self.call.serial,
            None if login == _NOBODY else login,
            _untrusted(fields.get(b"comm")),
            None if executable is None else executable.decode(errors="replace"),
            self.arguments.raw(),
        )


class Joiner:
    """Puts the records of one event together; at most 256 events at a time, none for longer than two seconds."""

    def __init__(self) -> None:
        self._events: dict[int, _Event] = {}

    def __len__(self) -> int:
        return len(self._events)

    def add(self, record: Record, now_ns: int) -> Execution | LoginSet | None:
        """Take a record in at `now_ns` (any clock); return what is known with it."""
        if record.kind == LOGIN:
            fields = _first(record.text)
            pid, succeeded = _number(fields.get(b"pid")), fields.get(b"res") == b"1"
            return None if pid is None or not succeeded else LoginSet(pid, record.at_ns, record.serial)
        if record.kind == EOE:
            event = self._events.pop(record.serial, None)
            return None if event is None else event.execution()
        if record.kind in (SYSCALL, EXECVE):
            event = self._events.get(record.serial) or self._begin(record.serial, now_ns)
            if record.kind == SYSCALL:
                event.call = event.call or record
            else:
                event.arguments = event.arguments or _Arguments()
                event.arguments.add(record.text)
        return None

    def _begin(self, serial: int, now_ns: int) -> _Event:
        if len(self._events) >= _MOST_EVENTS:
            del self._events[next(iter(self._events))]
        event = self._events[serial] = _Event(now_ns)
        return event

    def overdue(self, now_ns: int) -> list[Execution]:
        """Return the executions whose end does not come any more."""
        late = [s for s, event in self._events.items() if event.began_ns + _LONGEST_NS < now_ns]
        found = [self._events.pop(serial).execution() for serial in late]
        return [execution for execution in found if execution is not None]

    def clear(self) -> None:
        """Forget what is not complete."""
        self._events.clear()
