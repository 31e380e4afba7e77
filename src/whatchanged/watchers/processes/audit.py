"""Executions as the kernel's audit tells them: everything, and at a price. Only where the policy asks for it.

Auditing is switched on if it is off, and a rule of ours makes executions be told. Nobody's rules but ours are touched,
and this never becomes the audit daemon. At the end the rule goes, and auditing is off again if it was for us that it
was on, and nobody else has rules or a daemon by then.

The kernel may let whoever asks wait for up to a minute while its queue of records is full: so a thread of its own asks.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import errno
import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable

import msgspec

from whatchanged.errors import OperationError, WireError
from whatchanged.watchers.processes import netlink
from whatchanged.watchers.processes.audit_log import NETLINK_AUDIT, AuditLog, Heard, refused
from whatchanged.watchers.processes.audit_rules import (
    ENABLED_KEY,
    KEY,
    LOCKED,
    PANIC,
    Rule,
    Status,
    enable,
    execution_rules,
    is_ours,
    keeps_out,
    parse_status,
)

__all__ = ["COST", "Audit", "AuditControl", "AuditHealth"]

COST = (
    "system calls take longer until the next boot, and where no audit daemon takes the records, the kernel's log gets "
    "some of them, with command lines"
)
"""Of auditing that is switched on, in words (docs/adr/0021)."""

log = logging.getLogger(__name__)

_GET = 1000
_SET = 1001
_ADD_RULE = 1011
_DELETE_RULE = 1012
_LIST_RULES = 1013
_REQUEST = 1
_ACKNOWLEDGE = 4
_ERROR = 2
_DONE = 3
_LARGEST = 64 * 1024
_MOST_RULES = 8192
_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 5.0
_BEGIN_SECONDS = 2.0
_END_SECONDS = 5.0


class AuditHealth(msgspec.Struct, frozen=True):
    """How audit fares, which the policy asked for."""

    trouble: str
    """Why executions are not told, or only those that rules of others name; empty: they are told."""
    enabled_here: bool
    """It was for us that auditing was switched on."""
    executions: int
    """Told so far."""
    losses: int
    """Records that the kernel lost since we began, and times at which it lost some that were ours: not all was told."""


class AuditControl:
    """Asks the kernel's audit, and changes what is ours. Raises OSError with the kernel's errno, and WireError."""

    def __init__(self) -> None:
        """Open a socket; raises OSError."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
        self._socket.settimeout(_ANSWER_SECONDS)
        self._sequences = itertools.count(1)

    def __enter__(self) -> AuditControl:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def status(self) -> Status:
        """Return whether auditing is on, and for whom."""
        return parse_status(self._ask(_GET)[0])

    def enable(self, enabled: int) -> None:
        """Switch auditing on or off."""
        self._ask(_SET, enable(enabled), acknowledge=True)

    def rules(self) -> list[Rule]:
        """Return all rules."""
        return [Rule.parse(answer) for answer in self._ask(_LIST_RULES)]

    def add(self, rule: Rule) -> None:
        """Add a rule, if it is not there."""
        with contextlib.suppress(FileExistsError):
            self._ask(_ADD_RULE, rule.encode(), acknowledge=True)

    def delete(self, rule: Rule) -> None:
        """Delete a rule, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._ask(_DELETE_RULE, rule.encode(), acknowledge=True)

    def _ask(self, kind: int, body: bytes = b"", *, acknowledge: bool = False) -> list[bytes]:
        """Send a request and return the answers: one that is acknowledged has none."""
        sequence = next(self._sequences)
        flags = _REQUEST | (_ACKNOWLEDGE if acknowledge else 0)
        self._socket.send(netlink.NLMSG.pack(netlink.NLMSG.size + len(body), kind, flags, sequence, 0) + body)
        answers: list[bytes] = []
        while len(answers) <= _MOST_RULES:
            message = netlink.receive(self._socket, _LARGEST)
            if len(message) < netlink.NLMSG.size:
                raise WireError(f"an answer of audit is cut off after {len(message)} bytes")
            _, got, _, of, _ = netlink.NLMSG.unpack_from(message)
            data = message[netlink.NLMSG.size :]
            if of != sequence:
                continue
            if got == _ERROR:
                if number := -int.from_bytes(data[:4], sys.byteorder, signed=True):
                    raise OSError(number, os.strerror(number))
                return answers
            if got == _DONE:
                return answers
            if got == kind:
                answers.append(data)
                if kind == _GET:
                    return answers
        raise WireError(f"audit has more than {_MOST_RULES} rules")


class _Switch:
    """Keeps auditing on and our rule in place, until it is stopped."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._wake = threading.Event()
        self._looked = threading.Event()
        self._stopping = False
        self._placed = False
        self._lost_before: int | None = None
        self.trouble = "the kernel has not answered yet"
        self.enabled_here = False
        self.losses = 0
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._looked.wait(_BEGIN_SECONDS)

    def look_again(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            log.warning("audit does not answer: the rules with the key %s stay until the next boot", KEY.decode())

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            before = self.trouble, self.losses
            self._attempt(self._keep)
            self._looked.set()
            if (self.trouble, self.losses) != before:
                self._changed()
            if not self._stopping:
                self._wake.wait(_LOOK_SECONDS)
        if self._placed:
            self._attempt(self._withdraw)

    def _attempt(self, work: Callable[[AuditControl], str]) -> None:
        try:
            with AuditControl() as control:
                self.trouble = work(control)
        except (PermissionError, ConnectionRefusedError, TimeoutError) as error:
            why = {
                errno.EPERM: "it needs CAP_AUDIT_CONTROL and the initial namespaces",
                errno.ECONNREFUSED: "it is off (audit=0)",
            }
            self.trouble = f"{refused(error)}: {why.get(error.errno or 0, 'the kernel does not answer')}"
        except OSError as error:
            self.trouble = refused(error)
        except WireError as error:
            self.trouble = error.message
        if self._stopping and self._placed and self.trouble:
            log.warning("audit is left as it is: %s", self.trouble)

    def _keep(self, control: AuditControl) -> str:
        """Put in place what is missing; return what is in the way."""
        status, rules = control.status(), control.rules()
        self._count(status)
        own = [rule for rule in rules if is_ours(rule)]
        here = self.enabled_here or status.enabled == 0 or any(rule.texts == ENABLED_KEY for rule in own)
        wanted = execution_rules(os.uname().machine, ENABLED_KEY if here else KEY)
        if not wanted:
            return f"no audit: the system calls of {os.uname().machine} are not known"
        missing = [rule for rule in wanted if rule not in own]
        if status.enabled == LOCKED:
            return "the audit rules are locked until the next boot (auditctl -e 2)" if missing else ""
        if missing and any(keeps_out(rule) for rule in rules):
            return "a rule of others keeps audit from new processes (auditctl -a task,never)"
        if missing and status.failure == PANIC:
            return "this machine halts when records are lost (auditctl -f 2): nothing is added to them"
        if missing and self._placed:
            log.warning("the audit rule was taken away by somebody else: it is put back")
        self.enabled_here, self._placed = here, True
        for rule in missing:
            control.add(rule)
        for rule in own:
            if rule not in wanted:
                control.delete(rule)
        if status.enabled == 0:
            control.enable(1)
            log.info("auditing was switched on, as the policy asks: %s", COST)
        return ""

    def _count(self, status: Status) -> None:
        if self._lost_before is not None and status.lost > self._lost_before:
            self.losses += status.lost - self._lost_before
        self._lost_before = status.lost

    def _withdraw(self, control: AuditControl) -> str:
        """Leave auditing as it would be without us."""
        status = control.status()
        if status.enabled == LOCKED:
            return "it is locked until the next boot (auditctl -e 2)"
        for rule in control.rules():
            if is_ours(rule):
                control.delete(rule)
        if self.enabled_here and status.enabled and not status.daemon and not control.rules():
            control.enable(0)
        return ""


class Audit:
    """The executions of this machine from `start` to `stop`, as far as audit tells them."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called, by a thread of this, when `health` says something new."""
        self._switch = _Switch(changed)
        self._log: AuditLog | None = None
        self._trouble = "not started: without process events it is of no use"

    def start(self) -> None:
        """Listen, and let executions be told; what is in the way is in `health`."""
        try:
            self._log = AuditLog()
        except OperationError as error:
            self._trouble = f"{error.message}: {error.hint}" if error.hint else error.message
            return
        self._trouble = ""
        self._switch.start()

    def stop(self) -> None:
        """Leave auditing as it would be without us."""
        if self._log is not None:
            self._switch.stop()
            self._log.close()
            self._log = None
            self._trouble = "stopped"

    def fileno(self) -> int | None:
        """Return the descriptor that is readable when records wait; None when none will come."""
        return self._log.fileno() if self._log else None

    @property
    def incomplete(self) -> bool:
        """The end of something is waited for."""
        return self._log is not None and self._log.incomplete

    def waiting(self) -> list[Heard]:
        """Return what was told since the last call."""
        if self._log is None:
            return []
        heard = self._log.waiting()
        if self._log.reconfigured:
            self._log.reconfigured = False
            self._switch.look_again()
        return heard

    def health(self) -> AuditHealth:
        """Return how it fares."""
        told, losses = (self._log.executions, self._log.losses) if self._log else (0, 0)
        trouble = self._trouble or self._switch.trouble
        return AuditHealth(trouble, self._switch.enabled_here, told, losses + self._switch.losses)
