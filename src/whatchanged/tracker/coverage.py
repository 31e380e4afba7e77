"""Coverage: what of each file rule is looked at, how, and what is not, for `status`, `why` and TrackingHealth.

Cheap to keep: items are counted after a run that changed something, and never for more than about a hundredth of the
time; what is denied comes from the last runs, how a path is watched from the watchers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from whatchanged.collectors.files import Budget
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns, time_text
from whatchanged.records.windows_paths import path_text
from whatchanged.rules import FileRule, FileScope
from whatchanged.rules.windows_patterns import compared
from whatchanged.tracker.observer import below_any
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.state import State, Tally
from whatchanged.watchers.hints import Area, Coverage

__all__ = ["FileCoverage", "RuleCoverage", "area_of"]

_COUNT_SHARE = 100
"""Counting may take one part in so many of the time, where it takes longer than `_QUICK` seconds."""
_QUICK = 0.05
_POLLED = 100
"""Areas that are only polled and that are held against each rule."""
_PATHS_KEPT = 20
_PATHS_TOLD = 5
_NOT_WATCHED = Area(b"/", "poll", 0, "nothing watches it")


class RuleCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at of one file rule."""

    rule: FileRule
    job: str
    items: int
    size: int
    """Bytes of content that were hashed."""
    unread: int
    """Items whose content could not be read."""
    area: Area
    """How changes are noticed where the rule begins."""
    polled: tuple[Area, ...]
    """Parts of the rule that are only polled, though others are watched."""
    denied: tuple[bytes, ...]
    """The first paths that the last run could not look into or left out."""
    denied_total: int

    def detail(self) -> str:
        """Say it for people; holds nothing that changes all the time."""
        how = f"watched by {self.area.method}"
        if self.area.method == "poll":
            how = f"only polled, every {self.rule.frequency:g} s: {self.area.reason}"
        elif self.polled:
            how += "; only polled: " + "; ".join(f"{path_text(a.path)}: {a.reason}" for a in self.polled[:_PATHS_TOLD])
        if self.denied_total:
            more = self.denied_total - len(self.denied[:_PATHS_TOLD])
            how += f"; not looked into: {', '.join(path_text(path) for path in self.denied[:_PATHS_TOLD])}"
            how += f" and {more} more" if more > 0 else ""
        return printable(how)

    def columns(self, last_ns: int | None) -> dict[str, Any]:
        """Return it for `status`; `last_ns`: when its last completed run began."""
        return {
            "RuleName": self.rule.name,
            "ConfigurationId": self.rule.configuration_id,
            "Path": printable(path_text(self.rule.destination_path)),
            "Items": self.items,
            "BytesHashed": self.size,
            "Unread": self.unread,
            "Method": self.area.method,
            "Since": time_text(self.area.since_ns) if self.area.since_ns else "",
            "Reason": printable(self.area.reason),
            "PolledBelow": [f"{printable(path_text(a.path))}: {printable(a.reason)}" for a in self.polled],
            "Denied": self.denied_total,
            "DeniedPaths": [printable(path_text(path)) for path in self.denied],
            "Frequency": self.rule.frequency,
            "LastLooked": time_text(last_ns) if last_ns else "",
        }


