"""Building `agentConfigurations`: upstream's document from the rules of a machine.

Everything a machine gets here follows from the rules (name, immutable id, content), the platform and the
server's own address, so that the ETag is stable and a fleet with the same rules is built once.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from whatchanged import rules as rule_documents
from whatchanged.records.streams import RULE_STREAMS, DataType, data_type
from whatchanged.server.control.rulebook import AssignedRule
from whatchanged.server.identity import MachineIdentity
from whatchanged.wire.agent import ExtensionConfiguration
from whatchanged.wire.configuration import Channel, Configuration, Content, DataSource, StreamRoute

__all__ = ["API_VERSION", "CHANNEL", "Documents"]

API_VERSION = "2022-06-02"
INGESTION_API_VERSION = "2021-11-01-preview"
CHANNEL = "whatchanged"
_CACHED = 512
_EXTENSIONS = {"linux": "changetracking-linux", "windows": "changetracking-windows"}
_ALWAYS = (DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2, DataType.CONFIG_DATA_V2, DataType.TRACKING_HEALTH)

_Sources = list[tuple[str, str, Mapping[str, Any], tuple[DataType, ...]]]


class Documents:
    """Builds documents and keeps what was read of the rules last used. Thread-safe."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[str, str, str], _Sources] = OrderedDict()
        self._lock = threading.Lock()

    def build(
        self, machine: MachineIdentity, assigned: Sequence[AssignedRule], platform: str, base_url: str
    ) -> tuple[str, tuple[Configuration, ...]]:
        """Return the ETag and the list `configurations` for a machine of `platform` (`linux`, `windows`)."""
        configurations = []
        for rule in assigned:
            sources = self._sources(rule, platform)
            if sources:
                configurations.append(_configuration(machine, rule, sources, base_url))
        etag = hashlib.sha256(msgspec.json.encode(configurations)).hexdigest()[:32]
        return etag, tuple(configurations)

    def _sources(self, rule: AssignedRule, platform: str) -> _Sources:
        key = (rule.immutable_id, rule.etag, platform)
        with self._lock:
            if key in self._read:
                self._read.move_to_end(key)
                return self._read[key]
        sources = _read_sources(rule, platform)
        with self._lock:
            self._read[key] = sources
            while len(self._read) > _CACHED:
                self._read.popitem(last=False)
        return sources


def _read_sources(rule: AssignedRule, platform: str) -> _Sources:
    wanted = _EXTENSIONS.get(platform, "")
    return [
        (source.name, source.extension_name, source.extension_settings, _streams(source.streams))
        for found in rule_documents.read(rule.document)
        for source in found.sources
        if source.extension_name.lower() == wanted
    ]


def _streams(names: Sequence[str]) -> tuple[DataType, ...]:
    """Return the streams that a source names; beside them our health, without which an empty page says nothing.

    Rules written for upstream's first schema name only `Microsoft-ConfigurationChange`, and upstream's agent
    sends its V2 records with them all the same, so the change streams come together.
    """
    known = {found for name in names if (found := data_type(name)) is not None} or set(_ALWAYS)
    if known & {DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2}:
        known |= {DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2}
    known.add(DataType.TRACKING_HEALTH)
    return tuple(stream for stream in RULE_STREAMS.values() if stream in known)


def _configuration(machine: MachineIdentity, rule: AssignedRule, sources: _Sources, base: str) -> Configuration:
    extensions: dict[str, tuple[ExtensionConfiguration, ...]] = {}
    data_sources = []
    for name, extension, settings, streams in sources:
        outputs = {stream.value: f"{rule.immutable_id}:{name}:{stream.value}" for stream in streams}
        data_sources.append(_data_source(name, extension, outputs))
        part = ExtensionConfiguration(
            id=f"{rule.immutable_id}:{name}",
            origin_ids=(_rule_resource_id(machine, rule),),
            extension_settings=dict(settings),
            output_streams=outputs,
        )
        extensions[extension] = (*extensions.get(extension, ()), part)
    content = Content(
        data_sources=tuple(data_sources),
        channels=(_channel(machine, rule.immutable_id, base),),
        extension_configurations=extensions,
    )
    return Configuration(configuration_id=rule.immutable_id, etag=rule.etag, content=content)


def _data_source(name: str, extension: str, outputs: Mapping[str, str]) -> DataSource:
    return DataSource(
        id=name,
        configuration={"extensionName": extension},
        streams=tuple(
            StreamRoute(stream=stream, solution="ChangeTracking", extension_output_stream=output)
            for stream, output in outputs.items()
        ),
        send_to_channels=(CHANNEL,),
    )


def _channel(machine: MachineIdentity, rule_id: str, base: str) -> Channel:
    return Channel(
        id=CHANNEL,
        endpoint_uri_template=(
            f"{base}/dataCollectionRules/{rule_id}/streams/<STREAM>?api-version={INGESTION_API_VERSION}"
        ),
        token_endpoint_uri=(
            f"{base}/api/v1{quote(machine.resource_id)}/agentConfigurations/{rule_id}/channels/{CHANNEL}"
            f"/issueIngestionToken?api-version={API_VERSION}"
        ),
    )


def _rule_resource_id(machine: MachineIdentity, rule: AssignedRule) -> str:
    return (
        f"/subscriptions/{machine.workspace_id}/resourceGroups/{machine.group}"
        f"/providers/Microsoft.Insights/dataCollectionRules/{rule.name}"
    )
