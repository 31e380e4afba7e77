"""Ids of data collection rules."""

from __future__ import annotations

import re
import secrets

__all__ = ["immutable_id", "is_immutable_id"]

_ID = re.compile(r"dcr-[0-9a-f]{32}\Z", re.ASCII)


def immutable_id() -> str:
    """Return a new immutable id: `dcr-` and 32 random lower-case hex digits."""
    return "dcr-" + secrets.token_hex(16)


def is_immutable_id(text: str) -> bool:
    """Whether `text` is an immutable id."""
    return _ID.match(text) is not None
