"""What is told of watching, on every system: what is watched and what is only polled, what was lost, what died."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from whatchanged.errors import OperationError, WatchError
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.times import now_ns, time_text
from whatchanged.records.windows_paths import path_text
from whatchanged.rules import Policy
from whatchanged.tracker.state import State
from whatchanged.watchers.hints import Area, Coverage

__all__ = ["WatchNews", "keep_watching"]

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LOST_SECONDS = 60.0
"""Lost events are told at most this often."""
_AREAS_TOLD = 10


class WatchNews:
    """Remembers how watching fares, for `status`, and tells TrackingHealth."""

    def __init__(self, state: State, policy: Policy, *, enabled: bool) -> None:
        """`enabled`: whether anything is watched at all."""
        self._state = state
        self._policy = policy
        self.enabled = enabled
        self._coverage = Coverage()
        self._covered = not enabled
        self._error = ""
        self._hints = 0
        self._lost = 0
        self._lost_told = float("-inf")

    @property
    def coverage(self) -> Coverage | None:
        """What is watched and what is polled; None while watching has yet to begin."""
        return self._coverage if self._covered else None

    def status(self) -> Mapping[str, Any]:
        """Return what is watched and what is polled, for `status`."""
        areas = [
            {
                "path": printable(path_text(area.path)),
                "method": area.method,
                "since": time_text(area.since_ns),
                "reason": area.reason,
            }
            for area in self._coverage.areas
        ]
        return {
            "state": "Off" if not self.enabled else "Failed" if self._error else "Watching",
            "error": self._error,
            "areas": areas,
            "watches": self._coverage.watches,
            "limits": list(self._coverage.limits),
            "hints": self._hints,
            "lost": self._lost,
        }

    def off(self) -> None:
        """Say that watching is switched off, and by whom."""
        reason = f"by the policy {self._policy.source}" if not self._policy.watch else "by a setting"
        self._coverage = Coverage((Area(b"/", "poll", now_ns(), f"watching is switched off {reason}"),))
        self.report(
            HealthStatus.OK, HealthReason.WATCHING, f"watching is switched off {reason}: only polls look", "watch"
        )

    def begin_anew(self) -> None:
        """Note that what is watched is about to be another: until then nobody can say."""
        self._covered = not self.enabled

    def cover(self, coverage: Coverage) -> None:
        """Note what is watched now."""
        self._coverage = coverage
        self._covered = True
        self._error = ""

    def tell_coverage(self) -> None:
        """Say what is watched now."""
        coverage = self._coverage
        polled = coverage.polled
        said = [f"{path_text(a.path)}: {a.reason}" for a in polled[:_AREAS_TOLD]]
        if len(polled) > _AREAS_TOLD:
            said.append(f"and {len(polled) - _AREAS_TOLD} more")
        means: dict[str, list[str]] = {}
        for area in coverage.areas:
            if area.method != "poll":
                means.setdefault(area.method, []).append(path_text(area.path))
        detail = "; ".join(
            [*(f"{method}: {', '.join(paths[:_AREAS_TOLD])}" for method, paths in means.items()), *coverage.limits]
        )
        if said:
            detail += f"; only polled: {'; '.join(said)}"
        self.report(
            HealthStatus.WARNING if polled or coverage.limits or not means else HealthStatus.OK,
            HealthReason.WATCHING,
            detail or "nothing is watched",
            "watch",
        )

    def count(self, hints: int, lost: int) -> None:
        """Count hints, and those of them that say that events were lost, which is told."""
        self._hints += hints
        self._lost += lost
        now = time.monotonic()
        if lost and now - self._lost_told > _LOST_SECONDS:
            self._lost_told = now
            self.report(
                HealthStatus.WARNING, HealthReason.WATCH_LOST, "events were lost: everything is looked at instead", None
            )

    def died(self, error: Exception) -> None:
        """Say that watching failed: until it begins anew polls alone look."""
        self._error = str(error)
        now = now_ns()
        self._coverage = Coverage(tuple(Area(a.path, "poll", now, self._error) for a in self._coverage.areas))
        self._covered = True
        self.report(HealthStatus.ERROR, HealthReason.WATCH_LOST, self._error, "watch")

    def report(self, status: HealthStatus, reason: HealthReason, detail: str, subject: str | None) -> None:
        """Tell TrackingHealth."""
        with contextlib.suppress(OperationError):  # told again with the next occasion
            self._state.report(
                HealthRecord(
                    component=Component.TRACKER,
                    status=status,
                    reason=reason,
                    time_ns=now_ns(),
                    detail=printable(detail),
                ),
                subject=subject,
            )


def keep_watching(session: Callable[[], None], died: Callable[[Exception], None], stop: threading.Event) -> None:
    """Run `session` again and again until stopped; one that failed is told to `died`, and the next one waits longer."""
    pause = _FIRST_PAUSE
    while not stop.is_set():
        began = time.monotonic()
        try:
            session()
        except (WatchError, OSError) as error:
            pause = _FIRST_PAUSE if time.monotonic() - began > _LONGEST_PAUSE else pause
            log.warning("watching failed: %s", error)
            died(error)
            stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
