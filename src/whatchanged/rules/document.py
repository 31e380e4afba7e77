"""Rule documents: find the data collection rules in what people have, and read them.

Taken are: the bare ARM resource; its `{"properties": …}` or `{"dataSources": …}` alone; lists; ARM templates with
`resources` as list or map, nested deployments, resources within resources; Terraform (JSON syntax, plan or state)
with the settings as text in `extension_json`. Template expressions stay in their strings and are never evaluated.
`Rule.document` is the parsed JSON itself, untouched, so that a rule goes out as it came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from whatchanged.errors import RuleError
from whatchanged.records.streams import RULE_STREAMS, data_type
from whatchanged.rules.intakes import Intake, read_intakes
from whatchanged.rules.items import Problem, Severity
from whatchanged.rules.settings import ExtensionSettings, canonical_extension_name, read_extension_settings
from whatchanged.rules.variables import Variables

__all__ = ["MAX_DOCUMENT", "DataSource", "Rule", "read"]

MAX_DOCUMENT = 8 * 2**20
"""Bytes of a document; a rule with 10,000 entries has 3 MB."""
_MAX_DEPTH = 64
_MAX_RULES = 1_000
_RULE_TYPES = ("microsoft.insights/datacollectionrules", "azurerm_monitor_data_collection_rule")
_CHANGE_STREAMS = ("Microsoft-ConfigurationChange", "Microsoft-ConfigurationChangeV2", "Microsoft-ConfigurationData")


class DataSource(msgspec.Struct, frozen=True, kw_only=True):
    """One change tracking data source of a rule."""

    name: str
    extension_name: str
    streams: tuple[str, ...]
    """As the rule names them; the three usual ones when it names none."""
    settings: ExtensionSettings
    document: Mapping[str, Any]
    """The data source as it stands in the rule."""
    place: str
    """JSON path of its settings in the document."""
    extension_settings: Mapping[str, Any]
    """The settings as they stand in the rule, to be handed to the extension; parsed where they were JSON text."""
    problems: tuple[Problem, ...] = ()
    """Problems of the data source and its settings."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One data collection rule. `name` and `immutable_id` are empty where the document has none."""

    name: str
    immutable_id: str
    document: Mapping[str, Any]
    sources: tuple[DataSource, ...]
    intakes: tuple[Intake, ...] = ()
    """Streams that it takes from senders of records."""
    own_problems: tuple[Problem, ...] = ()
    """Problems of the rule itself, without those of its sources."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, each with its place."""
        return self.own_problems + tuple(problem for source in self.sources for problem in source.problems)

    def sources_of(self, extension_name: str) -> tuple[DataSource, ...]:
        """Return the sources for one extension, such as `ChangeTracking-Linux`."""
        return tuple(source for source in self.sources if source.extension_name == extension_name)


def read(document: bytes | str | Mapping[str, Any], variables: Variables | None = None) -> tuple[Rule, ...]:
    """Return every data collection rule in `document`. Raises RuleError if there is none to be read.

    `variables` of the machine that is looked at are filled into paths; without them they stay as written.
    """
    parsed = _parse(document) if isinstance(document, bytes | str) else document
    found: list[Rule] = []
    for name, place, resource in _find(parsed, "", "", 0):
        if len(found) >= _MAX_RULES:
            raise RuleError(f"holds more than {_MAX_RULES} rules")
        found.append(_rule(name, place, resource, variables))
    if not found:
        raise RuleError(
            "no data collection rule found",
            hint="expected is a resource of type Microsoft.Insights/dataCollectionRules, or its properties",
        )
    return tuple(found)


