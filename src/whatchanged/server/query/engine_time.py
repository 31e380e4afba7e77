"""Times of questions, as the engine reads them."""

from __future__ import annotations

from whatchanged.errors import RecordError
from whatchanged.records.times import parse_time, time_text

__all__ = ["engine_time"]

_FIRST, _LAST = parse_time("1900-01-01T00:00:00Z"), parse_time("2299-12-31T00:00:00Z")
"""What a DateTime64 holds."""


def engine_time(text: str) -> str:
    """Return a time in ISO 8601 as the engine's text, within what it can hold; raises RecordError."""
    try:
        moment = parse_time(text)
    except (ValueError, OverflowError) as error:
        raise RecordError(f"no time in ISO 8601: {text[:64]!r}") from error
    return time_text(min(max(moment, _FIRST), _LAST))[:-1].replace("T", " ")
