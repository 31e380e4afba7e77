"""What health is told of audit: what is new, and losses not too often."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

from whatchanged.records.health import HealthReason, HealthStatus
from whatchanged.tracker.audit_news import AuditNews
from whatchanged.watchers.processes.audit import AuditHealth

Told = tuple[HealthStatus, HealthReason, str, str | None]


def told_of(*states: AuditHealth | None) -> list[Told]:
    told: list[Told] = []
    news = AuditNews(lambda *said: told.append(said))
    for state in states:
        news.tell(state)
    return told


def test_what_nobody_asked_for_is_not_told() -> None:
    assert told_of(None, None) == []


def test_how_it_fares_is_told_when_it_changes() -> None:
    on, off = AuditHealth("", False, 1, 0), AuditHealth("locked", False, 1, 0)
    told = told_of(on, on, off, off, on)
    assert [(status, subject) for status, _, _, subject in told] == [
        (HealthStatus.OK, "audit"),
        (HealthStatus.WARNING, "audit"),
        (HealthStatus.OK, "audit"),
    ]
    assert "locked" in told[1][2]


def test_the_cost_is_told_where_it_is_ours() -> None:
    for here in (True, False):
        [(_, _, detail, _)] = told_of(AuditHealth("", here, 0, 0))
        assert ("system calls take longer until the next boot" in detail) is here


def test_losses_are_told_at_most_once_a_minute() -> None:
    told = told_of(*(AuditHealth("", True, 10, losses) for losses in (0, 3, 9)))
    assert [reason for _, reason, _, _ in told] == [HealthReason.WATCHING, HealthReason.WATCH_LOST]
    assert told[1][2] == "audit lost records (3): of some processes less is known"