def _parse(document: bytes | str) -> object:
    if len(document) > MAX_DOCUMENT:
        raise RuleError(f"is larger than {MAX_DOCUMENT} bytes")
    try:
        text = document.decode("utf-8-sig") if isinstance(document, bytes) else document.removeprefix("\ufeff")
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise RuleError("is nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError, integers of too many digits
        raise RuleError(f"is no JSON: {error}") from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _find(value: object, name: str, place: str, depth: int) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield name, place and object of everything that is a rule, in document order."""
    if depth > _MAX_DEPTH:
        raise RuleError("is nested too deeply", place=place)
    if isinstance(value, Mapping):
        if _is_rule(value):
            yield _text(value.get("name")) or name, place, value
            return
        for key, inner in value.items():
            if isinstance(inner, Mapping | list):
                # Terraform's `resource.<type>.<label>` and the symbolic names of newer ARM templates are names.
                yield from _find(inner, key if isinstance(inner, Mapping) else name, _join(place, key), depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _find(inner, name, f"{place}[{number}]", depth + 1)


def _is_rule(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str) and kind.lower() == _RULE_TYPES[0]:
        return "properties" in value
    if isinstance(kind, str) and kind.lower() == _RULE_TYPES[1]:
        return False  # its `values` are the rule
    properties = value.get("properties")
    if kind is None and isinstance(properties, Mapping) and _has_contents(properties):
        return True
    return kind is None and _has_contents(value)


def _has_contents(properties: Mapping[str, Any]) -> bool:
    """Say whether something is collected or, where nothing is, taken from senders."""
    flows = properties.get("dataFlows", properties.get("data_flow"))
    return _data_sources(properties)[1] is not None or isinstance(flows, list)


def _data_sources(properties: Mapping[str, Any]) -> tuple[str, Any]:
    for key, value in properties.items():
        if str(key).lower() in ("datasources", "data_sources") and value is not None:
            return key, value
    return "dataSources", None


def _rule(name: str, place: str, resource: Mapping[str, Any], variables: Variables | None) -> Rule:
    properties, here = resource, place
    if "properties" in resource:
        properties, here = resource["properties"], _join(place, "properties")
    problems: list[Problem] = []
    if not isinstance(properties, Mapping):
        problems.append(Problem(here, "is no object, so the rule has no data sources"))
        properties = {}
    key, value = _data_sources(properties)
    here = _join(here, key)
    immutable = _text(properties.get("immutableId")) or _text(properties.get("immutable_id"))
    sources: list[DataSource] = []
    for number, (source_place, extension) in enumerate(_extensions(value, here, problems)):
        source = _source(extension, source_place, number, immutable, problems, variables)
        if source is not None:
            sources.append(source)
    _check_names(sources, here, problems)
    intakes, wrong = read_intakes(properties, here.removesuffix(key).removesuffix("."))
    problems += wrong
    if not sources and (value or not intakes):
        problems.append(Problem(here, "no change tracking data source: the rule tracks nothing", Severity.WARNING))
    return Rule(
        name=name,
        immutable_id=immutable,
        document=resource,
        sources=tuple(sources),
        intakes=intakes,
        own_problems=tuple(problems),
    )


def _extensions(value: object, place: str, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield place and object of every extension data source."""
    blocks = value if isinstance(value, list) else [value]
    for index, block in enumerate(blocks):
        here = f"{place}[{index}]" if isinstance(value, list) else place
        if not isinstance(block, Mapping):
            if block is not None:
                problems.append(Problem(here, "is no object; nothing is taken from it"))
            continue
        for key in ("extensions", "extension"):
            entries = block.get(key)
            if isinstance(entries, Mapping):
                entries = [entries]
            if entries is not None and not isinstance(entries, list):
                problems.append(Problem(_join(here, key), "is no list; nothing is taken from it"))
                continue
            for number, entry in enumerate(entries or ()):
                if isinstance(entry, Mapping):
                    yield f"{_join(here, key)}[{number}]", entry
                else:
                    problems.append(Problem(f"{_join(here, key)}[{number}]", "is no object; left out"))


def _source(
    extension: Mapping[str, Any],
    place: str,
    number: int,
    immutable: str,
    problems: list[Problem],
    variables: Variables | None,
) -> DataSource | None:
    named = _text(extension.get("extensionName")) or _text(extension.get("extension_name"))
    streams = extension.get("streams")
    if not named:
        problems.append(Problem(f"{place}.extensionName", "is missing, so nobody knows whom the settings are for"))
        return None
    extension_name = canonical_extension_name(named)
    if extension_name is None:
        return None  # a data source of another product
    own: list[Problem] = []
    name = _text(extension.get("name"))
    if not name:
        name = f"CTDataSource-{extension_name.rpartition('-')[2]}" + (f"-{number}" if number else "")
        own.append(Problem(f"{place}.name", f"is missing; {name!r} is used", Severity.WARNING))
    key, raw = _settings(extension, place, own)
    settings = read_extension_settings(
        raw, extension_name, place=f"{place}.{key}", configuration_id=immutable, variables=variables
    )
    return DataSource(
        name=name,
        extension_name=extension_name,
        streams=_streams(streams, f"{place}.streams", own),
        settings=settings,
        document=extension,
        place=f"{place}.{key}",
        extension_settings=raw if isinstance(raw, Mapping) else {},
        problems=(*own, *settings.problems),
    )


def _settings(extension: Mapping[str, Any], place: str, problems: list[Problem]) -> tuple[str, object]:
    for key in ("extensionSettings", "extension_settings", "extension_json", "extensionJson"):
        value = extension.get(key)
        if value is None:
            continue
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                return key, _parse(value)
            except RuleError as error:
                problems.append(Problem(f"{place}.{key}", f"{error}; the defaults hold"))
                return key, None
        return key, value
    return "extensionSettings", None


def _streams(value: object, place: str, problems: list[Problem]) -> tuple[str, ...]:
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list) or not named:
        problems.append(Problem(place, "names no stream; the three usual ones are used", Severity.WARNING))
        return _CHANGE_STREAMS
    known: list[str] = []
    for number, stream in enumerate(named):
        if isinstance(stream, str) and data_type(stream) is not None:
            known.append(stream)
        else:
            message = f"is none of {', '.join(RULE_STREAMS)}; left out"
            problems.append(Problem(f"{place}[{number}]", message, Severity.WARNING))
    return tuple(dict.fromkeys(known))


def _check_names(sources: list[DataSource], place: str, problems: list[Problem]) -> None:
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            message = f"two data sources are called {source.name!r}: their streams could not be told apart"
            problems.append(Problem(place, message, Severity.WARNING))
        seen.add(source.name)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)
