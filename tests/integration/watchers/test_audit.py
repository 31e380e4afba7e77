"""Audit with the real kernel: what is told of processes that nobody could read, and that all is as before in the end.

Not shown here, because it would last until the next boot: locked rules (tests/unit/watchers/test_audit_switch.py).
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from integration.watchers.auditing import found, left_as_found, why_not
from integration.watchers.tracking import Tracking
from whatchanged.cli.units import AGENT_UNITS, render
from whatchanged.watchers.processes import audit_log
from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.audit import Audit, AuditControl
from whatchanged.watchers.processes.audit_log import AuditLog
from whatchanged.watchers.processes.audit_rules import ENABLED_KEY, KEY, Rule, execution_rules, is_ours
from whatchanged.watchers.processes.observer import ProcessObserver

pytestmark = [pytest.mark.root, pytest.mark.audit, pytest.mark.skipif(bool(why_not()), reason=why_not())]

SECONDS = 30.0
CLOCK_REALTIME_COARSE = 5
"""linux/time.h; what audit takes its times from."""
MACHINE = os.uname().machine
Run = tuple[int, int, int]


@pytest.fixture
def control() -> Iterator[AuditControl]:
    with left_as_found() as asked:
        yield asked


@contextlib.contextmanager
def observing(*, audit: bool) -> Iterator[ProcessObserver]:
    with ProcessObserver(real_time=False, audit=Audit() if audit else None) as observer:
        # Records bear the time of the last tick: until the next one they may be of what was before the observer.
        began_ns = time.time_ns()
        while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) < began_ns + 2_000_000:
            os.sched_yield()
        yield observer


def run(command: Sequence[str | bytes]) -> Run:
    """Run a command; return its pid and the stretch in which it ran."""
    began = time.monotonic_ns()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert process.wait() == 0
    return process.pid, began, time.monotonic_ns()


def unread(observer: ProcessObserver, commands: Sequence[Sequence[str | bytes]]) -> list[Actor]:
    """Run commands while the observer's thread is kept from reading about them; return who they were."""
    with observer._lock:  # the thread needs it for every event
        runs = [run(command) for command in commands]
    actors = [observer.who(pid, ended, began) for pid, began, ended in runs]
    assert [actor.pid for actor in actors if actor] == [pid for pid, _, _ in runs]
    return [actor for actor in actors if actor]


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < end
        time.sleep(0.01)


# What is told


def test_what_was_unknown_without_audit_is_known_with_it(control: AuditControl) -> None:
    commands = [["/bin/true", "number", str(number)] for number in range(50)]
    with observing(audit=False) as observer:
        without = unread(observer, commands)
    assert {actor.command_line for actor in without} == {None}
    with observing(audit=True) as observer:
        with_audit = unread(observer, commands)
        health = observer.health().audit
    assert health is not None
    assert (health.trouble, health.losses) == ("", 0)
    assert health.executions >= 50
    assert [actor.command_line for actor in with_audit] == [" ".join(command) for command in commands]
    assert {(actor.name, actor.executable) for actor in with_audit} == {("true", os.path.realpath("/bin/true"))}


def test_a_login_account_is_told(control: AuditControl) -> None:
    logging_in = "echo 1000 > /proc/self/loginuid; exec /bin/sleep 0.1"
    with observing(audit=True) as observer:
        with observer._lock:
            pid, _, ended = run(["/bin/sh", "-c", logging_in])
        actor = observer.who(pid, ended, ended - 50 * 10**6)
    assert actor is not None
    assert (actor.name, actor.command_line, actor.login_account) == ("sleep", "/bin/sleep 0.1", 1000)


@pytest.mark.parametrize("name", ["x uid=0", 'x" auid=0 comm="y', "x\npid=1", "x\x1dé", "(null)"])
def test_a_name_that_would_forge_fields_does_not_lie(control: AuditControl, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    shutil.copy("/bin/true", program)
    arguments = [str(program), name, 'a1="z" pid=1', "", "auid=0"]
    with observing(audit=True) as observer:
        [actor] = unread(observer, [arguments])
    expected = " ".join(arguments), str(program), name.encode()[:15].decode(), os.getpid(), 0
    assert (actor.command_line, actor.executable, actor.name, actor.parent_pid, actor.account) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        [b"a b " * 975, b"end"],
        [b"p" * 3600, b"q " * 200, b"end"],
        [b"x"] * 1500,
        [b"\xff\xfe \x01"],
        [b"y" * 9000],
        [b""],
    ],
    ids=["pieces", "two records", "many", "no text", "longer than is kept", "empty"],
)
def test_arguments_are_what_proc_would_have_shown(control: AuditControl, arguments: list[bytes]) -> None:
    with observing(audit=True) as observer:
        [actor] = unread(observer, [[b"/bin/true", *arguments]])
    raw = b"\0".join([b"/bin/true", *arguments, b""])[:4096]
    assert actor.command_line == raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def test_hundreds_of_short_processes_that_execute_one_program_after_the_other(control: AuditControl) -> None:
    with ProcessObserver(audit=Audit()) as observer:
        runs = [run(["/usr/bin/env", "-i", "/bin/true", str(number)]) for number in range(300)]
        actors = [observer.who(pid, ended, ended - 1) or observer.who(pid, ended, began) for pid, began, ended in runs]
        health = observer.health()
    assert health.audit is not None
    assert health.audit.executions >= 600
    for number, actor in enumerate(actors):
        assert actor is None or actor.command_line in (
            None,
            f"/bin/true {number}",
            f"/usr/bin/env -i /bin/true {number}",
        )


