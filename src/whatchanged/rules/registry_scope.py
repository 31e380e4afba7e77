r"""The compiled matcher of registry rules: which keys a walk must come to, and which values of them are taken.

A `keyName` is a path of names, compared without regard to case. In a name `*` and `?` are wildcards, a name `**` is
any number of keys; but a key that really bears such a name is meant before any other (`Software\Classes\*\shell` is
what it says). `recurse` takes everything below. `HKEY_CURRENT_USER` is every user's own hive: a service has none that
matters. A rule for a key of the 64-bit view takes its twin in the 32-bit view too.

A `State` stands for what the rules still want below one key; a walk steps from state to state, so that every key is
visited once whatever number of rules take it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from whatchanged.rules.items import RegistryRule

__all__ = ["HIVES", "RegistryScope", "State", "folded", "takes_value"]

_MACHINE = "HKEY_LOCAL_MACHINE"
_USERS = "HKEY_USERS"
HIVES = (_MACHINE, _USERS)
"""The hives that all others are views of."""
_ALIASES = {
    "HKLM": (_MACHINE,),
    "HKU": (_USERS,),
    "HKEY_CLASSES_ROOT": (_MACHINE, "SOFTWARE", "Classes"),
    "HKCR": (_MACHINE, "SOFTWARE", "Classes"),
    "HKEY_CURRENT_CONFIG": (_MACHINE, "SYSTEM", "CurrentControlSet", "Hardware Profiles", "Current"),
    "HKCC": (_MACHINE, "SYSTEM", "CurrentControlSet", "Hardware Profiles", "Current"),
    "HKEY_CURRENT_USER": (_USERS, "*"),
    "HKCU": (_USERS, "*"),
}
_WOW = "Wow6432Node"
_DEFAULT_VALUE = "(DEFAULT)"

State = frozenset[tuple[int, int]]
"""Pairs of a compiled path's number and how many of its names are behind."""


class RegistryScope:
    """What several rules take together; disabled ones are left out."""

    def __init__(self, rules: Sequence[RegistryRule]) -> None:
        self.rules = tuple(rule for rule in rules if rule.enabled)
        self._paths: list[tuple[RegistryRule, tuple[str, ...]]] = [
            (rule, tuple(folded(name) for name in names)) for rule in self.rules for names in _paths(rule.key_name)
        ]

    def start(self) -> State:
        """Return the state above the hives."""
        return self._closed((number, 0) for number in range(len(self._paths)))

    def wanted(self, state: State) -> tuple[frozenset[str], bool]:
        """Return the names, folded, that rules want as they are written, and whether others may be wanted as well."""
        names, others = set(), False
        for number, place in state:
            rule, path = self._paths[number]
            if place < len(path):
                names.add(path[place])
                others = others or _is_pattern(path[place])
            else:
                others = others or rule.recurse
        return frozenset(names - {"**"}), others

    def step(self, state: State, name: str, literal: frozenset[str] = frozenset(), *, link: bool = False) -> State:
        """Return the state below the key `name`; empty if nothing there is wanted.

        `literal`: folded names that keys here really bear, wildcards or not. Through a `link` goes only who names it.
        """
        name = folded(name)
        return self._closed(
            (number, next_place)
            for number, place in state
            for next_place in self._moves(self._paths[number], place, name, literal)
            if not link or next_place != place
        )

    def takers(self, state: State) -> tuple[RegistryRule, ...]:
        """Return the rules that take the key itself: its values, of their names."""
        numbers = sorted({number for number, place in state if place == len(self._paths[number][1])})
        return tuple(dict.fromkeys(self._paths[number][0] for number in numbers))

    def spread(self, state: State) -> State:
        """Return the part of the state that keys at any depth below may fulfil: recursion and `**`."""
        return frozenset((number, place) for number, place in state if self._is_spread(*self._paths[number], place))

    @staticmethod
    def _is_spread(rule: RegistryRule, path: tuple[str, ...], place: int) -> bool:
        return rule.recurse if place == len(path) else path[place] == "**"

    def match(self, key_path: str, value_name: str) -> tuple[RegistryRule, ...]:
        """Return the rules that take a value of a key that a walk once came to, at its full path."""
        state = self.start()
        for name in key_path.split("\\"):
            state = self.step(state, name, frozenset({folded(name)}))
        return tuple(rule for rule in self.takers(state) if takes_value(rule, value_name))

    def _moves(
        self, compiled: tuple[RegistryRule, tuple[str, ...]], place: int, name: str, literal: frozenset[str]
    ) -> Iterator[int]:
        rule, path = compiled
        if place == len(path):
            if rule.recurse:
                yield place
        elif path[place] == "**":
            yield place
        elif path[place] == name or (
            path[place] not in literal and _is_pattern(path[place]) and _fits(path[place], name)
        ):
            yield place + 1

    def _closed(self, moves: Iterator[tuple[int, int]]) -> State:
        """Return the state in which `**` may also stand for no key."""
        found = set()
        for number, place in moves:
            found.add((number, place))
            behind = place
            path = self._paths[number][1]
            while behind < len(path) and path[behind] == "**":
                behind += 1
                found.add((number, behind))
        return frozenset(found)


def takes_value(rule: RegistryRule, name: str) -> bool:
    """Whether the rule takes a value of this name, of a key that it takes; the default value is `(Default)`."""
    wanted = folded(rule.value_name)
    if not wanted:
        return True
    name = folded(name)
    return wanted == (name or _DEFAULT_VALUE) or (_is_pattern(wanted) and _fits(wanted, name))


def folded(name: str) -> str:
    """Return a name as it is compared: letter by letter in upper case, none becomes two."""
    return "".join(big if len(big := letter.upper()) == 1 else letter for letter in name)


def _paths(key_name: str) -> list[tuple[str, ...]]:
    """Return the paths that a rule's key stands for, beginning with one of `HIVES`."""
    hive, *rest = [name for name in key_name.split("\\") if name]
    names = (*_ALIASES.get(hive.upper(), (hive,)), *rest)
    return [names, *_twins(names)]


def _twins(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the path of the 32-bit view, where a path has one of its own."""
    upper = tuple(name.upper() for name in names)
    if _WOW.upper() in upper or upper[:2] != (_MACHINE, "SOFTWARE") or len(names) < 3:
        return []
    place = 3 if upper[2] == "CLASSES" else 2
    return [(*names[:place], _WOW, *names[place:])] if len(names) > place else []


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _fits(pattern: str, name: str) -> bool:
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a regular expression in which no `*` is tried twice: the leftmost fit of what follows is good enough."""
    runs = ["".join("." if letter == "?" else re.escape(letter) for letter in run) for run in pattern.split("*")]
    head, *rest = runs
    if not rest:
        return re.compile(head, re.DOTALL)
    middle = "".join(f"(?>.*?{run})" for run in rest[:-1])
    last = pattern.rpartition("*")[2]
    return re.compile(
        f"{head}{middle}(?=.{{{len(last)}}}).*+(?<={rest[-1]})" if last else f"{head}{middle}.*+", re.DOTALL
    )
