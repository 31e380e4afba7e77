"""What is done to auditing in states that a real kernel cannot be brought into and out of again: a kernel in memory."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import threading
from collections.abc import Callable

import pytest

from whatchanged.watchers.processes import audit
from whatchanged.watchers.processes.audit import Audit, AuditHealth
from whatchanged.watchers.processes.audit_rules import ENABLED_KEY, KEY, Rule, Status, execution_rules, is_ours

OTHERS = execution_rules("x86_64", b"theirs")[0]


class Kernel:
    """Keeps status and rules as the kernel does: a locked one refuses every change."""

    def __init__(self, enabled: int, *, daemon: int = 0, rules: tuple[Rule, ...] = ()) -> None:
        self.enabled = enabled
        self.daemon = daemon
        self.kept = list(rules)
        self.failure = 1
        self.lost = 5
        self.touched: list[str] = []
        self.looks = 0

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def status(self) -> Status:
        said = Status(self.enabled, self.failure, self.daemon, self.lost)
        self.looks += 1
        return said

    def rules(self) -> list[Rule]:
        return list(self.kept)

    def enable(self, enabled: int) -> None:
        self._change(f"enabled={enabled}")
        self.enabled = enabled

    def add(self, rule: Rule) -> None:
        self._change("add")
        self.kept.append(rule)

    def delete(self, rule: Rule) -> None:
        self._change("delete")
        self.kept.remove(rule)

    def _change(self, what: str) -> None:
        self.touched.append(what)
        if self.enabled == 2:
            raise PermissionError(1, "Operation not permitted")


class Silent:
    """A log in which nothing is told."""

    losses = executions = 0
    reconfigured = False

    def close(self) -> None:
        pass


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AuditHealth]:
    def use(
        kernel: Kernel, meanwhile: Callable[[Audit], None] = lambda _: None, changed: Callable[[], None] = lambda: None
    ) -> AuditHealth:
        monkeypatch.setattr(audit, "AuditControl", lambda: kernel)
        monkeypatch.setattr(audit, "AuditLog", Silent)
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "6.18", "", "x86_64")))
        auditing = Audit(changed)
        auditing.start()
        meanwhile(auditing)
        health = auditing.health()
        auditing.stop()
        return health

    return use


def test_locked_rules_are_left_alone_and_said(used: Callable[..., AuditHealth]) -> None:
    kernel = Kernel(2, rules=(OTHERS,))
    assert "locked until the next boot" in used(kernel).trouble
    assert (kernel.touched, kernel.kept) == ([], [OTHERS])


def test_locked_rules_that_are_ours_already_do(used: Callable[..., AuditHealth]) -> None:
    kernel = Kernel(2, rules=tuple(execution_rules("x86_64", KEY)))
    assert used(kernel).trouble == ""
    assert kernel.touched == []


def test_where_a_rule_keeps_audit_from_processes_nothing_is_switched_on(used: Callable[..., AuditHealth]) -> None:
    never = Rule(1, 0, (0,) * 64, (), b"")
    kernel = Kernel(0, rules=(never,))
    assert "auditctl -a task,never" in used(kernel).trouble
    assert (kernel.enabled, kernel.kept, kernel.touched) == (0, [never], [])


def test_a_machine_that_halts_when_records_are_lost_gets_no_more_of_them(used: Callable[..., AuditHealth]) -> None:
    kernel = Kernel(1, rules=(OTHERS,))
    kernel.failure = 2
    assert "auditctl -f 2" in used(kernel).trouble
    assert (kernel.kept, kernel.touched) == ([OTHERS], [])


def test_auditing_that_was_on_stays_on(used: Callable[..., AuditHealth]) -> None:
    kernel = Kernel(1)
    health = used(kernel)
    assert (health.trouble, health.enabled_here) == ("", False)
    assert (kernel.enabled, kernel.kept, kernel.touched) == (1, [], ["add", "add", "delete", "delete"])


def test_auditing_that_was_off_is_off_again_unless_a_daemon_came(used: Callable[..., AuditHealth]) -> None:
    for daemon in (0, 77):
        kernel = Kernel(0)
        health = used(kernel, lambda _, kernel=kernel, daemon=daemon: setattr(kernel, "daemon", daemon))
        assert health.enabled_here
        assert (kernel.enabled, kernel.kept) == (1 if daemon else 0, [])


def test_the_key_says_for_whom_auditing_is_on(used: Callable[..., AuditHealth]) -> None:
    for enabled, key in ((0, ENABLED_KEY), (1, KEY)):
        kernel = Kernel(enabled)
        during: list[Rule] = []
        used(kernel, lambda _, kernel=kernel, during=during: during.extend(kernel.kept))
        assert {rule.texts for rule in during} == {key}
        assert all(is_ours(rule) for rule in during)


def test_records_that_the_kernel_lost_before_are_none_of_ours(used: Callable[..., AuditHealth]) -> None:
    assert used(Kernel(1)).losses == 0


def test_records_that_the_kernel_loses_meanwhile_are_told(used: Callable[..., AuditHealth]) -> None:
    kernel, changed = Kernel(1), threading.Event()

    def lose(auditing: Audit) -> None:
        for lost, losses in ((8, 3), (0, 3), (4, 7)):  # in between somebody set the kernel's count to 0
            changed.clear()
            looks, kernel.lost = kernel.looks, lost
            auditing._switch.look_again()
            while kernel.looks == looks or auditing.health().losses != losses:
                changed.wait(0.02)

    used(kernel, lose, changed.set)


def test_a_machine_of_which_the_system_calls_are_not_known(
    used: Callable[..., AuditHealth], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(0)
    monkeypatch.setattr(audit, "execution_rules", lambda machine, key: [])
    assert "are not known" in used(kernel).trouble
    assert kernel.enabled == 0
