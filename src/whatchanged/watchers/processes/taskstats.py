"""The kernel's record of every task that ends: name, user, parent and program file (taskstats).

Generic netlink, family TASKSTATS; layouts from linux/genetlink.h and linux/taskstats.h, the protocol from the kernel's
Documentation/accounting/taskstats.rst. Needs CAP_NET_ADMIN and the initial namespaces. What comes is the state at the
end of a task: its last name, its real user. Members are only added at the end of the structure, except in version 15
(Linux 6.14), which pushed some into the middle: the layout is therefore proven on a record of our own before any is
believed.

`parse` is pure and takes any bytes. `ExitRecords` owns the socket.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import socket
import struct
import threading
from collections.abc import Iterator

import msgspec

from whatchanged.errors import OperationError, WireError
from whatchanged.watchers.processes import netlink

__all__ = ["LAYOUTS", "ExitRecord", "ExitRecords", "Layout", "RecordsLost", "parse"]


class ExitRecord(msgspec.Struct, frozen=True):
    """What the kernel says of a task at its end. Absent members are None."""

    pid: int
    """The task: the process when it is its first thread."""
    parent: int
    name: bytes
    real_user: int
    real_group: int
    began_s: int
    """Wall clock, seconds since 1970, as the clock stood at the end."""
    program: tuple[int, int] | None = None
    """Device (as st_dev) and inode of the program file."""


class Layout(msgspec.Struct, frozen=True):
    """Where the members of struct taskstats are, in bytes."""

    name: int
    program: int | None
    """ac_exe_dev and ac_exe_inode: version 12, Linux 5.19, or newer; None where their place is not certain."""


class RecordsLost(OperationError):
    """The kernel threw records away because they were not fetched in time."""


LAYOUTS = (Layout(name=80, program=384), Layout(name=128, program=None))
"""The structure as it is, and as version 15 had it: delay_max and delay_min after each delay_total."""

_GENL = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=I")
_U16 = struct.Struct("=H")
_ACCOUNT = struct.Struct("=32s8x5I")  # ac_comm, ac_sched and ac_pad, ac_uid, ac_gid, ac_pid, ac_ppid, ac_btime
_PROGRAM = struct.Struct("=QQ")

_NETLINK_GENERIC = 16
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_NLM_F_ACK = 4
_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID = 1
_CTRL_ATTR_FAMILY_NAME = 2
_CMD_GET = 1
_ATTR_PID = 1
_ATTR_REGISTER_CPUMASK = 3
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_TYPE_STATS = 3
_TYPE_AGGR_PID = 4
_QUEUE_BYTES = 4 * 1024 * 1024
_LARGEST = 16 * 1024
_ANSWER_TIMEOUT = 1.0
_PROGRAM_SINCE = 12


def parse(message: bytes, layout: Layout = LAYOUTS[0]) -> ExitRecord | None:
    """Return the record of a task in one netlink message, None when it has none; raises WireError when it is broken.

    The sum over all threads that the last thread of a process brings along is no record of a task.
    """
    try:
        for kind, value in _attributes(message, netlink.NLMSG.size + _GENL.size):
            if kind != _TYPE_AGGR_PID:
                continue
            for inner, data in _attributes(value, 0):
                if inner == _TYPE_STATS:
                    return _record(data, layout)
    except struct.error as error:
        raise WireError(f"an exit record is cut off after {len(message)} bytes") from error
    return None


def _attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            raise WireError(f"a netlink attribute says {length} bytes where {len(data) - at} are left")
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _record(data: bytes, layout: Layout) -> ExitRecord:
    version = _U16.unpack_from(data)[0]
    name, user, group, pid, parent, began = _ACCOUNT.unpack_from(data, layout.name)
    program = None
    if version >= _PROGRAM_SINCE and layout.program is not None and len(data) >= layout.program + _PROGRAM.size:
        # The device is in the encoding of linux/kdev_t.h that stat(2) uses too.
        device, inode = _PROGRAM.unpack_from(data, layout.program)
        program = (device, inode) if inode else None
    return ExitRecord(pid, parent, name.partition(b"\0")[0], user, group, began, program)


class ExitRecords:
    """A subscription to the records of every task that ends on this machine."""

    def __init__(self, *, queue_bytes: int = _QUEUE_BYTES) -> None:
        """Subscribe; raises OperationError where the kernel or a missing right does not allow it."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
        except OSError as error:
            raise OperationError(f"no exit records: {error.strerror}") from error
        try:
            self._socket.settimeout(_ANSWER_TIMEOUT)
            self._socket.bind((0, 0))
            self._family = self._find_family()
            self._layout = self._prove_layout()
            self._socket.setsockopt(socket.SOL_SOCKET, netlink.SO_RCVBUFFORCE, queue_bytes)
            with open("/sys/devices/system/cpu/possible", "rb") as file:
                mask = file.read(4096).strip()
            self._ask(self._family, _CMD_GET, _ATTR_REGISTER_CPUMASK, mask + b"\0", acknowledge=True)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise OperationError(
                f"no exit records: {error.strerror or error}", hint="they need CAP_NET_ADMIN"
            ) from error
        except (OperationError, struct.error):
            self._socket.close()
            raise

    def _find_family(self) -> int:
        answer = self._ask(_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_NAME, b"TASKSTATS\0")
        for kind, value in _attributes(answer, netlink.NLMSG.size + _GENL.size):
            if kind == _CTRL_ATTR_FAMILY_ID:
                return int(_U16.unpack_from(value)[0])
        raise OperationError("no exit records: the kernel's answer names no family")

    def _prove_layout(self) -> Layout:
        """Find the layout that shows this very thread."""
        thread = threading.get_native_id()
        with open(f"/proc/self/task/{thread}/comm", "rb") as file:
            name = file.read(64).rstrip(b"\n")
        answer = self._ask(self._family, _CMD_GET, _ATTR_PID, _U32.pack(thread))
        for layout in LAYOUTS:
            try:
                record = parse(answer, layout)
            except WireError:
                continue
            if record and (record.pid, record.name, record.real_user) == (thread, name, os.getuid()):
                return layout
        raise OperationError("no exit records: this kernel's struct taskstats has an unknown layout")

    def _ask(self, family: int, command: int, attribute: int, value: bytes, *, acknowledge: bool = False) -> bytes:
        """Send a request and return the answer; raises OSError with the kernel's errno."""
        body = _GENL.pack(command, 1, 0) + _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), attribute) + value
        body += b"\0" * (-len(body) % 4)
        flags = _NLM_F_REQUEST | (_NLM_F_ACK if acknowledge else 0)
        self._socket.send(netlink.NLMSG.pack(netlink.NLMSG.size + len(body), family, flags, 1, 0) + body)
        while True:
            message = netlink.receive(self._socket, _LARGEST)
            if len(message) < netlink.NLMSG.size:
                continue
            _, kind, _, sequence, _ = netlink.NLMSG.unpack_from(message)
            if sequence != 1:  # a record of a task that has just ended
                continue
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", message, netlink.NLMSG.size)[0]
                if number:
                    raise OSError(number, os.strerror(number))
            return message

    def fileno(self) -> int:
        """Return the descriptor that is readable when records wait."""
        return self._socket.fileno()

    def receive(self) -> ExitRecord | None:
        """Return the next record, or None when none waits; raises RecordsLost when some are missing before it."""
        while True:
            try:
                message = netlink.receive(self._socket, _LARGEST)
            except BlockingIOError:
                return None
            except OSError as error:  # ENOBUFS
                raise RecordsLost(f"exit records were lost: {error.strerror}") from error
            if (record := parse(message, self._layout)) is not None:
                return record

    def close(self) -> None:
        """End the subscription; the kernel forgets a listener whose port is gone."""
        self._socket.close()
