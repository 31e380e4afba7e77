"""The document of `agentConfigurations`: rules as the control plane hands them to a machine.

Decoding is tolerant, because servers and versions differ: unknown kinds and fields are ignored, a part that cannot
be read is left out and named in `problems`; only a document that is no JSON object is an error.
Format: docs/formats/server-api.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from whatchanged.errors import WireError
from whatchanged.wire.agent import ExtensionConfiguration

__all__ = [
    "AgentConfigurations",
    "AgentSetting",
    "AgentSettings",
    "Channel",
    "Configuration",
    "Content",
    "DataSource",
    "ServerRequest",
    "StreamRoute",
    "decode_configurations",
    "decode_content",
    "encode_configurations",
]

AGENT_SETTINGS = "AgentSettings"


class Channel(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """Where records go: `endpoint` or `endpointUriTemplate`, and where the token for it is issued."""

    id: str
    # A factory, because omit_defaults would leave a plain default out and upstream tells by it what this is.
    protocol: str = msgspec.field(default_factory=lambda: "gig")
    endpoint: str = ""
    endpoint_uri_template: str = ""
    token_endpoint_uri: str = ""


class StreamRoute(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """One stream of a data source; `extension_output_stream` is the tag on the pipe."""

    stream: str
    solution: str = ""
    extension_output_stream: str = ""


class DataSource(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """One data source of a rule; of kind `extension` the configuration names the extension."""

    id: str
    # A factory, because omit_defaults would leave a plain default out and upstream tells by it what this is.
    kind: str = msgspec.field(default_factory=lambda: "extension")
    configuration: dict[str, Any] = {}
    streams: tuple[StreamRoute, ...] = ()
    send_to_channels: tuple[str, ...] = ()

    @property
    def extension_name(self) -> str:
        """Name of the extension, or empty."""
        name = self.configuration.get("extensionName", "")
        return name if isinstance(name, str) else ""


class AgentSetting(msgspec.Struct, kw_only=True):
    """One setting of the agent itself."""

    name: str
    value: str | int | float | bool


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an `AgentSettings` rule sets, of what this agent knows."""

    max_disk_quota_mb: int | None = None
    """`MaxDiskQuotaInMB`: 4,000 to 1,000,000 (cut to that)."""

    @classmethod
    def read(cls, settings: Iterable[AgentSetting]) -> AgentSettings:
        """Read the settings that are known; a value that is no number is as if it were not there."""
        quota: int | None = None
        for setting in settings:
            if setting.name.lower() == "maxdiskquotainmb":
                try:
                    quota = min(max(int(setting.value), 4_000), 1_000_000)
                except (ValueError, OverflowError):
                    continue
        return cls(max_disk_quota_mb=quota)


class Content(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """What one rule gives this machine."""

    data_sources: tuple[DataSource, ...] = ()
    channels: tuple[Channel, ...] = ()
    extension_configurations: dict[str, tuple[ExtensionConfiguration, ...]] = {}
    kind: str = ""
    settings: tuple[AgentSetting, ...] = ()


class Configuration(msgspec.Struct, rename={"configuration_id": "configurationId", "etag": "eTag"}, kw_only=True):
    """One rule of the document."""

    configuration_id: str
    etag: str = ""
    op: str = "added"
    content: Content


class ServerRequest(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """Something the server asks of the machine: one of a closed list, never a command."""

    id: str
    request: str
    kind: str = ""
    rule: str = ""
    document: str = ""
    """Of a preview: the data collection rule itself, as JSON text."""


class AgentConfigurations(msgspec.Struct, rename="camel", kw_only=True):
    """The whole document."""

    configurations: tuple[Configuration, ...] = ()
    requests: tuple[ServerRequest, ...] = ()
    server_time: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A document as read: beside the typed form the `content` objects as they came, and what was left out."""

    document: AgentConfigurations
    contents: tuple[dict[str, Any], ...]
    problems: tuple[str, ...] = field(default=())


REQUESTS = frozenset({"resync", "newEpoch", "scan", "preview"})
"""The closed list of the back channel."""

_T = TypeVar("_T")


def encode_configurations(document: AgentConfigurations) -> bytes:
    """Return the JSON document."""
    return msgspec.json.encode(document)


def decode_configurations(data: bytes) -> Decoded:
    """Read a document. Raises WireError if it is no JSON object."""
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"agentConfigurations is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise WireError("agentConfigurations is no object")
    problems: list[str] = []
    configurations: list[Configuration] = []
    contents: list[dict[str, Any]] = []
    for place, item in _objects(raw.get("configurations"), "configurations", problems):
        content = item.get("content")
        if item.get("op") == "removed":
            continue
        if not isinstance(content, dict):
            problems.append(f"{place}.content: no object")
            continue
        if item.get("kind") == AGENT_SETTINGS:
            content = {"kind": AGENT_SETTINGS, "settings": item.get("settings", []), **content}
        contents.append(content)
        configurations.append(
            Configuration(
                configuration_id=str(item.get("configurationId", "")),
                etag=str(item.get("eTag", "")),
                op=str(item.get("op", "added")),
                content=decode_content(content, problems, f"{place}.content"),
            )
        )
    requests = [r for r in _all(raw.get("requests"), ServerRequest, "requests", problems) if r.request in REQUESTS]
    document = AgentConfigurations(
        configurations=tuple(configurations), requests=tuple(requests), server_time=str(raw.get("serverTime", ""))
    )
    return Decoded(document, tuple(contents), tuple(problems))


def decode_content(raw: Mapping[str, Any], problems: list[str], place: str = "content") -> Content:
    """Read one `content` object, part by part; what cannot be read is left out and named in `problems`."""
    extensions: dict[str, tuple[ExtensionConfiguration, ...]] = {}
    found = raw.get("extensionConfigurations")
    for name, items in found.items() if isinstance(found, dict) else ():
        where = f"{place}.extensionConfigurations.{name}"
        extensions[name] = tuple(_all(items, ExtensionConfiguration, where, problems))
    return Content(
        data_sources=tuple(_all(raw.get("dataSources"), DataSource, f"{place}.dataSources", problems)),
        channels=tuple(_all(raw.get("channels"), Channel, f"{place}.channels", problems)),
        extension_configurations=extensions,
        kind=str(raw.get("kind", "")),
        settings=tuple(_all(raw.get("settings"), AgentSetting, f"{place}.settings", problems)),
    )


def _objects(value: object, place: str, problems: list[str]) -> list[tuple[str, dict[str, Any]]]:
    if value is None:
        return []
    if not isinstance(value, list):
        problems.append(f"{place}: no list")
        return []
    good = [(f"{place}[{i}]", item) for i, item in enumerate(value) if isinstance(item, dict)]
    if len(good) != len(value):
        problems.append(f"{place}: {len(value) - len(good)} elements are no objects")
    return good


def _all(value: object, kind: type[_T], place: str, problems: list[str]) -> list[_T]:
    result: list[_T] = []
    for where, item in _objects(value, place, problems):
        try:
            result.append(msgspec.convert(item, kind))
        except msgspec.ValidationError as error:
            problems.append(f"{where}: {error}")
    return result
