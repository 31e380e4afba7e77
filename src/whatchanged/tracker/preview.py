"""Preview: what a rule would match on this machine, in counts and sizes. No content is read, nothing is kept."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
from typing import Any

import msgspec

from whatchanged import rules
from whatchanged.collectors.files import FileCollector
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.file_run import budget_of
from whatchanged.tracker.settings import TrackerSettings

__all__ = ["preview"]


def preview(document: str, settings: TrackerSettings, policy: rules.Policy, stop: threading.Event) -> dict[str, Any]:
    """Return, for each file rule of a data collection rule, how many files of how many bytes it takes here.

    Raises RuleError if the document cannot be read.
    """
    sources = [source for rule in rules.read(document) for source in rule.sources]
    wanted = [file_rule for source in sources for file_rule in source.settings.files]
    return {"rules": [_count(file_rule, settings, policy, stop) for file_rule in wanted]}


def _count(
    rule: rules.FileRule, settings: TrackerSettings, policy: rules.Policy, stop: threading.Event
) -> dict[str, Any]:
    scope = rules.FileScope([msgspec.structs.replace(rule, enabled=True)])
    collector = FileCollector(
        BoundedScope(scope, policy),
        root=os.fsencode(settings.root),
        threads=settings.hash_threads,
        stop=stop,
        network_filesystems=policy.network_file_systems,
        excluded=policy.excluded,
        budget=budget_of(policy, stop),
        content_limit=0,  # nothing is read: sizes come from the status
    )
    files = size = 0
    for look in collector.run():
        files += len(look.looked)
        size += sum(looked.item.size for looked in look.looked)
    denied = [os.fsdecode(folder) for folder in collector.outcome.denied]
    return {"RuleName": rule.name, "Files": files, "Bytes": size, "Denied": denied[:100]}
