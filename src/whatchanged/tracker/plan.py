"""The plan: what the data collection rules in force ask of this machine.

Made from the TaggedData of the configuration reply (`docs/formats/local-pipe.md`). Several rules are a union;
every file keeps its own rule's frequency, so file rules are grouped into jobs by frequency.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from whatchanged.errors import RuleError
from whatchanged.records.items import Kind
from whatchanged.records.streams import DataType
from whatchanged.rules import ExtensionSettings, FileRule, FileScope, Problem, Variables, read_extension_settings

__all__ = ["FileJob", "Plan", "Schedule", "make_plan"]

_EXTENSION = "ChangeTracking-Linux"


class FileJob(msgspec.Struct, frozen=True):
    """File rules of one frequency."""

    name: str
    frequency: float
    rules: tuple[FileRule, ...]


class Schedule(msgspec.Struct, frozen=True):
    """When a kind without paths is looked at, and which data sources ask for it."""

    frequency: float
    rule_names: str
    configuration_id: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the tracker has to do."""

    version: str = ""
    """Digest of the configuration; changes when anything in it does."""
    file_jobs: tuple[FileJob, ...] = ()
    schedules: dict[Kind, Schedule] = {}
    inventory: bool = False
    inventory_frequency: float = 36000
    tags: dict[DataType, str] = {}
    """Stream → tag of its chunks."""
    disabled: tuple[FileRule, ...] = ()
    """File rules that are switched off, for `why`."""
    problems: tuple[Problem, ...] = ()

    @property
    def file_rules(self) -> tuple[FileRule, ...]:
        """Every file rule in force."""
        return tuple(rule for job in self.file_jobs for rule in job.rules)

    def file_scope(self) -> FileScope:
        """Return the matcher of every file rule in force."""
        return FileScope(self.file_rules)

    def looks(self, kind: Kind) -> list[tuple[str, float]]:
        """Return the jobs of a kind: name, and seconds between two looks.

        Every look ends with a confirmation, so that none is rarer than the inventory is wanted: else what has not
        changed would seem lost.
        """
        schedule = self.schedules.get(kind)
        jobs = [(job.name, job.frequency) for job in self.file_jobs] if kind is Kind.FILES else []
        if schedule is not None:
            jobs.append(("", schedule.frequency))
        return [(name, min(f, self.inventory_frequency) if self.inventory else f) for name, f in jobs]

    def kinds(self) -> frozenset[Kind]:
        """Return the kinds that are looked at."""
        return frozenset(self.schedules) | ({Kind.FILES} if self.file_jobs else set())


def make_plan(tagged_data: str, variables: Variables | None = None) -> Plan:
    """Return the plan of a configuration; an empty text gives an empty plan. Raises RuleError.

    `variables` of this machine are filled into paths (default: there are none).
    """
    if not tagged_data:
        return Plan()
    try:
        document = msgspec.json.decode(tagged_data)
    except RecursionError:
        raise RuleError("the configuration is nested too deeply") from None
    listed = document.get("extensionConfigurations") if isinstance(document, Mapping) else None
    if not isinstance(listed, list | None) or not isinstance(document, Mapping):
        raise RuleError("the configuration is not an object with a list of extensionConfigurations")
    sources = [s for s in listed or () if isinstance(s, Mapping)]
    variables = variables or Variables()
    builder = _Builder(variables)
    for source in sources:
        builder.add(source)
    said = msgspec.json.encode(sources, order="sorted")
    if b"${" in said:  # another value of a variable is another plan, though the configuration is the same
        said += "".join(rule.identity() for rules in builder.files.values() for rule in rules).encode()
    return builder.plan(hashlib.sha256(said).hexdigest()[:16])


class _Builder:
    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self.files: dict[float, list[FileRule]] = {}
        self.disabled: list[FileRule] = []
        self.asked: dict[Kind, list[tuple[float, str, str]]] = {}
        self.inventory: list[float] = []
        self.tags: dict[DataType, str] = {}
        self.problems: list[Problem] = []

    def add(self, source: Mapping[str, Any]) -> None:
        rule_id, _, name = str(source.get("id", "")).partition(":")
        settings = read_extension_settings(_mapping(source, "extensionSettings"), _EXTENSION, variables=self._variables)
        self.problems += settings.problems
        for data_type, stream in _mapping(source, "outputStreams").items():
            if data_type in DataType.__members__.values() and isinstance(stream, str):
                self.tags.setdefault(DataType(data_type), stream)
        self._add_kinds(settings, rule_id, name)

    def _add_kinds(self, settings: ExtensionSettings, rule_id: str, name: str) -> None:
        if settings.enable_files:
            for rule in settings.files:
                owned = msgspec.structs.replace(rule, configuration_id=rule_id)
                if rule.enabled:
                    self.files.setdefault(rule.frequency, []).append(owned)
                else:
                    self.disabled.append(owned)
        if settings.enable_software:
            self.asked.setdefault(Kind.SOFTWARE, []).append((settings.software_frequency, name, rule_id))
        if settings.enable_services:
            self.asked.setdefault(Kind.DAEMONS, []).append((settings.service_frequency, name, rule_id))
        if settings.enable_inventory:
            self.inventory.append(settings.inventory_frequency)

    def plan(self, version: str) -> Plan:
        return Plan(
            version=version,
            file_jobs=tuple(FileJob(f"{f:.15g}", f, tuple(rules)) for f, rules in sorted(self.files.items())),
            schedules={
                kind: Schedule(
                    min(f for f, _, _ in asked), _joined(n for _, n, _ in asked), _joined(i for *_, i in asked)
                )
                for kind, asked in self.asked.items()
            },
            inventory=bool(self.inventory),
            inventory_frequency=min(self.inventory, default=36000),
            tags=self.tags,
            disabled=tuple(self.disabled),
            problems=tuple(self.problems),
        )


def _mapping(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = source.get(name) or {}
    if not isinstance(value, Mapping):
        raise RuleError(f"not an object: {value!r:.100}", place=name)
    return value


def _joined(texts: Any) -> str:
    return ",".join(dict.fromkeys(texts))
