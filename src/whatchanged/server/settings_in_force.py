"""The settings that a server runs with: what its start was given, and what people set since.

A retention that stands in the file of settings, the environment or the command line counts, whatever was set in the
portal (docs/adr/0034): who manages servers by files must find there what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from whatchanged.records.times import parse_time
from whatchanged.server.control import Control

__all__ = ["SettingsInForce", "ShownSetting"]

_SECOND_THOUGHT = 3600 * 10**9


class ShownSetting(msgspec.Struct, frozen=True):
    """A setting, as people may see it: without secrets."""

    name: str
    value: Any
    default: Any
    unit: str
    help: str
    source: str
    """`default`, `command line`, the name of an environment variable, or the path of a file."""
    environment: str
    """The environment variable that sets it."""


class SettingsInForce(msgspec.Struct, frozen=True):
    """What the start of the server was given."""

    shown: tuple[ShownSetting, ...] = ()
    fixed_retention: Mapping[str, int] = {}
    """Days by table, where the start says them."""
    retention_names: Mapping[str, str] = {}
    """Name of the setting by table."""

    def retention(self, control: Control, now: int) -> dict[str, int]:
        """Return the days that tables keep their rows; one that is not named keeps everything. Blocking.

        What was set less than an hour before `now` (nanoseconds since 1970) does not count yet: whoever was wrong
        has that time to say so.
        """
        stored = {
            name: row["days"]
            for name, row in control.settings.retention().items()
            if now - parse_time(row["updatedAt"]) >= _SECOND_THOUGHT
        }
        return {**stored, **self.fixed_retention}
