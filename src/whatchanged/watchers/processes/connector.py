"""The kernel's process events: forks, programs, users, names and ends as they happen (the proc connector).

Netlink, family NETLINK_CONNECTOR, group CN_IDX_PROC; layouts from linux/connector.h and linux/cn_proc.h. Needs
CAP_NET_ADMIN in the initial user and pid namespace: elsewhere the kernel says nothing at all, not even an error, so
that only its acknowledgement tells whether events will come. The pids are those of the initial namespace. Times are
CLOCK_MONOTONIC, and an event of a task is queued before that task runs on.

`parse` is pure and takes any bytes. `Connector` owns the socket.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import os
import select
import socket
import struct
import time

import msgspec

from whatchanged.errors import OperationError, WireError
from whatchanged.watchers.processes import netlink

__all__ = [
    "QUEUE_BYTES",
    "Acknowledged",
    "Connector",
    "EventsLost",
    "Executed",
    "Exited",
    "Forked",
    "GroupChanged",
    "Occurrence",
    "Other",
    "Renamed",
    "UserChanged",
    "parse",
]


class Acknowledged(msgspec.Struct, frozen=True):
    """The kernel's answer to a subscription; `error` is an errno, 0 when events will come."""

    error: int


class Forked(msgspec.Struct, frozen=True):
    """A task began. It is a new process when `thread` equals `pid`, else a thread of it."""

    pid: int
    thread: int
    parent: int


class Executed(msgspec.Struct, frozen=True):
    """A process runs another program."""

    pid: int


class UserChanged(msgspec.Struct, frozen=True):
    """The credentials of one thread changed: real and effective user as they are now."""

    pid: int
    thread: int
    real: int
    effective: int


class GroupChanged(msgspec.Struct, frozen=True):
    """The groups of one thread changed: real and effective group as they are now."""

    pid: int
    thread: int
    real: int
    effective: int


class Renamed(msgspec.Struct, frozen=True):
    """A thread gave itself a name, prctl(2) PR_SET_NAME."""

    pid: int
    thread: int
    name: bytes


class Exited(msgspec.Struct, frozen=True):
    """A task ended: the process's first thread when `thread` equals `pid`."""

    pid: int
    thread: int


class Other(msgspec.Struct, frozen=True):
    """An event that does not matter here (session, trace, core dump, or one that is new)."""

    what: int


Event = Acknowledged | Forked | Executed | UserChanged | GroupChanged | Renamed | Exited | Other


class Occurrence(msgspec.Struct, frozen=True):
    """An event, when it happened (CLOCK_MONOTONIC, ns), and its number among the events of its processor."""

    at_ns: int
    cpu: int
    sequence: int
    event: Event


class EventsLost(OperationError):
    """The kernel threw events away because they were not fetched in time."""


_NO_CPU = 0xFFFFFFFF
_CN_MSG = struct.Struct("=IIIIHH")  # linux/connector.h: idx, val, seq, ack, len, flags
_EVENT = struct.Struct("=IIQ")  # linux/cn_proc.h: what, cpu, timestamp_ns
_EVENT_AT = netlink.NLMSG.size + _CN_MSG.size
_DATA_AT = _EVENT_AT + _EVENT.size
_U32 = struct.Struct("=I")
_TWO = struct.Struct("=2i")
_FOUR = struct.Struct("=4i")
_IDS = struct.Struct("=2i2I")
_COMM = struct.Struct("=2i16s")

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = 1
_CN_VAL_PROC = 1
_LISTEN = 1
_IGNORE = 2
_NLMSG_DONE = 3

_NONE = 0x0
_FORK = 0x1
_EXEC = 0x2
_UID = 0x4
_GID = 0x40
_COMM_CHANGED = 0x200
_EXIT = 0x80000000

QUEUE_BYTES = 8 * 1024 * 1024
"""Kernel memory that waiting events may take: some ten thousand of them. It is used only while we are behind."""
_LARGEST = 4096
_ACKNOWLEDGE_TIMEOUT = 1.0


def parse(message: bytes) -> Occurrence:
    """Return the event in one netlink message; raises WireError when it is none."""
    try:
        idx, val, sequence, _, _, _ = _CN_MSG.unpack_from(message, netlink.NLMSG.size)
        if (idx, val) != (_CN_IDX_PROC, _CN_VAL_PROC):
            raise WireError("a connector message of something else than processes")
        what, cpu, at_ns = _EVENT.unpack_from(message, _EVENT_AT)
        return Occurrence(at_ns, cpu, sequence, _event(what, message))
    except struct.error as error:
        raise WireError(f"a process event is cut off after {len(message)} bytes") from error