def test_programs_that_follow_each_other_within_a_tick(control: AuditControl) -> None:
    last = [f"0.05{number:02}" for number in range(20)]
    with observing(audit=True) as observer:
        with observer._lock:
            runs = [run(["/usr/bin/env", "/usr/bin/env", "-i", "/bin/sleep", seconds]) for seconds in last]
        actors = [observer.who(pid, ended - 20 * 10**6) for pid, _, ended in runs]
    assert [actor and actor.command_line for actor in actors] == [f"/bin/sleep {seconds}" for seconds in last]


def test_lost_records_are_counted_and_nothing_is_made_up(control: AuditControl) -> None:
    with contextlib.closing(AuditLog(queue_bytes=8192)) as log, observing(audit=True):
        for number in range(100):
            run(["/bin/true", str(number)])
        heard = log.waiting()
    assert log.losses >= 1
    assert len(heard) < 100


def test_records_from_around_a_clock_that_was_set_are_not_believed(
    control: AuditControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = audit_log._offset_ns()
    with contextlib.closing(AuditLog()) as log, observing(audit=True):
        run(["/bin/true"])
        eventually(lambda: any(one.told.at_ns for one in log.waiting()))
        run(["/bin/true"])
        monkeypatch.setattr(audit_log, "_offset_ns", lambda: offset + 3 * 10**9)
        eventually(lambda: bool(log.waiting()) or log.executions >= 2)
        assert log.waiting() == []


# What is left behind


def test_auditing_is_on_while_it_is_used_and_off_afterwards(control: AuditControl) -> None:
    before = found(control)
    with observing(audit=True) as observer:
        enabled, rules = found(control)
        health = observer.health().audit
        assert health is not None
        assert enabled == 1
        assert health.enabled_here is (before[0] == 0)
        key = ENABLED_KEY if health.enabled_here else KEY
        assert [rule for rule in rules if rule not in before[1]] == list(execution_rules(MACHINE, key))
    assert found(control) == before


def somebodys() -> Rule:
    """A rule that never matches: executions by a process that cannot be."""
    rule = execution_rules(MACHINE, b"somebody")[0]
    never = (1, 1, 0x40000000)  # AUDIT_UID
    return Rule(rule.list, rule.action, rule.mask, (never, *rule.fields), rule.texts)


def test_what_others_use_stays(control: AuditControl) -> None:
    rule, enabled = somebodys(), control.status().enabled
    try:
        with observing(audit=True):
            control.add(rule)
        assert rule in control.rules()
        assert not any(is_ours(one) for one in control.rules())
        assert control.status().enabled == 1  # it is the other's by now
    finally:
        control.delete(rule)
        control.enable(enabled)


def test_what_others_take_away_is_put_back(control: AuditControl) -> None:
    with observing(audit=True) as observer:
        ours = [rule for rule in control.rules() if is_ours(rule)]
        for rule in ours:  # as `auditctl -D` does, or the end of an audit daemon
            control.delete(rule)
        control.enable(0)
        eventually(lambda: [rule for rule in control.rules() if is_ours(rule)] == ours)
        eventually(lambda: control.status().enabled == 1)
        [actor] = unread(observer, [["/bin/true", "again"]])
        assert actor.command_line == "/bin/true again"


KILLED = """
import os, signal
from whatchanged.watchers.processes.audit import Audit
Audit().start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_one_left_is_cleared_by_the_next(control: AuditControl) -> None:
    before = found(control)
    done = subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert done.returncode == -signal.SIGKILL
    assert any(is_ours(rule) for rule in control.rules())
    with observing(audit=True):
        pass
    assert found(control) == before


def test_two_at_a_time_do_not_end_each_other(control: AuditControl) -> None:
    with observing(audit=True) as one:
        with observing(audit=True):
            pass
        eventually(lambda: any(is_ours(rule) for rule in control.rules()) and control.status().enabled == 1)
        [actor] = unread(one, [["/bin/true", "still"]])
        assert actor.command_line == "/bin/true still"


# Where it cannot be had


def test_a_rule_that_keeps_audit_from_processes_is_said_and_stays(control: AuditControl) -> None:
    never = Rule(1, 0, (0,) * 64, (), b"")  # `auditctl -a task,never`, which some distributions begin with
    control.add(never)
    try:
        before = found(control)
        with observing(audit=True) as observer:
            health = observer.health().audit
            assert health is not None
            assert "task,never" in health.trouble
            assert found(control) == before
    finally:
        control.delete(never)


ASKED = """
import os, subprocess, time
from whatchanged.watchers.processes.audit import Audit
from whatchanged.watchers.processes.observer import ProcessObserver
with ProcessObserver(audit=Audit()) as observer:
    done = subprocess.Popen(["/bin/sleep", "0.2"])
    done.wait()
    actor = observer.who(done.pid, time.monotonic_ns() - 10**8)
    print(observer.health().audit.trouble, actor and actor.name, sep="|")
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ("audit_read", "no audit: Operation not permitted: it needs CAP_AUDIT_READ|sleep"),
        (
            "audit_control",
            "no audit: Operation not permitted: it needs CAP_AUDIT_CONTROL and the initial namespaces|sleep",
        ),
    ],
)
def test_without_a_right_it_is_said_and_the_rest_goes_on(control: AuditControl, capability: str, said: str) -> None:
    without = ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}", sys.executable, "-c", ASKED]
    assert subprocess.check_output(without, text=True).strip() == said


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_the_rights_that_the_unit_gives_are_enough(control: AuditControl) -> None:
    unit = render(AGENT_UNITS[1], python=sys.executable, data="/var/lib/whatchanged", account="root", audit=True)
    [rights] = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("CapabilityBoundingSet=")]
    kept = ",".join("+" + right.removeprefix("CAP_").lower() for right in rights.split())
    bounded = ["setpriv", "--no-new-privs", f"--bounding-set=-all,{kept}", sys.executable, "-c", ASKED]
    assert subprocess.check_output(bounded, text=True) == "|sleep\n"


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_in_a_container_of_its_own_it_is_not_used(control: AuditControl) -> None:
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", ASKED]
    trouble, _ = subprocess.check_output(inside, text=True).split("|")
    # Where somebody on the host subscribes to process events at this moment, the second.
    assert trouble in (
        "not started: without process events it is of no use",
        "no audit: Operation not permitted: it needs CAP_AUDIT_CONTROL and the initial namespaces",
    )


