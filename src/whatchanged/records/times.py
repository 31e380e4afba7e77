"""Times as the tables write them: UTC, 100 ns, ISO 8601 with seven digits and `Z`."""

from __future__ import annotations

import functools
import re
import time
from datetime import UTC, datetime

__all__ = ["now_ns", "parse_time", "time_text"]

_PATTERN = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s*(Z|z|[+-]\d\d:?\d\d)?\Z", re.ASCII)
_EPOCH_DAY = datetime.fromtimestamp(0, UTC).toordinal()
_FIRST_NS = -62_135_596_800 * 10**9  # 0001-01-01
_LAST_NS = 253_402_300_799 * 10**9 + 999_999_999  # 9999-12-31


def now_ns() -> int:
    """Nanoseconds since 1970 by the wall clock, cut to the tables' 100 ns."""
    return time.time_ns() // 100 * 100


def time_text(nanoseconds: int) -> str:
    """Return the time `nanoseconds` since 1970 UTC as `2026-01-02T03:04:05.1234567Z`.

    Times before the year 1 or after 9999 (forged file times) are cut to those ends.
    """
    seconds, rest = divmod(min(max(nanoseconds, _FIRST_NS), _LAST_NS), 10**9)
    return f"{_second_text(seconds)}.{rest // 100:07}Z"


@functools.lru_cache(maxsize=4096)  # files of one package share their times, and rows of one batch theirs
def _second_text(seconds: int) -> str:
    day, second = divmod(seconds, 86_400)
    date = datetime.fromordinal(_EPOCH_DAY + day).strftime("%Y-%m-%d").rjust(10, "0")
    return f"{date}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def parse_time(text: str) -> int:
    """Return nanoseconds since 1970 of an ISO 8601 time; without an offset it is UTC.

    Raises ValueError.
    """
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    day, clock, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
    whole = (moment - datetime.fromtimestamp(0, UTC)) // _SECOND
    return whole * 10**9 + int((fraction or "0").ljust(9, "0"))


_SECOND = datetime.resolution * 1_000_000