def _event(what: int, message: bytes) -> Event:
    if what == _FORK:
        _, parent, thread, pid = _FOUR.unpack_from(message, _DATA_AT)
        return Forked(pid, thread, parent)
    if what == _EXEC:
        return Executed(_TWO.unpack_from(message, _DATA_AT)[1])
    if what == _EXIT:
        thread, pid = _TWO.unpack_from(message, _DATA_AT)
        return Exited(pid, thread)
    if what in (_UID, _GID):
        thread, pid, real, effective = _IDS.unpack_from(message, _DATA_AT)
        return (UserChanged if what == _UID else GroupChanged)(pid, thread, real, effective)
    if what == _COMM_CHANGED:
        thread, pid, name = _COMM.unpack_from(message, _DATA_AT)
        return Renamed(pid, thread, name.partition(b"\0")[0])
    if what == _NONE:
        return Acknowledged(_U32.unpack_from(message, _DATA_AT)[0])
    return Other(what)


_INITIAL_PIDS = 0xEFFFFFFC
"""Inode of the initial pid namespace: PROC_PID_INIT_INO of the kernel's linux/proc_ns.h, the same since 3.8."""


class Connector:
    """A subscription to the process events of this machine."""

    def __init__(self, *, queue_bytes: int = QUEUE_BYTES) -> None:
        """Subscribe; raises OperationError where the kernel or a missing right does not allow it."""
        if os.stat("/proc/self/ns/pid").st_ino != _INITIAL_PIDS:
            # Others may listen, and their acknowledgement would pass for ours; the ids would be of other processes.
            raise OperationError(
                "no process events: they bear process ids of the initial namespace, and this is another",
                hint="let the tracker run in the host's pid namespace",
            )
        self._sequences: dict[int, int] = {}
        self._requests = 0
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETLINK_CONNECTOR
            )
        except OSError as error:
            raise OperationError(f"no process events: {error.strerror}") from error
        try:
            self._subscribe(queue_bytes)
        except OSError as error:
            self._socket.close()
            raise OperationError(f"no process events: {error.strerror}", hint="they need CAP_NET_ADMIN") from error
        except OperationError:
            self._socket.close()
            raise

    def _subscribe(self, queue_bytes: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, netlink.SO_RCVBUFFORCE, queue_bytes)
        self._socket.bind((0, _CN_IDX_PROC))
        self._listen()
        deadline = time.monotonic() + _ACKNOWLEDGE_TIMEOUT
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                break
            try:
                occurrence = self._receive()
            except EventsLost:
                # Where others listen already, events come before we are acknowledged, and the queue may have been full
                # when that was due. Emptied, it takes the answer to a second request.
                self.discard()
                self._listen()
                continue
            # Events that come before the acknowledgement are no part of the subscription. Kept, they would show a gap
            # where it stands: it has a number too.
            if occurrence is not None and isinstance(occurrence.event, Acknowledged):
                if occurrence.event.error:
                    raise OperationError(f"no process events: {os.strerror(occurrence.event.error)}")
                return
        raise OperationError(
            "no process events: the kernel does not answer",
            hint="they are for the initial namespaces, and for kernels with CONFIG_PROC_EVENTS",
        )

    def _listen(self) -> None:
        self._send(_LISTEN)
        self._requests += 1

    def _send(self, operation: int) -> None:
        data = _U32.pack(operation)
        body = _CN_MSG.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(data), 0) + data
        self._socket.send(netlink.NLMSG.pack(netlink.NLMSG.size + len(body), _NLMSG_DONE, 0, 0, 0) + body)

    def fileno(self) -> int:
        """Return the descriptor that is readable when events wait."""
        return self._socket.fileno()

    def receive(self) -> Occurrence | None:
        """Return the next event, or None when none waits; raises EventsLost when some are missing before it.

        After EventsLost, what still waits is older than the gap or on either side of it: see `discard`.
        """
        occurrence = self._receive()
        # An answer to somebody else's subscription has a number too, where the kernel sends it the way of events; where
        # it does not, it bears no processor.
        if occurrence is not None and occurrence.cpu != _NO_CPU:
            self._count(occurrence)
        return occurrence

    def _receive(self) -> Occurrence | None:
        try:
            return parse(netlink.receive(self._socket, _LARGEST))
        except BlockingIOError:
            return None
        except OSError as error:  # ENOBUFS
            raise EventsLost(f"process events were lost: {error.strerror}") from error

    def _count(self, occurrence: Occurrence) -> None:
        """Notice what the kernel could not even queue: it numbers the events of each processor."""
        before = self._sequences.get(occurrence.cpu)
        self._sequences[occurrence.cpu] = occurrence.sequence
        if before is not None and occurrence.sequence != (before + 1) & 0xFFFFFFFF:
            raise EventsLost(f"process events were lost: {occurrence.sequence - before - 1} of CPU {occurrence.cpu}")

    def discard(self) -> None:
        """Throw away what waits, so that the next event is one after a gap."""
        self._sequences.clear()
        while True:
            try:
                if self._receive() is None:
                    return
            except (EventsLost, WireError):
                continue

    def close(self) -> None:
        """End the subscription."""
        with contextlib.suppress(OSError):  # closing does the same; asking keeps the kernel's count of listeners right
            for _ in range(self._requests):
                self._send(_IGNORE)
        self._socket.close()