# A tracker whose policy asks for it

ASKING = "core_share = 64.0\npressure_aware = false\naudit = true\n"


def said(command: str, tracking: Tracking, *arguments: str) -> str:
    asked = [sys.executable, "-m", "whatchanged", command, "--data", tracking.data.path, *arguments]
    return subprocess.run(
        asked, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "400"}
    ).stdout


def test_a_tracker_whose_policy_asks_for_it(control: AuditControl, tracking: Tracking) -> None:
    before = found(control)
    tracking.policy.write_text(ASKING)
    tracking.start()
    for number in range(20):
        subprocess.run(["cp", "/etc/hostname", f"f{number}"], cwd=tracking.tree, check=True)
    for number in range(20):
        row = tracking.change(f"/srv/f{number}", "Added")
        assert row["InitiatingProcessCommandLine"] == f"cp /etc/hostname f{number}"
    told = tracking.status()["watch"]["audit"]
    assert (told["trouble"], told["losses"], told["executions"] >= 20) == ("", 0, True)
    assert [row["Status"] for row in tracking.health("Watching") if "audit tells executions" in row["Detail"]] == ["Ok"]
    assert "audit tells executions" in said("status", tracking)
    assert "audit tells executions" in said("doctor", tracking, "--policy", str(tracking.policy))
    if told["enabled_here"]:
        assert "system calls take longer until the next boot" in said("status", tracking)
    tracking.end()
    assert found(control) == before


def test_a_tracker_whose_policy_says_nothing_of_it(control: AuditControl, tracking: Tracking) -> None:
    before = found(control)
    tracking.start()
    assert found(control) == before
    assert tracking.status()["watch"]["audit"] == {}
    assert not [row for row in tracking.health("Watching") if "audit" in row["Detail"]]
    assert "audit" not in said("doctor", tracking, "--policy", str(tracking.policy))
    tracking.policy.write_text(ASKING)
    assert "not used by the tracker" in said("doctor", tracking, "--policy", str(tracking.policy))


def test_doctor_says_the_price_before_it_is_paid(control: AuditControl, tracking: Tracking) -> None:
    before = found(control)
    tracking.policy.write_text(ASKING)
    told = said("doctor", tracking, "--policy", str(tracking.policy))
    assert "asked for by the policy: system calls take longer until the next boot" in told
    assert found(control) == before


def test_what_a_killed_tracker_left_is_said_by_doctor(control: AuditControl, tracking: Tracking) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert "auditctl -D -k whatchanged" in said("doctor", tracking, "--policy", str(tracking.policy))
    with observing(audit=True):  # which clears it
        pass
