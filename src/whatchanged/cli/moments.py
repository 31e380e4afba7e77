"""Times on the command line: `24h` ago, or ISO 8601."""

from __future__ import annotations

import argparse
import re

from whatchanged.records.times import now_ns, parse_time, time_text

__all__ = ["duration", "moment"]

_DURATION = re.compile(r"(\d{1,9})\s*([smhdw])\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def duration(text: str) -> int:
    """Return the seconds of `90s`, `30m`, `24h`, `7d`, `2w` (for argparse)."""
    match = _DURATION.match(text.strip())
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30m, 24h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def moment(text: str) -> str:
    """Return the time that `text` names: a duration (that long ago) or ISO 8601 (for argparse)."""
    if _DURATION.match(text.strip()):
        return time_text(now_ns() - duration(text) * 10**9)
    try:
        return time_text(parse_time(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 24h or 2026-01-02T03:04:05Z") from None
