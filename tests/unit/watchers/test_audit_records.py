"""Records of audit: as Linux 6.18 (x86_64) sent them, as processes would like to forge them, and any bytes at all."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import WireError
from whatchanged.watchers.processes.audit_records import (
    EOE,
    EXECVE,
    LOGIN,
    SYSCALL,
    Execution,
    Joiner,
    LoginSet,
    Record,
    parse,
)
from whatchanged.watchers.processes.audit_rules import (
    ENABLED_KEY,
    KEY,
    Rule,
    Status,
    enable,
    execution_rules,
    is_ours,
    parse_status,
)

# A copy of true(1) under the name `x uid=0`, executed with the argument `pid=1`.
HOSTILE = {
    SYSCALL: b"audit(1795846411.472:14567): arch=c000003e syscall=59 success=yes exit=0 a0=7f7ad92c4890 "
    b"a1=7f7ad925b9d0 a2=7ffff6510dd0 a3=8 items=2 ppid=23134 pid=23139 auid=4294967295 uid=0 gid=0 "
    b"euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=4294967295 comm=78207569643D30 "
    b'exe=2F746D702F78207569643D30 key="whatchanged-enabled"',
    EXECVE: b'audit(1795846411.472:14567): argc=2 a0=2F746D702F78207569643D30 a1="pid=1"',
    EOE: b"audit(1795846411.472:14567): ",
}
# /bin/sh -c 'echo 1000 > /proc/self/loginuid; exec /bin/true logged in'
LOGGED_IN = [
    (
        LOGIN,
        b"audit(1795845453.260:5083): pid=32702 uid=0 old-auid=4294967295 auid=1000 tty=(none) old-ses=4294967295 "
        b"ses=1 res=1",
    ),
    (
        SYSCALL,
        b"audit(1795845453.260:5083): arch=c000003e syscall=1 success=yes exit=5 a0=1 a1=55d599b3bca0 a2=5 a3=0 "
        b"items=0 ppid=32694 pid=32702 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) "
        b'ses=1 comm="sh" exe="/usr/bin/dash" key=(null)',
    ),
    (EOE, b"audit(1795845453.260:5083): "),
    (
        SYSCALL,
        b"audit(1795845453.260:5084): arch=c000003e syscall=59 success=yes exit=0 a0=55d599b3ba18 a1=55d599b3ba78 "
        b"a2=55d599b3ba98 a3=d0e513b834dac81d items=2 ppid=32694 pid=32702 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 "
        b'egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm="true" exe="/usr/bin/true" key="whatchanged-enabled"',
    ),
    (EXECVE, b'audit(1795845453.260:5084): argc=3 a0="/bin/true" a1="logged" a2="in"'),
    (EOE, b"audit(1795845453.260:5084): "),
]


def message(kind: int, text: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(text), kind, 0, 0, 0) + text


def joined(records: list[tuple[int, bytes]]) -> list[Execution | LoginSet]:
    joiner = Joiner()
    parsed = [parse(message(kind, text)) for kind, text in records]
    found = [joiner.add(record, 0) for record in parsed if record is not None]
    assert len(joiner) == 0
    return [one for one in found if one is not None]


def executed(*arguments: bytes, call: bytes = b"") -> Execution | None:
    """What is made of these EXECVE records."""
    head = b"audit(1.000:7): "
    call = call or b'success=yes pid=5 auid=1000 comm="cp" exe="/bin/cp"'
    records = [(SYSCALL, head + call), *((EXECVE, head + text) for text in arguments), (EOE, head)]
    found = joined(records)
    assert all(isinstance(one, Execution) for one in found)
    return next((one for one in found if isinstance(one, Execution)), None)


def test_a_name_that_looks_like_a_field_is_a_name() -> None:
    path = "/tmp/x uid=0"
    at_ns = 1795846411_472 * 10**6
    expected = Execution(23139, at_ns, 14567, None, b"x uid=0", path, path.encode() + b"\0pid=1\0")
    assert joined(list(HOSTILE.items())) == [expected]


def test_a_login_and_what_is_executed_after_it() -> None:
    at_ns = 1795845453_260 * 10**6
    execution = Execution(32702, at_ns, 5084, 1000, b"true", "/usr/bin/true", b"/bin/true\0logged\0in\0")
    assert joined(LOGGED_IN) == [LoginSet(32702, at_ns, 5083), execution]


@pytest.mark.parametrize(
    "call",
    [
        b'success=no exit=-2 pid=5 auid=1000 comm="cp" exe="/bin/cp"',
        b'success=yes auid=1000 comm="cp" exe="/bin/cp"',
        b'success=yes pid=-5 auid=1000 comm="cp" exe="/bin/cp"',
        b"",
    ],
)
def test_a_call_that_failed_or_says_no_process_is_no_execution(call: bytes) -> None:
    assert executed(b'argc=1 a0="cp"', call=call or b"x") is None


def test_the_first_of_two_fields_counts_as_a_label_stands_behind() -> None:
    call = b'success=yes pid=5 auid=1000 comm="cp" exe="/bin/cp" subj=a pid=1 auid=0 comm="login" exe="/bin/login"'
    found = executed(b'argc=1 a0="cp" a0="login"', call=call)
    assert found is not None
    assert (found.pid, found.login_user, found.name, found.executable) == (5, 1000, b"cp", "/bin/cp")
    assert found.arguments is None  # an argument that comes twice


def test_text_of_a_program_that_may_write_to_audit_is_of_another_kind() -> None:
    forged = b'audit(1795846411.472:14567): argc=1 a0="forged" a1="too"'
    records = [*HOSTILE.items()]
    records.insert(1, (1107, forged))  # AUDIT_USER_AVC; user space cannot send the kernel's own kinds
    assert joined(records) == joined(list(HOSTILE.items()))


def test_long_arguments_come_in_pieces() -> None:
    text = b"a b " * 975
    encoded = text.hex().upper().encode()
    first, second = encoded[:7500], encoded[7500:]
    begin = b'argc=3 a0="/bin/true" a1_len=%d a1[0]=%b' % (len(encoded), first)
    whole = executed(begin, b' a1[1]=%b a2="end"' % second)
    assert whole is not None
    assert whole.arguments == b"/bin/true\0" + text + b"\0end\0"
    for lost in (
        [begin],
        [begin, b" a1[1]=%b" % second],
        [begin, b' a1[2]=%b a2="end"' % second],
        [b' a1[1]=20 a2="x"'],
    ):
        part = executed(*lost)
        assert part is not None
        assert (part.name, part.arguments) == (b"cp", None)


def test_what_is_cut_in_proc_is_cut_here() -> None:
    found = executed(b'argc=9 a0="%b"' % (b"x" * 5000))
    assert found is not None
    assert found.arguments == b"x" * 4096


@pytest.mark.parametrize(
    "wrong", [b'argc=2 a0="cp"', b'a0="cp"', b"argc=1 a0=xyz", b'argc=1 a0="cp" a1="f"', b"argc=1 a1=00"]
)
def test_arguments_that_are_not_all_there_are_unknown(wrong: bytes) -> None:
    found = executed(wrong)
    assert found is not None
    assert found.arguments is None


def test_an_event_without_its_end_is_told_after_a_while() -> None:
    joiner = Joiner()
    for kind in (SYSCALL, EXECVE):
        record = parse(message(kind, HOSTILE[kind]))
        assert record is not None
        assert joiner.add(record, 0) is None
    assert joiner.overdue(10**9) == []
    assert [one.name for one in joiner.overdue(3 * 10**9)] == [b"x uid=0"]
    assert len(joiner) == 0


FIELDS = st.lists(
    st.sampled_from(
        [b"pid", b"auid", b"success", b"comm", b"exe", b"argc", b"a0", b"a1", b"a1[0]", b"a1[1]", b"a1_len"]
    ).flatmap(
        lambda name: st.sampled_from([b"yes", b"5", b'"x"', b"7820", b'"', b"", b"99999999999"]).map(
            lambda v: name + b"=" + v
        )
    )
).map(b" ".join)


@given(st.lists(st.tuples(st.sampled_from([SYSCALL, EXECVE, EOE, LOGIN, 7]), st.integers(0, 3), FIELDS)))
def test_records_in_any_order_are_joined_without_harm(records: list[tuple[int, int, bytes]]) -> None:
    joiner = Joiner()
    for now, (kind, serial, text) in enumerate(records):
        found = joiner.add(Record(kind, 1, serial, text), now)
        if isinstance(found, Execution) and found.arguments is not None:
            assert len(found.arguments) <= 4096
    assert len(joiner) <= 4


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda a: b"\0" not in a), min_size=1, max_size=8))
def test_arguments_come_through(arguments: list[bytes]) -> None:
    """Written as the kernel's audit_log_execve_info does."""
    text = b"argc=%d" % len(arguments)
    for number, argument in enumerate(arguments):
        clean = all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in argument)
        text += b" a%d=%b" % (number, b'"%b"' % argument if clean else argument.hex().upper().encode())
    found = executed(text)
    assert found is not None
    assert found.arguments == b"\0".join(arguments) + b"\0"


