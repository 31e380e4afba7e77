"""What the kernel's audit tells, shared with whoever else listens: the multicast group that is only read.

Netlink, family NETLINK_AUDIT, group AUDIT_NLGRP_READLOG of linux/audit.h (Linux 3.16). Needs CAP_AUDIT_READ, and the
initial namespaces, as only those are told. Who listens here takes nothing from an audit daemon, and is none.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import logging
import socket
import time

import msgspec

from whatchanged.errors import OperationError, WireError
from whatchanged.watchers.processes import netlink
from whatchanged.watchers.processes.audit_records import CONFIG_CHANGE, Execution, Joiner, LoginSet, parse

__all__ = ["NETLINK_AUDIT", "AuditLog", "Heard", "refused"]

log = logging.getLogger(__name__)

NETLINK_AUDIT = 9
_READLOG = 1
_QUEUE_BYTES = 8 * 1024 * 1024
_LARGEST = 16 * 1024  # MAX_AUDIT_MESSAGE_LENGTH is 8,970
_MANY = 8192
_STEP_NS = 1_000_000
"""The clocks are read within less; one that was set moves by more, or it does not matter."""
_UNCERTAIN_NS = 10**9
_ATTEMPTS = 5


class Heard(msgspec.Struct, frozen=True):
    """What was told, when that was, and when it had been received (CLOCK_MONOTONIC)."""

    told: Execution | LoginSet
    at_ns: int
    received_ns: int


class AuditLog:
    """Listens."""

    def __init__(self, *, queue_bytes: int = _QUEUE_BYTES) -> None:
        """Join the group; raises OperationError where the kernel or a missing right does not allow it."""
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_AUDIT
            )
        except OSError as error:
            raise OperationError(refused(error)) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, netlink.SO_RCVBUFFORCE, queue_bytes)
            self._socket.bind((0, 1 << (_READLOG - 1)))
        except OSError as error:
            self._socket.close()
            raise OperationError(refused(error), hint="it needs CAP_AUDIT_READ") from error
        self._joiner = Joiner()
        self._offset_ns = _offset_ns()
        self._certain_ns = 0
        self.losses = 0
        """How often the kernel threw records away because they were not fetched in time."""
        self.executions = 0
        """Told so far."""
        self.reconfigured = False
        """Somebody changed the rules, or switched auditing on or off, since this was set to False."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when records wait."""
        return self._socket.fileno()

    @property
    def incomplete(self) -> bool:
        """The end of something is waited for."""
        return len(self._joiner) > 0

    def waiting(self) -> list[Heard]:
        """Return what is known by the records that wait."""
        told = self._receive()
        now_ns = time.monotonic_ns()
        told += self._joiner.overdue(now_ns)
        self.executions += sum(isinstance(one, Execution) for one in told)
        offset_ns = _offset_ns()
        if abs(offset_ns - self._offset_ns) > _STEP_NS:  # the clock was set: what it said before and after is mixed
            self._joiner.clear()
            self._certain_ns = now_ns + _UNCERTAIN_NS
        self._offset_ns = offset_ns
        if now_ns < self._certain_ns:
            return []
        return [Heard(one, one.at_ns - offset_ns, now_ns) for one in told]

    def _receive(self) -> list[Execution | LoginSet]:
        told: list[Execution | LoginSet] = []
        for _ in range(_MANY):
            try:
                record = parse(netlink.receive(self._socket, _LARGEST))
            except BlockingIOError:
                break
            except WireError as error:
                log.warning("%s", error.message)
                continue
            except OSError:  # ENOBUFS
                self.losses += 1
                continue
            if record is None:
                continue
            self.reconfigured |= record.kind == CONFIG_CHANGE
            if (one := self._joiner.add(record, time.monotonic_ns())) is not None:
                told.append(one)
        return told

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()


def refused(error: OSError) -> str:
    """Return why audit cannot be asked."""
    return f"no audit: {error.strerror or error}"


def _offset_ns() -> int:
    """Return by how much the wall clock is ahead of CLOCK_MONOTONIC: only setting it, or a suspension, changes that."""
    best, best_width = 0, None
    for _ in range(_ATTEMPTS):
        before = time.monotonic_ns()
        wall = time.time_ns()
        width = time.monotonic_ns() - before
        if best_width is None or width < best_width:
            best, best_width = wall - before - width // 2, width
    return best
