"""From a look at a file to an observation: which rules take it, and whether its appearance is a change."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import stat
from collections.abc import Collection, Iterable

from whatchanged.collectors.files import Looked
from whatchanged.records.items import Kind
from whatchanged.rules import FileScope
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.recorder import Observation
from whatchanged.tracker.state import State

__all__ = ["Observer", "below_any", "container"]


class Observer:
    """Makes observations of one run, by the state as it was when the run began."""

    def __init__(self, state: State, plan: Plan, names: Collection[str], *, full: FileScope | None) -> None:
        """`names`: the rules that the run looks for; `full`: every rule in force, if these are not all."""
        baselines = state.baselines(Kind.FILES)
        wanted = frozenset(names)
        self._known_rules = {r.name for r in plan.file_rules if r.name in wanted and r.identity() in baselines}
        self._blind = state.blind(Kind.FILES)
        self._full = full
        self._configuration = {rule.name: rule.configuration_id for rule in plan.file_rules}

    def entering(self, path: bytes, rules: Iterable[str]) -> bool:
        """Whether an unknown item at `path` was there before, as far as anybody can tell."""
        return self._known_rules.isdisjoint(rules) or below_any(path, self._blind)

    def observe(self, looked: Looked) -> Observation:
        """Return the observation of a look."""
        path = looked.item.path
        names = looked.rules
        if self._full is not None:
            names = tuple(r.name for r in self._full.match(path, folder=stat.S_ISDIR(looked.item.mode)))
        return Observation(
            item=looked.item,
            signature=looked.signature,
            rules=",".join(names),
            configuration_id=",".join(dict.fromkeys(self._configuration.get(n, "") for n in names)),
            entering=self.entering(path, looked.rules),
        )


def below_any(path: bytes, folders: Iterable[bytes]) -> bool:
    """Whether `path` is one of `folders` or below one."""
    return any(path == folder or path.startswith(container(folder)) for folder in folders)


def container(folder: bytes) -> bytes:
    """Return a folder with its closing slash."""
    return folder if folder.endswith(b"/") else folder + b"/"
