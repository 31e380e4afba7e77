"""What is on this Windows now, asked of it alone: `whatchanged inventory KIND` where no server is named."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from collections.abc import Iterator
from typing import Any

from whatchanged.cli.collect import say_outcome
from whatchanged.cli.mounted_windows import KINDS, registry_rows, service_rows, software_rows
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError

__all__ = ["look_at_this_windows"]


def look_at_this_windows(kind: str, rule: str | None, output: Output) -> int:
    """Write rows of one kind (registry: of the rule document `rule`), then what could not be read."""
    if kind not in KINDS:
        raise SettingsError(
            f"{kind} of this machine: there are {', '.join(KINDS)}", hint="--url names a server that knows the others"
        )
    problems: list[str] = []
    output.rows(_rows(kind, rule, problems), KINDS[kind])
    for line in problems:
        output.message(line)
    return 0


def _rows(kind: str, rule: str | None, problems: list[str]) -> Iterator[dict[str, Any]]:
    from whatchanged.collectors.registry.live import LiveRegistry
    from whatchanged.collectors.services.service_manager import ServiceManager
    from whatchanged.collectors.software.windows_software import WindowsSoftware

    if kind == "registry":
        outcome = yield from registry_rows(LiveRegistry(), rule, problems)
    elif kind == "services":
        outcome = yield from service_rows(ServiceManager().run())
    else:
        outcome = yield from software_rows(WindowsSoftware().run(), updates=kind == "patches")
    say_outcome(outcome, problems)
