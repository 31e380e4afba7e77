"""Times that people give."""

from __future__ import annotations

from whatchanged.records.times import parse_time
from whatchanged.server.control.refusals import bad_request

__all__ = ["moment"]

_BITS = 63


def moment(text: str, target: str) -> int:
    """Return a time in ISO 8601 as nanoseconds since 1970; raises Refusal for what is none, or later than 2262."""
    try:
        found = parse_time(text)
    except (ValueError, OverflowError) as error:
        raise bad_request(str(error), target) from error
    if not -(1 << _BITS) <= found < 1 << _BITS:
        raise bad_request("a time is between 1678 and 2262", target)
    return found