class FileCoverage:
    """Keeps the counts, and says what changed. Counted and reported by the worker of files, read by anybody."""

    def __init__(self, state: State, budget: Budget) -> None:
        self._state = state
        self._budget = budget
        self._tallies: dict[str, Tally] = {}
        self._revision = 0
        self._counted_at = float("-inf")
        self._counting = 0.0
        """Seconds that the last count took."""
        self.counted_ns = 0
        """When items were counted; 0: not yet."""
        self._lock = threading.Lock()
        self._version = ""
        self._scope = FileScope(())
        self._roots: dict[FileRule, frozenset[bytes]] = {}
        self._blind: frozenset[bytes] = frozenset()
        self._denied: dict[FileRule, list[bytes]] = {}
        self._said: dict[str, str] = {}

    def count(self) -> None:
        """Count again after a run, if any item changed since and counting is not too dear."""
        revision = self._state.revisions.get(Kind.FILES, 0)
        rest = _COUNT_SHARE * self._counting if self._counting > _QUICK else 0.0
        if self.counted_ns and (revision == self._revision or time.monotonic() - self._counted_at < rest):
            return
        self._revision = revision
        began = time.monotonic()
        tallies: dict[str, Tally] = {}
        for page in self._state.tallies(Kind.FILES):
            self._budget.spend(0)
            for rules, tally in page.items():
                tallies[rules] = tallies.get(rules, Tally()) + tally
        self._tallies = tallies
        self._counted_at = time.monotonic()
        self._counting = self._counted_at - began
        self.counted_ns = now_ns()

    def rules(self, plan: Plan, watched: Coverage, job: str | None = None) -> list[RuleCoverage]:
        """Return what is looked at of each file rule in force (of one `job`)."""
        with self._lock:
            self._take(plan)
            return list(self._covered([j for j in plan.file_jobs if job in (None, j.name)], watched))

    def _covered(self, jobs: Sequence[FileJob], watched: Coverage) -> Iterator[RuleCoverage]:
        areas = _by_path(watched.areas)
        polled = [area for area in watched.polled if area.path != b"/"][:_POLLED]
        by_name = self._by_name()
        for job in jobs:
            for rule in job.rules:
                denied = self._denied.get(rule, [])
                tally = by_name.get(rule.name, Tally())
                roots = self._roots.get(rule, frozenset())
                yield RuleCoverage(
                    rule=rule,
                    job=job.name,
                    items=tally.items,
                    size=tally.size,
                    unread=tally.unread,
                    area=area_of(min(roots), areas) if roots else _NOT_WATCHED,
                    polled=tuple(a for a in polled if (p := compared(a.path)) not in roots and below_any(p, roots)),
                    denied=tuple(denied[:_PATHS_KEPT]),
                    denied_total=len(denied),
                )

    def report(self, plan: Plan, job: str, watched: Coverage, *, expected: bool = True) -> None:
        """Tell TrackingHealth of each rule of a job how it is covered, where that changed.

        `expected`: whether it is to be watched; that it is only polled is no trouble where watching is switched off.
        """
        for covered in self.rules(plan, watched, job):
            subject = f"coverage:{covered.rule.identity()}:{covered.rule.name}"
            detail = covered.detail()
            if self._said.get(subject) == detail:
                continue
            self._said[subject] = detail
            lesser = covered.area.method == "poll" or bool(covered.polled)
            well = not covered.denied_total and not (lesser and expected)
            self._state.report(
                HealthRecord(
                    component=Component.TRACKER,
                    status=HealthStatus.OK if well else HealthStatus.WARNING,
                    reason=HealthReason.COVERAGE,
                    time_ns=now_ns(),
                    kind=Kind.FILES.value,
                    rule_name=covered.rule.name,
                    detail=detail,
                    items_seen=covered.items,
                    items_failed=covered.denied_total,
                ),
                subject=subject,
            )

    def _take(self, plan: Plan) -> None:
        """Work out what belongs to a plan, and to the last runs, once."""
        if plan.version != self._version:
            self._scope = plan.file_scope()
            self._roots = {rule: frozenset(map(compared, FileScope([rule]).roots())) for rule in plan.file_rules}
            self._version, self._blind, self._said = plan.version, frozenset(), {}
            self._denied = {}
        blind = frozenset(self._state.blind(Kind.FILES))
        if blind != self._blind:
            denied: dict[FileRule, list[bytes]] = {}
            for path in sorted(blind):
                taking = self._scope.match(path)
                for rule in dict.fromkeys((*self._scope.for_folder(path).live, *taking)):
                    denied.setdefault(rule, []).append(path)
            self._blind, self._denied = blind, denied

    def _by_name(self) -> dict[str, Tally]:
        """Return the counts by rule; what several rules take counts for each."""
        found: dict[str, Tally] = {}
        odd = [rule.name for rule in self._roots if "," in rule.name]
        for rules, tally in list(self._tallies.items()):
            names = set(rules.split(",")) | {name for name in odd if f",{name}," in f",{rules},"}
            for name in names:
                found[name] = found.get(name, Tally()) + tally
        return found


def area_of(path: bytes, areas: dict[bytes, Area] | Sequence[Area]) -> Area:
    """Return the area that `path` lies in: how changes are noticed there."""
    known = areas if isinstance(areas, dict) else _by_path(areas)
    path = compared(path)
    while path and path != b"/":
        if path in known:
            return known[path]
        path = path.rpartition(b"/")[0]
    return known.get(b"/", _NOT_WATCHED)


def _by_path(areas: Sequence[Area]) -> dict[bytes, Area]:
    """Return areas by their paths as these are compared: rules of Windows have other letter cases than its folders."""
    return {compared(area.path): area for area in areas}
