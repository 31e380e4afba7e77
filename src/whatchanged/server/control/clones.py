"""Two live holders of one machine id, as a copied disk image makes them. Pure.

Every life of a forwarder has an instance id of its own. A new one supersedes the one before: that is a restart.
A restarted forwarder's former life never speaks again, except for requests that were on their way while it died;
so a superseded instance that speaks after a grace time proves that two are alive. The instance that was there
first keeps the id, the one that came later is refused from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

__all__ = ["GRACE_NS", "WINDOW_NS", "Verdict", "judge"]

GRACE_NS = 2 * 10**9
"""How long requests of a former life may still arrive."""
WINDOW_NS = 24 * 3600 * 10**9
"""How long a superseded instance is remembered: a machine set back to a day-old snapshot is no clone."""


class Verdict(Enum):
    """What a request's instance means."""

    CURRENT = "current"
    SUPERSEDES = "supersedes"
    LATE = "late"
    """A request of the former life that was on its way: served, nothing changes."""
    REFUSED = "refused"
    CLONED = "cloned"
    """The superseded instance is alive: the current one is a clone."""


def judge(instance: str, current: str | None, former: Mapping[str, tuple[str, int]], now: int) -> Verdict:
    """Return the verdict; `former` maps other instances to their state (`superseded`, `refused`) and its time."""
    if instance == current:
        return Verdict.CURRENT
    state, at = former.get(instance, ("", 0))
    if state == "refused":
        return Verdict.REFUSED
    if state == "superseded" and now - at < GRACE_NS:
        return Verdict.LATE
    if state == "superseded" and now - at <= WINDOW_NS:
        return Verdict.CLONED
    return Verdict.SUPERSEDES