@given(st.integers(0, 2**16), st.binary(max_size=300))
def test_any_bytes(kind: int, text: bytes) -> None:
    for raw in (
        text,
        message(kind & 0xFFFF if kind < 2**16 else 1, text),
        message(SYSCALL, b"audit(1.000:1): " + text),
    ):
        with contextlib.suppress(WireError):
            if (record := parse(raw)) is not None:
                Joiner().add(record, 0)


def test_memory_is_bounded() -> None:
    joiner = Joiner()
    for serial in range(10_000):
        joiner.add(Record(SYSCALL, 1, serial, b""), serial)
        joiner.add(Record(EXECVE, 1, serial, b'argc=9 a0="%b"' % (b"x" * 8000)), serial)
    assert len(joiner) <= 256


# Rules and status


def test_the_rules_are_those_of_the_architecture() -> None:
    own, compatible = execution_rules("x86_64", KEY)
    assert [n for n in range(2048) if own.mask[n // 32] >> n % 32 & 1] == [59, 322]
    assert [n for n in range(2048) if compatible.mask[n // 32] >> n % 32 & 1] == [11, 358]
    assert len(own.encode()) == 1040 + len(KEY)
    assert execution_rules("pdp11", KEY) == []


@pytest.mark.parametrize("key", [KEY, ENABLED_KEY])
def test_a_rule_comes_through(key: bytes) -> None:
    for rule in execution_rules("aarch64", key):
        assert Rule.parse(rule.encode()) == rule
        assert is_ours(rule)


def test_rules_of_others_are_not_ours() -> None:
    rule = execution_rules("x86_64", b"whatchanged-not")[0]
    assert not is_ours(rule)
    watched = Rule(4, 2, rule.mask, ((107, 4, 0), (210, len(KEY), 0)), b"/etc" + KEY)  # AUDIT_DIR
    assert not is_ours(watched)


@given(st.binary(max_size=1200))
def test_any_bytes_as_rule_and_status(data: bytes) -> None:
    with contextlib.suppress(WireError):
        is_ours(Rule.parse(data))
    with contextlib.suppress(WireError):
        parse_status(data)


def test_the_status_of_a_real_kernel() -> None:
    assert parse_status(struct.pack("=11I", 0, 0, 1, 0, 0, 64, 0, 0, 127, 15000, 0)) == Status(0, 1, 0, 0)
    assert struct.unpack("=8I", enable(1)) == (1, 1, 0, 0, 0, 0, 0, 0)  # of AUDIT_STATUS_* nothing but enabled
