"""Requests and replies on the local pipe: upstream's configuration request, and ours for the tracker.

A request travels as one msgpack string (Linux) or bare JSON (Windows); every reply is bare JSON in one write.
Format: docs/formats/local-pipe.md. Fields that are not known are ignored.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgpack
import msgspec

from whatchanged.errors import WireError

__all__ = [
    "CONFIG_PAD",
    "ConfigurationReply",
    "ConfigurationRequest",
    "ExtensionConfiguration",
    "OutputStream",
    "PendingRequest",
    "PollReply",
    "PollRequest",
    "RequestResult",
    "ResultReply",
    "TaggedData",
    "decode_reply",
    "decode_request",
    "decode_tagged_data",
    "encode_reply",
    "encode_request",
    "encode_tagged_data",
]

CONFIG_PAD = 108
"""Upstream pads its abstract names with NUL to this many bytes."""

_NAME = 256


class ConfigurationRequest(msgspec.Struct, tag="AgentTaggedData", tag_field="Request", rename="pascal", kw_only=True):
    """Who am I, which rule? `tag` is the rule's extension name, such as `ChangeTracking-Linux`."""

    request_id: str
    tag: str
    version: str = "1"


class PollRequest(msgspec.Struct, tag="TrackerPoll", tag_field="Request", rename="pascal", kw_only=True):
    """The tracker's question: is there anything newer than `known`? Held open up to `wait_seconds`."""

    request_id: str
    tag: str
    version: str = "1"
    known: str = ""
    wait_seconds: float = 0


class RequestResult(msgspec.Struct, tag="RequestResult", tag_field="Request", rename="pascal", kw_only=True):
    """The tracker's answer to the pending request `id`."""

    request_id: str = ""
    id: str
    success: bool
    result: dict[str, Any] = {}


AgentRequest = ConfigurationRequest | PollRequest | RequestResult


class ConfigurationReply(msgspec.Struct, rename="pascal", kw_only=True):
    """Answer to ConfigurationRequest; `tagged_data` is JSON text (`TaggedData`)."""

    request: str = "AgentTaggedData"
    request_id: str
    version: str = "1"
    success: bool
    description: str = ""
    tagged_data: str = ""


class PendingRequest(msgspec.Struct, rename="pascal", kw_only=True, omit_defaults=True):
    """Something the server asks of the tracker; `request` is one of a closed list."""

    id: str
    request: str
    kind: str = ""
    rule: str = ""
    document: str = ""
    """Of a preview: the data collection rule itself, as JSON text."""


class PollReply(msgspec.Struct, rename="pascal", kw_only=True):
    """Answer to PollRequest; `tagged_data` is None when `known` is still the newest."""

    request: str = "TrackerPoll"
    request_id: str
    success: bool = True
    description: str = ""
    version: str = ""
    tagged_data: str | None = None
    requests: tuple[PendingRequest, ...] = ()
    connected: bool = False


class ResultReply(msgspec.Struct, rename="pascal", kw_only=True):
    """Answer to RequestResult: it is kept and will be passed on."""

    request: str = "RequestResult"
    request_id: str
    success: bool = True
    description: str = ""


AgentReply = ConfigurationReply | PollReply | ResultReply


class ExtensionConfiguration(msgspec.Struct, rename="camel", kw_only=True):
    """One rule's part for one extension; settings are read by `rules.settings.read_extension_settings`."""

    id: str
    origin_ids: tuple[str, ...] = ()
    extension_settings: dict[str, Any] = {}
    input_streams: dict[str, Any] = {}
    output_streams: dict[str, str] = {}
    """Data type → stream id, the tag under which its records are sent."""

    @property
    def rule_id(self) -> str:
        """Immutable id of the rule: the part of `id` before the colon."""
        return self.id.partition(":")[0]


class OutputStream(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """Where the records of a stream id go: a pipe name (Windows)."""

    named_pipe: str = ""


class TaggedData(msgspec.Struct, rename="camel", kw_only=True):
    """What an extension gets to know."""

    schema_version: int = 1
    version: str = ""
    extension_name: str = ""
    extension_configurations: tuple[ExtensionConfiguration, ...] = ()
    output_stream_definitions: dict[str, OutputStream] = {}


_requests: msgspec.json.Decoder[AgentRequest] = msgspec.json.Decoder(AgentRequest)
_tagged_data = msgspec.json.Decoder(TaggedData)
_Reply = TypeVar("_Reply", ConfigurationReply, PollReply, ResultReply)
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (ConfigurationReply, PollReply, ResultReply)
}
_JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_request(request: AgentRequest, *, bare: bool = False) -> bytes:
    """Return the request as one msgpack string, or as bare JSON."""
    text = msgspec.json.encode(request)
    return text if bare else bytes(msgpack.packb(text.decode("utf-8")))


def decode_request(payload: bytes) -> AgentRequest:
    """Read the JSON text of a request (`forward.ConfigRequest.payload`). Raises WireError."""
    try:
        request = _requests.decode(payload)
    except _JSON_ERRORS as error:
        raise WireError(f"no request: {error}") from error
    if len(request.request_id) > _NAME or len(getattr(request, "tag", "")) > _NAME:
        raise WireError(f"a name in a request is longer than {_NAME} characters")
    return request


def encode_reply(reply: AgentReply) -> bytes:
    """Return the reply as bare JSON: send it in one write."""
    return msgspec.json.encode(reply)


def decode_reply(data: bytes, kind: type[_Reply]) -> _Reply:
    """Read a whole reply (`framing.JsonFrames` cuts them out of a stream). Raises WireError."""
    try:
        reply: _Reply = _decoders[kind].decode(data)
    except _JSON_ERRORS as error:
        raise WireError(f"no reply: {error}") from error
    return reply


def encode_tagged_data(data: TaggedData) -> str:
    """Return the JSON text."""
    return msgspec.json.encode(data).decode("utf-8")


def decode_tagged_data(text: str) -> TaggedData:
    """Read the JSON text of a reply. Raises WireError."""
    try:
        return _tagged_data.decode(text)
    except (*_JSON_ERRORS, UnicodeEncodeError) as error:
        raise WireError(f"no TaggedData: {error}") from error
