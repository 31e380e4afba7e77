"""Auditing of the machine that the tests run on: whether it can be had, and that it is left as it was found."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
from collections.abc import Iterator

from whatchanged.errors import OperationError
from whatchanged.watchers.processes.audit import AuditControl
from whatchanged.watchers.processes.audit_log import AuditLog
from whatchanged.watchers.processes.audit_rules import LOCKED, Rule, is_ours


def why_not() -> str:
    """Why auditing cannot be tried here; empty if it can."""
    try:
        AuditLog().close()
        with AuditControl() as control:
            if control.status().enabled == LOCKED:
                return "the audit rules are locked"
            return "a tracker uses audit" if any(is_ours(rule) for rule in control.rules()) else ""
    except (OSError, OperationError) as error:
        return f"no audit here: {error}"


@contextlib.contextmanager
def left_as_found() -> Iterator[AuditControl]:
    """See to it that rules and flag are what they were, whatever happens; fail if they were not."""
    with AuditControl() as control:
        before = found(control)
        try:
            yield control
        finally:
            after = found(control)
            for rule in after[1]:
                if rule not in before[1]:
                    control.delete(rule)
            if after[0] != before[0]:
                control.enable(before[0])
        assert after == before


def found(control: AuditControl) -> tuple[int, list[Rule]]:
    return control.status().enabled, control.rules()
