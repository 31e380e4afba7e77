"""Preview: what rules would match on this machine, in counts and sizes. No content is read, nothing is kept.

For the back channel, and for `rules check`, which needs neither a server nor a tracker.
"""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from whatchanged import rules
from whatchanged.collectors import Outcome, RunStatus
from whatchanged.collectors.files import Budget, FileCollector, FolderLook, PathLooker
from whatchanged.records.windows_paths import path_text
from whatchanged.tracker.bounds import BoundedScope

__all__ = ["RuleCount", "count_files", "preview"]

_DENIED_SHOWN = 100
_SECONDS = 40.0
_MOST_RULES = 500
"""File rules that are counted; finding where so many begin takes a second already."""
"""A preview is answered within this; whoever asks waits, and so does the conversation with the forwarder, which ends
one that is silent for longer than a minute."""
_LONGEST_ANSWER = 200_000
"""Characters of what is told of all items together; the server takes 256 KiB."""
_LONGEST_TEXT = 500
_DENIED_TOLD = 10


class RuleCount(msgspec.Struct):
    """What one file rule takes here."""

    rule: rules.FileRule
    files: int = 0
    """Items: files, links, and folders where the rule takes them."""
    size: int = 0
    """Bytes of the regular files among them: what a first look would read."""
    denied: list[str] = []
    """The first paths of the rule that could not be looked at, and why."""
    denied_total: int = 0
    obstacle: str = ""
    """Of a rule that takes nothing: what keeps a walk from the folder where it begins, if something does."""


def preview(
    document: str, root: bytes, policy: rules.Policy, variables: rules.Variables, stop: threading.Event, budget: Budget
) -> dict[str, Any]:
    """Return, for each file rule of a data collection rule, how many files of how many bytes it takes here.

    `cut` says why the counts are not the whole, `more` of how many items nothing is told. Raises RuleError if the
    document cannot be read.
    """
    sources = [source for rule in rules.read(document, variables) for source in rule.sources]
    own = [source.settings for source in sources if source.settings.extension_name == rules.OWN_EXTENSION]
    wanted = [file_rule for settings in own for file_rule in settings.files]
    ended = _Ended(stop, time.monotonic() + _SECONDS)
    counts, outcome = count_files(wanted[:_MOST_RULES], root, policy, ended, budget)
    told = _bounded([_told(count) for count in counts])
    return {
        "rules": told,
        "more": len(wanted) - len(told),
        "problems": [
            {"Place": problem.place, "Message": problem.message[:_LONGEST_TEXT], "Severity": problem.severity.value}
            for settings in own
            for problem in settings.problems
        ][:_DENIED_SHOWN],
        "cut": f"counting ended after {_SECONDS:.0f} seconds" if outcome.status is RunStatus.STOPPED else "",
    }


class _Ended(threading.Event):
    """Is set when `stop` is, and from a time on."""

    def __init__(self, stop: threading.Event, until: float) -> None:
        super().__init__()
        self._stop, self._until = stop, until

    def is_set(self) -> bool:
        return self._stop.is_set() or time.monotonic() > self._until


def _told(count: RuleCount) -> dict[str, Any]:
    return {
        "RuleName": count.rule.name[:_LONGEST_TEXT],
        "Place": count.rule.place,
        "Files": count.files,
        "Bytes": count.size,
        "Denied": [entry[:_LONGEST_TEXT] for entry in count.denied[:_DENIED_TOLD]],
        "DeniedTotal": count.denied_total,
        "Obstacle": count.obstacle[:_LONGEST_TEXT],
    }


def _bounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many of the first rows as an answer has room for."""
    told, length = [], 0
    for row in rows:
        length += len(json.dumps(row))
        if length > _LONGEST_ANSWER:
            break
        told.append(row)
    return told


def count_files(
    wanted: Sequence[rules.FileRule],
    root: bytes,
    policy: rules.Policy,
    stop: threading.Event,
    budget: Budget | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[RuleCount], Outcome]:
    """Count what each of `wanted` (disabled ones too) takes below `root`, in one walk for all of them.

    They are looked at as they would be in force together: how a link is treated is a matter of all. `progress` is
    told again and again how many items were seen.
    """
    counts = [RuleCount(rule, denied=[]) for rule in wanted]
    named = [msgspec.structs.replace(r, name=str(n), enabled=True) for n, r in enumerate(wanted)]
    scope = BoundedScope(rules.FileScope(named), policy)
    collector = FileCollector(
        scope,
        root=root,
        stop=stop,
        excluded=policy.excluded,
        budget=budget,
        content=False,
    )
    seen = 0
    for look in collector.run():
        seen += len(look.looked)
        _add(look, counts)
        progress(seen)
    outcome = collector.outcome
    for path, reason in _troubles(outcome):
        for number in _concerned(path, scope):
            counts[number].denied_total += 1
            if len(counts[number].denied) < _DENIED_SHOWN:
                counts[number].denied.append(f"{path_text(path)}: {reason}")
    with PathLooker(scope, root, excluded=policy.excluded) as looker:
        for count in counts:
            if not count.files and not count.denied_total and not stop.is_set():
                count.obstacle = _obstacle(count.rule, policy, looker)
    return counts, outcome


def _add(look: FolderLook, counts: list[RuleCount]) -> None:
    for looked in look.looked:
        size = looked.item.size if stat.S_ISREG(looked.item.mode) else 0
        for name in looked.rules:
            count = counts[int(name)]
            count.files += 1
            count.size += size


def _troubles(outcome: Outcome) -> Iterator[tuple[bytes, str]]:
    named = set()
    for failure in outcome.failures:
        named.add(failure.path)
        yield failure.path, failure.reason
    for skipped in outcome.skipped:
        yield skipped.path, skipped.reason
    for path in outcome.denied:
        if path not in named:
            yield path, "could not be looked at"


def _concerned(path: bytes, scope: BoundedScope) -> set[int]:
    """Return which rules take `path`, or something below it."""
    below = scope.live(path)
    return {int(rule.name) for rule in (*below, *scope.match(path))}


def _obstacle(rule: rules.FileRule, policy: rules.Policy, looker: PathLooker) -> str:
    for root in rules.FileScope([msgspec.structs.replace(rule, enabled=True)]).roots():
        if (entry := policy.excluded_by(root)) is not None:
            return f"the policy excludes {path_text(entry)}"
        found = looker.trace(root).obstacle if root != b"/" else None
        if found is not None:
            return found.text
    return ""
