"""A JSON object of a rule, read key by key: every spelling that is known, defaults, and problems with their place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from whatchanged.rules.items import Problem, Severity

__all__ = ["MAX_ITEMS", "MAX_TEXT", "Fields", "Problems", "is_expression", "show", "text_of"]

MAX_ITEMS = 10_000
"""Entries of one list that are read; a rule comes from the network and must not fill the memory."""
MAX_TEXT = 32_768
_MAX_FREQUENCY = 366 * 86_400.0
_MAX_PROBLEMS = 1_000


class Problems:
    """Collects problems, a bounded number of them."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._more = 0

    def add(self, place: str, message: str, severity: Severity = Severity.ERROR) -> None:
        """Record a problem of the part at `place`."""
        if len(self._found) < _MAX_PROBLEMS:
            self._found.append(Problem(place, message, severity))
        else:
            self._more += 1

    def found(self) -> tuple[Problem, ...]:
        """Return them all, or the first and how many more there are."""
        more = [Problem("", f"{self._more} more problems", Severity.WARNING)] if self._more else []
        return (*self._found, *more)


_EXPRESSION = re.compile(r"(\[[^\[].*\]|<(expr|param|var):.*>|\$\{.*\})\Z", re.DOTALL)


def is_expression(value: object) -> bool:
    """Whether `value` is the expression of a template that nobody has filled in."""
    return isinstance(value, str) and _EXPRESSION.match(value) is not None


def show(value: object) -> str:
    """Return `value` for people, cut to a line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


_T = TypeVar("_T")


class Fields:
    """A JSON object that is read key by key, whatever the case of its keys; remembers what nobody asked for."""

    def __init__(self, value: object, place: str, problems: Problems) -> None:
        self.place = place
        self.problems = problems
        self._values: Mapping[str, Any] = {}
        self._asked: set[str] = set()
        if isinstance(value, Mapping):
            self._values = {key: found for key, found in value.items() if isinstance(key, str)}
        elif value is not None:
            problems.add(place, f"{_what(value)} where an object should be; the defaults hold")

    def find(self, *names: str) -> list[tuple[str, Any]]:
        """Return key and value of every filled key that is one of `names`, exact spelling first."""
        wanted = {name.lower(): rank for rank, name in enumerate(names)}
        found = [(key, value) for key, value in self._values.items() if key.lower() in wanted]
        self._asked.update(key for key, _ in found)
        found.sort(key=lambda pair: (pair[0] not in names, wanted[pair[0].lower()]))
        return [(key, value) for key, value in found if value is not None]

    def one(self, *names: str) -> tuple[str, Any]:
        """Return key and value of the first of `names` that is filled; the others are problems."""
        found = self.find(*names)
        for key, _ in found[1:]:
            self.problems.add(f"{self.place}.{key}", f"{found[0][0]!r} is used instead", Severity.WARNING)
        return found[0] if found else (names[0], None)

    def object(self, *names: str) -> Fields:
        """Read a settings object; a bare list stands for an object that holds it."""
        key, value = self.one(*names)
        place = f"{self.place}.{key}"
        if isinstance(value, list):
            value = {key: value}
        return Fields(value, place, self.problems)

    def items(self, *names: str) -> list[Fields]:
        """Read a list of objects; several spellings of it are joined."""
        read: list[Fields] = []
        for key, value in self.find(*names):
            place = f"{self.place}.{key}"
            entries = value
            if isinstance(value, Mapping):
                entries = [value]
            elif not isinstance(value, list):
                self.problems.add(place, f"{_what(value)} where a list should be; nothing is taken from it")
                continue
            if len(entries) > MAX_ITEMS:
                self.problems.add(place, f"only the first {MAX_ITEMS} of {len(entries)} entries are used")
            for number, entry in enumerate(entries[:MAX_ITEMS]):
                entry_place = f"{place}[{number}]"
                if isinstance(entry, Mapping):
                    read.append(Fields(entry, entry_place, self.problems))
                else:
                    self.problems.add(entry_place, f"{_what(entry)} where an object should be; left out")
        return read

    def texts(self, *names: str) -> list[tuple[str, Any]]:
        """Return place and value of every entry of a list, or of the one value that stands for it."""
        read: list[tuple[str, Any]] = []
        for key, value in self.find(*names):
            place = f"{self.place}.{key}"
            if isinstance(value, list):
                read += ((f"{place}[{number}]", entry) for number, entry in enumerate(value[:MAX_ITEMS]))
            else:
                read.append((place, value))
        return read

    def _typed(self, names: tuple[str, ...], default: _T, parse: Callable[[Any], _T]) -> _T:
        key, value = self.one(*names)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            why, severity = str(error), Severity.ERROR
        if is_expression(value):
            why, severity = "is a template expression that nobody has filled in", Severity.WARNING
        self.problems.add(f"{self.place}.{key}", f"{why}: {show(value)}; {default!s} is used", severity)
        return default

    def boolean(self, *names: str, default: bool) -> bool:
        """Read true or false."""
        return self._typed(names, default, _boolean)

    def number(self, *names: str, default: int) -> int:
        """Read a whole number of at least 0."""
        return self._typed(names, default, _whole)

    def frequency(self, *names: str, default: float) -> float:
        """Read seconds between 1 and a year."""
        return self._typed(names, default, _seconds)

    def text(self, *names: str) -> str:
        """Read a text; empty if there is none."""
        return self._typed(names, "", text_of)

    def choice(self, known: Mapping[str, _T], *names: str, default: _T) -> _T:
        """Read one of the lower-case words that `known` holds."""

        def parse(value: object) -> _T:
            try:
                return known[str(value).strip().lower()]
            except KeyError:
                raise ValueError(f"is none of {', '.join(sorted(known))}") from None

        return self._typed(names, default, parse)

    def report_unknown(self) -> None:
        """Note the keys that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                self.problems.add(f"{self.place}.{key}", "is a key nobody knows; kept, not used", Severity.NOTE)


def _what(value: object) -> str:
    if is_expression(value):
        return f"an unfilled template expression ({show(value)})"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "1": True, "0": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise ValueError("is neither true nor false")
    return found


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is no number")  # noqa: TRY004 - collected as a problem of the rule
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("is no number") from None
    if not math.isfinite(number):
        raise ValueError("is no finite number")
    return number


def _whole(value: object) -> int:
    number = _number(value)
    if number < 0 or number != int(number) or number > 2**53:
        raise ValueError("is no whole number of at least 0")
    return int(number)


def _seconds(value: object) -> float:
    number = _number(value)
    if not 1 <= number <= _MAX_FREQUENCY:
        raise ValueError("is no number of seconds between 1 and a year")
    return number


def text_of(value: object) -> str:
    """Return `value` if it is a text of bounded length; raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("is no text")  # noqa: TRY004 - collected as a problem of the rule
    if len(value) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    return value
