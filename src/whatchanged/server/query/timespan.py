"""The `timespan` of a question: ISO 8601, as client libraries send it.

`PT24H` (up to now), `start/end`, `start/PT24H`, `PT24H/end`.
"""

from __future__ import annotations

import re

from whatchanged.errors import RecordError
from whatchanged.records.times import parse_time

__all__ = ["window"]

_NUMBER = r"(\d{1,15}(?:\.\d{1,15})?)"
_DURATION = re.compile(
    f"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?\\Z", re.ASCII
)
_FIRST, _LAST = -62_135_596_800 * 10**9, 253_402_300_799 * 10**9
"""The years 1 and 9999, in nanoseconds since 1970: the times that there are."""
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


def window(text: str, now_ns: int) -> tuple[int, int]:
    """Return begin and end (nanoseconds since 1970) of a timespan. Raises RecordError."""
    begin, end = _window(text, now_ns)
    return min(max(begin, _FIRST), _LAST), min(max(end, _FIRST), _LAST)


def _window(text: str, now_ns: int) -> tuple[int, int]:
    first, slash, second = text.strip().partition("/")
    if not slash:
        return now_ns - _duration(first), now_ns
    if first.startswith("P"):
        end = _time(second)
        return end - _duration(first), end
    start = _time(first)
    return start, start + _duration(second) if second.startswith("P") else _time(second)


def _duration(text: str) -> int:
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        raise RecordError(f"not an ISO 8601 duration: {text[:50]!r}", place="timespan")
    return round(sum(float(part) * seconds * 10**9 for part, seconds in zip(match.groups("0"), _SECONDS, strict=True)))


def _time(text: str) -> int:
    try:
        return parse_time(text if "T" in text or " " in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise RecordError(f"not an ISO 8601 time: {text[:50]!r}", place="timespan") from error
