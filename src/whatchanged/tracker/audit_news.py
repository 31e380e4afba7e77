"""What health is told of audit, where the policy asks for it: whether executions are told, its cost, and losses."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from whatchanged.records.health import HealthReason, HealthStatus
from whatchanged.watchers.processes.audit import COST, AuditHealth

__all__ = ["AuditNews", "described", "told"]

_LOST_SECONDS = 60.0

Report = Callable[[HealthStatus, HealthReason, str, str | None], None]


def described(audit: AuditHealth) -> str:
    """Return how audit fares, in words, with what it costs."""
    if audit.trouble:
        return f"executions are not told by audit, or not all of them: {audit.trouble}"
    on = f"it was switched on for that: {COST}" if audit.enabled_here else "it was on before"
    return f"audit tells executions; {on}"


def told(audit: AuditHealth | None) -> Mapping[str, Any]:
    """Return how audit fares, for `status`; empty where nobody asks for it."""
    return {} if audit is None else {**msgspec.structs.asdict(audit), "detail": described(audit)}


class AuditNews:
    """Reports what is new."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._said = ""
        self._losses = 0
        self._lost_told = float("-inf")

    def tell(self, audit: AuditHealth | None) -> None:
        """Report how audit fares, if that is news; losses at most once a minute."""
        if audit is None:
            return
        if (said := described(audit)) != self._said:
            self._said = said
            status = HealthStatus.WARNING if audit.trouble else HealthStatus.OK
            self._report(status, HealthReason.WATCHING, said, "audit")
        now = time.monotonic()
        if audit.losses > self._losses and now - self._lost_told > _LOST_SECONDS:
            lost, self._losses, self._lost_told = audit.losses - self._losses, audit.losses, now
            detail = f"audit lost records ({lost}): of some processes less is known"
            self._report(HealthStatus.WARNING, HealthReason.WATCH_LOST, detail, None)
