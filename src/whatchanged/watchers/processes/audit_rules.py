"""The requests that audit is asked with, as bytes: its status and its rules (linux/audit.h).

The rule that is ours makes the kernel tell every execution that succeeds. Its key says who made it, and whether it
was switched on for it: `whatchanged`, or `whatchanged-enabled`. So that is known as long as the rule stands, also to
the next tracker after one that was killed, and gone with the next boot, as the rule is.

Pure: takes any bytes.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import struct
from collections.abc import Iterable, Sequence

import msgspec

from whatchanged.errors import WireError

__all__ = [
    "ENABLED_KEY",
    "KEY",
    "LOCKED",
    "PANIC",
    "Rule",
    "Status",
    "enable",
    "execution_rules",
    "is_ours",
    "keeps_out",
    "parse_status",
]

KEY = b"whatchanged"
ENABLED_KEY = b"whatchanged-enabled"
LOCKED = 2
"""Nothing can be changed until the next boot (`auditctl -e 2`)."""
PANIC = 2
"""The machine halts (`auditctl -f 2`)."""

_STATUS = struct.Struct("=8I")  # mask, enabled, failure, pid, rate_limit, backlog_limit, lost, backlog
_STATUS_ENABLED = 1
_RULE_HEAD = struct.Struct("=3I")
_WORDS = 64  # AUDIT_BITMASK_SIZE, AUDIT_MAX_FIELDS
_ARRAY = struct.Struct(f"={_WORDS}I")
_U32 = struct.Struct("=I")
_FIXED = _RULE_HEAD.size + 4 * _ARRAY.size + _U32.size
_FILTER_TASK = 1
_FILTER_EXIT = 4
_NEVER = 0
_ALWAYS = 2
_EQUAL = 0x40000000
_ARCH = 11
_SUCCESS = 104
_FILTERKEY = 210

_EXECUTE: dict[str, tuple[tuple[int, tuple[int, int]], ...]] = {
    "x86_64": ((0xC000003E, (59, 322)), (0x40000003, (11, 358))),
    "aarch64": ((0xC00000B7, (221, 281)), (0x40000028, (11, 387))),
}
"""Machine → AUDIT_ARCH_* of its own calls and of its 32 bit ones, each with the numbers of execve and execveat."""


class Status(msgspec.Struct, frozen=True):
    """Of struct audit_status."""

    enabled: int
    """0, 1, or `LOCKED`."""
    failure: int
    """What happens when a record is lost: 0 nothing, 1 a line in the kernel's log, or `PANIC`."""
    daemon: int
    """Pid of the audit daemon; 0: there is none."""
    lost: int
    """Records that the kernel could not keep, since it was started or somebody set this to 0."""


class Rule(msgspec.Struct, frozen=True):
    """Of struct audit_rule_data, without what is not used."""

    list: int
    action: int
    mask: tuple[int, ...]
    fields: tuple[tuple[int, int, int], ...]
    """Field, value, operator."""
    texts: bytes
    """The values that are text, one after the other."""

    def encode(self) -> bytes:
        """Return the bytes that the kernel takes."""
        rest = [(0, 0, 0)] * (_WORDS - len(self.fields))
        columns = zip(*self.fields, *rest, strict=True)
        return b"".join(
            (
                _RULE_HEAD.pack(self.list, self.action, len(self.fields)),
                _ARRAY.pack(*self.mask),
                *(_ARRAY.pack(*column) for column in columns),
                _U32.pack(len(self.texts)),
                self.texts,
            )
        )

    @classmethod
    def parse(cls, data: bytes) -> Rule:
        """Return the rule in an answer of the kernel; raises WireError when it is none."""
        try:
            filter_list, action, count = _RULE_HEAD.unpack_from(data)
            mask, *columns = (_ARRAY.unpack_from(data, _RULE_HEAD.size + number * _ARRAY.size) for number in range(4))
            (length,) = _U32.unpack_from(data, _FIXED - _U32.size)
        except struct.error as error:
            raise WireError(f"an audit rule is cut off after {len(data)} bytes") from error
        fields = tuple(zip(*columns, strict=True))[:count]
        return cls(filter_list, action, mask, fields, data[_FIXED : _FIXED + length])


def execution_rules(machine: str, key: bytes) -> Sequence[Rule]:
    """Return the rules for a machine (uname(2)); none where its system calls are not known."""
    return [_rule(arch, calls, key) for arch, calls in _EXECUTE.get(machine, ())]


def _rule(arch: int, calls: Iterable[int], key: bytes) -> Rule:
    mask = [0] * _WORDS
    for call in calls:
        mask[call // 32] |= 1 << call % 32
    fields = ((_ARCH, arch, _EQUAL), (_SUCCESS, 1, _EQUAL), (_FILTERKEY, len(key), _EQUAL))
    return Rule(_FILTER_EXIT, _ALWAYS, tuple(mask), fields, key)


def is_ours(rule: Rule) -> bool:
    """Whether the key says that a tracker made it."""
    keyed = any(field == _FILTERKEY and value == len(rule.texts) for field, value, _ in rule.fields)
    return keyed and rule.texts in (KEY, ENABLED_KEY)


def keeps_out(rule: Rule) -> bool:
    """Whether a rule keeps audit away from processes that begin under it: `-a task,never` of auditctl(8)."""
    return (rule.list, rule.action) == (_FILTER_TASK, _NEVER)


def parse_status(data: bytes) -> Status:
    """Return the status in an answer of the kernel; raises WireError when it is none."""
    try:
        _, enabled, failure, daemon, _, _, lost, _ = _STATUS.unpack_from(data)
    except struct.error as error:
        raise WireError(f"the status of audit is cut off after {len(data)} bytes") from error
    return Status(enabled, failure, daemon, lost)


def enable(enabled: int) -> bytes:
    """Return the status that sets whether auditing is on, and nothing else."""
    return _STATUS.pack(_STATUS_ENABLED, enabled, 0, 0, 0, 0, 0, 0)
