"""What the tracker says of itself in TrackingHealth: its start, the rules in force, what keeps it from its work."""

from __future__ import annotations

from whatchanged import __version__
from whatchanged.errors import OperationError
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns
from whatchanged.rules import Severity
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.state import OutboxFull, State

__all__ = ["begin_epoch", "report_plan", "report_recovery", "report_start", "report_trouble"]

_PROBLEMS_SHOWN = 10


def report_start(state: State) -> None:
    """Say that the tracker started."""
    state.report(
        HealthRecord(
            component=Component.TRACKER,
            status=HealthStatus.OK,
            reason=HealthReason.STARTED,
            time_ns=now_ns(),
            detail=f"version {__version__}",
            epoch=state.epoch,
        ),
        subject=None,
    )


def begin_epoch(state: State) -> None:
    """Begin a new epoch because the server asked for it, and say so."""
    before = state.epoch
    with state.transaction(limited=False) as change:
        change.new_epoch()
        change.report(
            HealthRecord(
                component=Component.TRACKER,
                status=HealthStatus.WARNING,
                reason=HealthReason.NEW_EPOCH,
                time_ns=now_ns(),
                detail=f"the server asked for it; the epoch before was {before}",
            ),
            subject="epoch",
        )


def report_plan(state: State, plan: Plan) -> None:
    """Say what the rules in force ask for, and what is wrong in them."""
    wrong = [problem for problem in plan.problems if problem.severity is not Severity.NOTE]
    detail = "; ".join(f"{p.place}: {p.message}" for p in wrong[:_PROBLEMS_SHOWN])
    if wrong:
        reason = HealthReason.RULE_INVALID
    elif plan.kinds():
        reason, detail = HealthReason.CONFIGURATION, f"configuration {plan.version}"
    else:
        reason, detail = HealthReason.NO_RULE, "no rule asks for anything here"
    state.report(
        HealthRecord(
            component=Component.TRACKER,
            status=HealthStatus.OK if reason is HealthReason.CONFIGURATION else HealthStatus.WARNING,
            reason=reason,
            time_ns=now_ns(),
            detail=detail,
        ),
        subject="plan",
    )


def report_trouble(state: State, kind: Kind, error: OperationError) -> None:
    """Say why a kind could not be looked at."""
    full = isinstance(error, OutboxFull)
    detail = (
        "the outbox is full: the state stands still, and changes of one item until it moves again become one"
        if full
        else error.message
    )
    _about(state, kind, HealthStatus.ERROR, HealthReason.OUTBOX_FULL if full else HealthReason.COLLECTED, detail)


def report_recovery(state: State, kind: Kind) -> None:
    """Say that a kind is looked at again, if something was said of a trouble; else the next one would go untold."""
    if f"trouble:{kind.value}" in state.said("trouble:"):
        _about(state, kind, HealthStatus.OK, HealthReason.COLLECTED, "it is looked at again")


def _about(state: State, kind: Kind, status: HealthStatus, reason: HealthReason, detail: str) -> None:
    state.report(
        HealthRecord(
            component=Component.TRACKER,
            status=status,
            reason=reason,
            time_ns=now_ns(),
            kind=kind.value,
            detail=detail,
        ),
        subject=f"trouble:{kind.value}",
    )
