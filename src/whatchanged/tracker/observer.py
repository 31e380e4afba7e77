"""From a look at a file to an observation: which rules take it, and whether its appearance is a change."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from whatchanged.collectors.files import Looked
from whatchanged.records.items import FileItem, Kind
from whatchanged.rules import FileRule, FileType
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.plan import Plan, configuration_ids, rule_names
from whatchanged.tracker.recorder import Observation
from whatchanged.tracker.state import State

__all__ = ["Observer", "below_any", "container", "rules_of"]


class Observer:
    """Makes observations of one run, by the state as it was when the run began."""

    def __init__(self, state: State, plan: Plan, whole: BoundedScope) -> None:
        """`whole`: the scope of every rule in force."""
        baselines = state.baselines(Kind.FILES)
        self._baselined = frozenset(rule for rule in plan.file_rules if rule.identity() in baselines)
        self._blind = frozenset(state.blind(Kind.FILES))
        self._whole = whole

    def observe(self, looked: Looked) -> Observation:
        """Return the observation of a look."""
        rules = rules_of(self._whole, looked.item)
        return Observation(
            item=looked.item,
            signature=looked.signature,
            rules=rule_names(rules),
            configuration_id=configuration_ids(rules),
            entering=self.enters(looked.item.path, rules),
        )

    def enters(self, path: bytes, rules: Sequence[FileRule]) -> bool:
        """Whether what appears at `path`, which `rules` take, was perhaps always there."""
        return self._baselined.isdisjoint(rules) or below_any(path, self._blind)


def rules_of(scope: BoundedScope, item: FileItem) -> Sequence[FileRule]:
    """Return the rules that take `item`; rules of the type File take neither folders nor pipes, sockets and devices."""
    rules = scope.match(item.path, folder=stat.S_ISDIR(item.mode))
    if stat.S_ISREG(item.mode) or stat.S_ISLNK(item.mode):
        return rules
    return [rule for rule in rules if rule.type is not FileType.FILE]


def below_any(path: bytes, folders: AbstractSet[bytes]) -> bool:
    """Whether `path` is one of `folders` or below one; as fast for ten thousand folders as for one."""
    if not folders or b"/" in folders:
        return bool(folders)
    while path and path not in folders:
        path = path.rpartition(b"/")[0]
    return bool(path)


def container(folder: bytes) -> bytes:
    """Return a folder with its closing slash."""
    return folder if folder.endswith(b"/") else folder + b"/"
