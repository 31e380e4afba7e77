"""What `doctor` found, and what it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whatchanged.cli.options import Values
from whatchanged.errors import OperationError

__all__ = ["Finding", "Subject"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    status: str
    """`Ok`, `Warning`, `Error`."""
    detail: str
    advice: str = ""
    """What to do next."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An installation."""

    values: Values
    tracker: Mapping[str, Any] | None
    """What the tracker says in `status`; None if there is none that answers."""
    trouble: OperationError | None = None
    """Why it does not."""
