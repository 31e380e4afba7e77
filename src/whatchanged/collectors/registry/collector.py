"""Registry values that rules take, of whatever source: one walk over the keys for all rules together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from whatchanged.collectors.registry.source import MACHINE, USERS, RegistryKey, RegistrySource
from whatchanged.records.items import RegistryItem
from whatchanged.rules.items import RegistryRule
from whatchanged.rules.registry_scope import RegistryScope, State, folded, takes_value

__all__ = ["LookedValue", "RegistryCollector"]

_SECRET_KEYS = (rf"{MACHINE}\SAM", rf"{MACHINE}\SECURITY")
"""Password hashes and the secrets of services: with everything below."""
_SECRET_VALUES = ((r"\WINLOGON", "DEFAULTPASSWORD"),)
"""End of a key's path and name of a value: a password in clear text."""


class LookedValue(NamedTuple):
    """A value, and the rules that take it."""

    item: RegistryItem
    rules: tuple[RegistryRule, ...]


class RegistryCollector:
    """Looks at the values that `rules` take. Links are followed where a rule names them, and not in recursion."""

    name = "registry"

    def __init__(self, source: RegistrySource, rules: Sequence[RegistryRule]) -> None:
        self._source = source
        self._scope = RegistryScope(rules)
        self._found: set[RegistryRule] = set()
        self.outcome = source.tally.outcome()
        """How the run went, when it has ended."""

    def unmatched(self) -> tuple[RegistryRule, ...]:
        """Return the rules for which no key was there in the run that has ended."""
        return tuple(rule for rule in self._scope.rules if rule not in self._found)

    def run(self) -> Iterator[LookedValue]:
        """Yield every value once."""
        self._found.clear()
        # Keys are taken one by one from where they are listed, so that no list of a forged hive fills the memory.
        waiting = [self._hives()]
        while waiting:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                continue
            key, state = following
            yield from self._values(key, self._scope.takers(state))
            waiting.append(self._below(key, state))
        self.outcome = self._source.tally.outcome()

    def _hives(self) -> Iterator[tuple[RegistryKey, State]]:
        start = self._scope.start()
        for hive in (MACHINE, USERS):
            state = self._scope.step(start, hive)
            if state and (key := self._source.open(hive)) is not None:
                yield key, state

    def _below(self, key: RegistryKey, state: State) -> Iterator[tuple[RegistryKey, State]]:
        names, others = self._scope.wanted(state)
        named = {name: found for name in sorted(names) if (found := key.subkey(name)) is not None}
        literal = frozenset(named)
        for name, found in named.items():
            if below := self._scope.step(state, name, literal, link=found.link):
                yield found, below
        for child in key.subkeys() if others else ():
            if folded(child.name) in named or child.link:
                continue
            if below := self._scope.step(state, child.name, literal):
                yield child, below

    def _values(self, key: RegistryKey, rules: tuple[RegistryRule, ...]) -> Iterator[LookedValue]:
        if not rules:
            return
        self._found.update(rules)
        path = folded(key.path)
        hidden = any(path == secret or path.startswith(secret + "\\") for secret in _SECRET_KEYS)
        for value in key.values():
            takers = tuple(rule for rule in rules if takes_value(rule, value.name))
            if takers:
                name = folded(value.name)
                secret = hidden or any(path.endswith(end) and name == which for end, which in _SECRET_VALUES)
                self._source.tally.seen += 1
                yield LookedValue(RegistryItem.of(key.path, value.name, value.type, value.data, secret=secret), takers)
