"""What is on the disk of a Windows that is mounted somewhere: `whatchanged inventory KIND --root DIR`."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

from whatchanged.cli.collect import say_outcome
from whatchanged.cli.output import Output
from whatchanged.cli.rules import read_document
from whatchanged.collectors import Outcome, Snapshot
from whatchanged.collectors.registry import RegistrySource
from whatchanged.collectors.registry.mounted import MountedRegistry
from whatchanged.errors import SettingsError
from whatchanged.records.items import ServiceItem, SoftwareItem

__all__ = ["KINDS", "Rows", "look_at_windows", "registry_rows", "service_rows", "software_rows"]

_SOFTWARE = ("SoftwareName", "CurrentVersion", "Architecture", "Location", "Publisher")
KINDS = {
    "software": _SOFTWARE,
    "patches": _SOFTWARE,
    "services": ("SvcName", "SvcDisplayName", "SvcStartupType", "SvcAccount", "SvcPath"),
    "registry": ("RegistryKey", "ValueName", "ValueType", "ValueData"),
}
"""Kinds that the hives of a disk can tell of, with the columns that people see."""

Rows = Generator[dict[str, Any], None, Outcome]


def look_at_windows(kind: str, root: str, rule: str | None, output: Output) -> int:
    """Write rows of one kind (registry: of the rule document `rule`), then what could not be read."""
    if kind not in KINDS:
        raise SettingsError(f"{kind} of a mounted Windows system: there are {', '.join(KINDS)}")
    source = MountedRegistry(os.fsencode(root))
    problems: list[str] = []
    output.rows(_rows(kind, source, rule, problems), KINDS[kind])
    for line in (*source.notes, *problems):
        output.message(line)
    return 0


def _rows(kind: str, source: MountedRegistry, rule: str | None, problems: list[str]) -> Iterator[dict[str, Any]]:
    from whatchanged.collectors.services.windows_registry import RegistryServices
    from whatchanged.collectors.software.windows_registry import RegistrySoftware

    if kind == "registry":
        outcome = yield from registry_rows(source, rule, problems)
    elif kind == "services":
        outcome = yield from service_rows(RegistryServices(source).run())
    else:
        outcome = yield from software_rows(RegistrySoftware(source).run(), updates=kind == "patches")
    say_outcome(outcome, problems)


def service_rows(snapshot: Snapshot[ServiceItem]) -> Rows:
    """Yield services as rows."""
    for item in snapshot.items:
        yield {"ConfigDataType": "WindowsServices", **item.columns()}
    return snapshot.outcome


def software_rows(snapshot: Snapshot[SoftwareItem], *, updates: bool) -> Rows:
    """Yield software as rows, or only `updates`."""
    for item in snapshot.items:
        if item.software_type == "Update" or not updates:
            yield {"ConfigDataType": "Software", **item.columns()}
    return snapshot.outcome


def registry_rows(source: RegistrySource, rule: str | None, problems: list[str]) -> Rows:
    """Yield the values that the rule document `rule` takes, or the default rule."""
    from whatchanged import rules
    from whatchanged.collectors.registry.collector import RegistryCollector

    found = rules.read(rules.DEFAULT_RULE if rule is None else read_document(rule))
    wanted = [entry for one in found for part in one.sources for entry in part.settings.registry]
    collector = RegistryCollector(source, wanted)
    for looked in collector.run():
        yield {
            "ConfigDataType": "Registry",
            **looked.item.columns(),
            "RuleName": ", ".join(r.name for r in looked.rules),
        }
    problems += [f"{entry.name}: no such key: {entry.key_name}" for entry in collector.unmatched()]
    return collector.outcome
