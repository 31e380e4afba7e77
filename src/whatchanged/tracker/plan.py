"""The plan: what the data collection rules in force ask of this machine.

Made from the TaggedData of the configuration reply (`docs/formats/local-pipe.md`). Several rules are a union;
every file and every value of the registry keeps its own rule's frequency, so these rules are grouped into jobs by
frequency.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from whatchanged.errors import RuleError
from whatchanged.records.items import Kind
from whatchanged.records.streams import DataType
from whatchanged.rules import (
    LINUX,
    WINDOWS,
    ExtensionSettings,
    FileRule,
    FileScope,
    Problem,
    RegistryRule,
    Variables,
    read_extension_settings,
)

__all__ = ["EXTENSION", "FileJob", "Plan", "RegistryJob", "Schedule", "configuration_ids", "make_plan", "rule_names"]

EXTENSION = WINDOWS if sys.platform == "win32" else LINUX
"""Name of the extension that this system's settings are for."""
_SERVICES = {LINUX: Kind.DAEMONS, WINDOWS: Kind.WINDOWS_SERVICES}


class FileJob(msgspec.Struct, frozen=True):
    """File rules of one frequency."""

    name: str
    frequency: float
    rules: tuple[FileRule, ...]


class RegistryJob(msgspec.Struct, frozen=True):
    """Registry rules of one frequency."""

    name: str
    frequency: float
    rules: tuple[RegistryRule, ...]


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
    registry_jobs: tuple[RegistryJob, ...] = ()
    disabled: tuple[FileRule, ...] = ()
    """File rules that are switched off, for `why`."""
    problems: tuple[Problem, ...] = ()

    @property
    def file_rules(self) -> tuple[FileRule, ...]:
        """Every file rule in force."""
        return tuple(rule for job in self.file_jobs for rule in job.rules)

    @property
    def registry(self) -> tuple[RegistryRule, ...]:
        """Every registry rule in force."""
        return tuple(rule for job in self.registry_jobs for rule in job.rules)

    def file_scope(self) -> FileScope:
        """Return the matcher of every file rule in force."""
        return FileScope(self.file_rules)

    def rules(self, kind: Kind) -> Sequence[FileRule | RegistryRule] | None:
        """Return the rules that pick items of a kind; None of a kind that is looked at whole."""
        if kind is Kind.FILES:
            return self.file_rules
        return self.registry if kind is Kind.REGISTRY else None

    def jobs(self, kind: Kind) -> list[str]:
        """Return the names of the jobs that look at a kind."""
        jobs = self._jobs(kind)
        return [""] if jobs is None else [job.name for job in jobs]

    def _jobs(self, kind: Kind) -> tuple[FileJob, ...] | tuple[RegistryJob, ...] | None:
        """Return the jobs of a kind whose rules have frequencies of their own; None of others."""
        if kind is Kind.FILES:
            return self.file_jobs
        return self.registry_jobs if kind is Kind.REGISTRY else None

    def inventoried(self, kind: Kind) -> bool:
        """Whether the inventory holds the items of a kind; the registry has changes only."""
        return self.inventory and kind is not Kind.REGISTRY

    def looks(self, kind: Kind) -> list[tuple[str, float]]:
        """Return the jobs of a kind: name, and seconds between two looks.

        Every look ends with a confirmation, so that none is rarer than the inventory is wanted: else what has not
        changed would seem lost.
        """
        schedule = self.schedules.get(kind)
        jobs = [(job.name, job.frequency) for job in self._jobs(kind) or ()]
        if schedule is not None:
            jobs.append(("", schedule.frequency))
        return [(name, min(f, self.inventory_frequency) if self.inventoried(kind) else f) for name, f in jobs]

    def kinds(self) -> frozenset[Kind]:
        """Return the kinds that are looked at."""
        return frozenset(self.schedules) | {kind for kind in (Kind.FILES, Kind.REGISTRY) if self._jobs(kind)}


def make_plan(tagged_data: str, variables: Variables | None = None, *, extension: str = EXTENSION) -> Plan:
    """Return the plan of a configuration; an empty text gives an empty plan. Raises RuleError.

    `variables` of this machine are filled into paths (default: there are none). `extension`: whose settings they are.
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
    builder = _Builder(variables, extension)
    for source in sources:
        builder.add(source)
    said = msgspec.json.encode(sources, order="sorted")
    if b"${" in said:  # another value of a variable is another plan, though the configuration is the same
        said += "".join(rule.identity() for rules in builder.files.values() for rule in rules).encode()
    return builder.plan(hashlib.sha256(said).hexdigest()[:16])


class _Builder:
    def __init__(self, variables: Variables, extension: str) -> None:
        self._variables = variables
        self._extension = extension
        self.files: dict[float, list[FileRule]] = {}
        self.disabled: list[FileRule] = []
        self.registry: dict[float, list[RegistryRule]] = {}
        self.asked: dict[Kind, list[tuple[float, str, str]]] = {}
        self.inventory: list[float] = []
        self.tags: dict[DataType, str] = {}
        self.problems: list[Problem] = []

    def add(self, source: Mapping[str, Any]) -> None:
        rule_id, _, name = str(source.get("id", "")).partition(":")
        settings = read_extension_settings(
            _mapping(source, "extensionSettings"), self._extension, variables=self._variables
        )
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
            self.asked.setdefault(_SERVICES[self._extension], []).append((settings.service_frequency, name, rule_id))
        for registry_rule in settings.registry if settings.enable_registry else ():
            if registry_rule.enabled:
                owned_too = msgspec.structs.replace(registry_rule, configuration_id=rule_id)
                self.registry.setdefault(settings.registry_frequency, []).append(owned_too)
        if settings.enable_inventory:
            self.inventory.append(settings.inventory_frequency)

    def plan(self, version: str) -> Plan:
        registry = sorted(self.registry.items())
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
            registry_jobs=tuple(RegistryJob(f"{f:.15g}", f, tuple(rules)) for f, rules in registry),
            disabled=tuple(self.disabled),
            problems=tuple(self.problems),
        )


def rule_names(rules: Iterable[FileRule | RegistryRule]) -> str:
    """Return RuleName of an item that `rules` take."""
    return ",".join([rule.name for rule in rules])


def configuration_ids(rules: Iterable[FileRule | RegistryRule]) -> str:
    """Return ConfigurationId of an item that `rules` take."""
    return _joined(rule.configuration_id for rule in rules if rule.configuration_id)


def _mapping(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = source.get(name) or {}
    if not isinstance(value, Mapping):
        raise RuleError(f"not an object: {value!r:.100}", place=name)
    return value


def _joined(texts: Any) -> str:
    return ",".join(dict.fromkeys(texts))
