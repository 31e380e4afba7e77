r"""One walk over the registry: values become observations, what is missing is looked for once more.

A listing of the running system may leave out a value while others are written, so that a removal is decided by a look
of its own, after the walk. A key that could not be read keeps its values, with everything below it.

What went away with a key has one cause. Of what came with a key that is not said: one that had been there without a
value looks the same.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from whatchanged.collectors import Failure, Outcome, RunStatus
from whatchanged.collectors.files.budget import Budget
from whatchanged.collectors.registry import RegistrySource
from whatchanged.collectors.registry.collector import LookedValue, RegistryCollector
from whatchanged.records.items import Item, Kind, RegistryItem
from whatchanged.records.registry_values import name_of
from whatchanged.rules import RegistryRule
from whatchanged.rules.registry_scope import RegistryScope, folded
from whatchanged.tracker.plan import Plan, RegistryJob, configuration_ids, rule_names
from whatchanged.tracker.recorder import Observation, Recorder, Removal
from whatchanged.tracker.state import State

__all__ = ["RegistryMatch", "RegistryRun"]

_MOST_VALUES = 500_000
"""Values of one run: beyond them a rule takes too much to be looked at."""
_EVERYWHERE = "/"
"""Among closed keys: there were too many to name."""


class Seen(Protocol):
    """Where a run counts what it sees, for `status`."""

    seen: int
    looked: int


class RegistryMatch:
    """Which rules take a value that is known."""

    def __init__(self, rules: Sequence[RegistryRule]) -> None:
        self._scope = RegistryScope(rules)

    def takers(self, item: Item) -> tuple[RegistryRule, ...]:
        """Return the rules that take `item`."""
        if not isinstance(item, RegistryItem):
            return ()
        return self._scope.match(name_of(item.key_name), name_of(item.value_name))


class RegistryRun:
    """One look at the values that the rules of a job take."""

    def __init__(
        self,
        state: State,
        plan: Plan,
        job: RegistryJob,
        source: RegistrySource,
        recorder: Recorder,
        stop: threading.Event,
        budget: Budget,
        *,
        most: int = _MOST_VALUES,
    ) -> None:
        self._state = state
        self._job = job
        self._source = source
        self._match = RegistryMatch(plan.registry)
        self._own = self._match if len(plan.registry_jobs) == 1 else RegistryMatch(job.rules)
        self._collector = RegistryCollector(source, job.rules)
        self._recorder = recorder
        self._stop = stop
        self._budget = budget
        self._most = most
        baselines = state.baselines(Kind.REGISTRY)
        self._baselined = frozenset(rule for rule in plan.registry if rule.identity() in baselines)
        self._hidden = _closed(state.blind(Kind.REGISTRY))
        self._seen: set[bytes] = set()
        self._gone: dict[str, str] = {}
        """Key that is gone → TransactionId of what went with the topmost of those above it that are gone."""

    @property
    def matched(self) -> frozenset[RegistryRule]:
        """The rules for which a key was there."""
        return frozenset(self._job.rules) - frozenset(self._collector.unmatched())

    def run(self, progress: Seen) -> Outcome:
        """Walk, then decide removals. Raises StorageFull, OutboxFull."""
        for looked in self._collector.run():
            if self._stop.is_set():
                return Outcome(status=RunStatus.STOPPED)
            if len(self._seen) >= self._most:
                self._source.tally.broken = True
                self._source.tally.fail(Failure(looked.item.key_name, f"the rules take more than {self._most} values"))
                return self._source.tally.outcome()
            self._take(looked)
            progress.seen = progress.looked = len(self._seen)
        for key, item in self._missing():
            if self._stop.is_set():
                return Outcome(status=RunStatus.STOPPED)
            self._look_again(key, item)
        return self._source.tally.outcome()

    def _take(self, looked: LookedValue) -> None:
        self._budget.spend(looked.item.size)
        item = looked.item
        rules = looked.rules if self._own is self._match else self._match.takers(item)
        self._seen.add(item.key())
        self._recorder.add(
            Observation(
                item=item,
                signature=b"",
                rules=rule_names(rules),
                configuration_id=configuration_ids(rules),
                entering=self._baselined.isdisjoint(rules) or _below(item.key_name, self._hidden),
            )
        )

    def _missing(self) -> Iterator[tuple[bytes, RegistryItem]]:
        """Yield what is known and was not seen, though it could have been."""
        closed = _closed(self._source.tally.outcome().closed)
        for key, known in self._state.items(Kind.REGISTRY):
            item = known.item
            if key in self._seen or not isinstance(item, RegistryItem) or _below(item.key_name, closed):
                continue
            if self._own is self._match or self._own.takers(item):
                yield key, item

    def _look_again(self, key: bytes, item: RegistryItem) -> None:
        """Record that a value is gone, if it still is."""
        failures = self._source.tally.failures_total
        key_name = name_of(item.key_name)
        found = self._source.open(key_name)
        there = found is not None and found.value(name_of(item.value_name)) is not None
        # What cannot be read now, or came back meanwhile, is looked at the next time.
        if there or self._source.tally.failures_total > failures:
            return
        ids = configuration_ids(self._match.takers(item))
        shared = self._gone_with(key_name) if found is None else ""
        self._recorder.add(Removal(Kind.REGISTRY, key, configuration_id=ids, transaction_id=shared))

    def _gone_with(self, key_name: str) -> str:
        """Return the TransactionId of what went with a key that is gone: with the topmost one above it that is."""
        passed: list[str] = []
        while (path := folded(key_name)) not in self._gone:
            passed.append(path)
            above = key_name.rpartition("\\")[0]
            if not above or self._source.open(above) is not None:
                self._gone[path] = str(uuid.uuid4())
                break
            key_name = above
        self._gone.update(dict.fromkeys(passed, self._gone[path]))
        return self._gone[path]


def _closed(keys: Collection[bytes]) -> frozenset[str]:
    """Return keys of which nothing is known, as they are compared."""
    return frozenset(folded(name_of(key)) for key in keys)


def _below(key_name: bytes, closed: frozenset[str]) -> bool:
    """Whether a key is one of `closed`, or below one."""
    if not closed or _EVERYWHERE in closed:
        return bool(closed)
    path = folded(name_of(key_name))
    while path and path not in closed:
        path = path.rpartition("\\")[0]
    return bool(path)
