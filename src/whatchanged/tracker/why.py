"""`why`: which rule takes a path, or what keeps every rule from it, and how it is watched and looked at."""

from __future__ import annotations

import stat
from typing import Any

from whatchanged.collectors.files import Obstacle, PathLooker, Trace
from whatchanged.records.items import Kind
from whatchanged.records.times import time_text
from whatchanged.records.windows_paths import path_text
from whatchanged.rules import FileRule, FileScope, Policy, Reason, Severity
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.coverage import area_of
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.state import State
from whatchanged.watchers.hints import Coverage

__all__ = ["explain"]


def explain(
    path: bytes, plan: Plan, policy: Policy, state: State, root: bytes, watched: Coverage | None
) -> dict[str, Any]:
    """Return everything that is known of an absolute path (docs/formats/local-pipe.md)."""
    scope = plan.file_scope()
    path, trace = _trace(b"/" + path.strip(b"/"), scope, policy, root)
    folder = trace.status is not None and stat.S_ISDIR(trace.status.st_mode)
    rules = scope.match(path, folder=folder)
    known = state.known(Kind.FILES, path)
    reasons = [*_reasons(path, plan, policy, folder=folder), *_of_trace(trace, rules)]
    return {
        "path": path_text(path),
        "verdict": _verdict(reasons, tracked=known is not None),
        "rules": [{"RuleName": r.name, "ConfigurationId": r.configuration_id, "frequency": r.frequency} for r in rules],
        "tracked": known is not None,
        "item": known.item.columns() if known else None,
        "reasons": [{"Code": r.code, "RuleName": r.rule, "Text": r.text} for r in reasons],
        "explanation": [reason.text for reason in reasons],
        "excluded": policy.excluded(path),
        "contentAllowed": policy.content_allowed(path),
        "watch": _watch(path, watched) if rules else None,
        "lastLooked": _last_looked(plan, rules, state),
    }


def _trace(path: bytes, scope: FileScope, policy: Policy, root: bytes) -> tuple[bytes, Trace]:
    """Return the path as it is spelled, and the way to it."""
    bounded = BoundedScope(scope, policy)
    with PathLooker(bounded, root, excluded=policy.excluded) as looker:
        trace = looker.trace(path)
        path = looker.spelled(path)
    obstacle = trace.obstacle
    if obstacle is not None and obstacle.code == "NetworkFileSystem" and bounded.network(obstacle.path):
        return path, Trace()  # it is looked at, by a process of its own: nobody else touches it
    return path, trace


def _reasons(path: bytes, plan: Plan, policy: Policy, *, folder: bool) -> list[Reason]:
    everything = FileScope((*plan.file_rules, *plan.disabled))
    reasons = everything.explain(path, folder=folder)
    if (entry := policy.excluded_by(path)) is not None:
        own = entry in policy.own_paths
        why = "it is data of the tracking itself" if own else "the policy of this machine keeps it out of the tracking"
        text = f"{why}: {'' if own else 'it excludes '}{path_text(entry)}"
        reasons.append(Reason("ExcludedByPolicy", text))
    wrong = sum(problem.severity is Severity.ERROR for problem in plan.problems)
    if wrong and not any(reason.code == "Taken" for reason in reasons):
        reasons.append(Reason("RuleInvalid", f"{wrong} parts of the rules in force cannot work: see TrackingHealth"))
    return reasons


def _of_trace(trace: Trace, rules: tuple[FileRule, ...]) -> list[Reason]:
    obstacle: Obstacle | None = trace.obstacle
    if obstacle is not None and not rules and obstacle.code == "LinkNotFollowed":
        return []  # nobody said what to do with links
    if obstacle is not None:
        return [Reason(obstacle.code, obstacle.text)]
    status = trace.status
    if status is None or not rules:
        return []
    mode = status.st_mode
    if any(test(mode) for test in (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)):
        return []
    if all(rule.type == "File" for rule in rules):
        return [Reason("NoFile", "it is a pipe, socket or device, and the rules that name it take files only")]
    return []


_NO_OBSTACLE = frozenset({"Taken", "FilesOnly", "Disabled", "Excluded"})
"""What concerns one rule, while another may take the path."""


def _verdict(reasons: list[Reason], *, tracked: bool) -> str:
    """Return the code that decides: `Tracked`, `Awaited` (the next look will find it), or what is in the way."""
    codes = [reason.code for reason in reasons]
    if "ExcludedByPolicy" in codes:
        return "ExcludedByPolicy"
    if "Taken" not in codes:
        return codes[0]
    return next((code for code in codes if code not in _NO_OBSTACLE), "Tracked" if tracked else "Awaited")


def _watch(path: bytes, watched: Coverage | None) -> dict[str, Any]:
    if watched is None:
        return {"method": "poll", "since": "", "reason": "watching has not begun yet"}
    area = area_of(path, watched.areas)
    since = time_text(area.since_ns) if area.since_ns else ""
    return {"method": area.method, "since": since, "reason": area.reason}


def _last_looked(plan: Plan, rules: tuple[FileRule, ...], state: State) -> str:
    """Return when the last completed run of a job that takes the path began; empty if there was none."""
    runs = state.last_runs(Kind.FILES)
    times = [runs[job.name] for job in plan.file_jobs if job.name in runs and not set(job.rules).isdisjoint(rules)]
    return time_text(max(times)) if times else ""
