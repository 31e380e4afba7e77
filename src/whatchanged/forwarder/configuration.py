"""The configuration: from the server, on disk, and to the extensions that ask on the pipe.

Owns `mcs/configchunks/*.json` (the source, with the server away) and `mcs/mcsconfig.latest.xml` (rendered from it,
anew at a start that finds it missing, broken or older than the chunks), and the server's requests until they are
answered.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import msgspec

from whatchanged.errors import OperationError, StateError
from whatchanged.forwarder import files
from whatchanged.forwarder.client import ServerClient
from whatchanged.forwarder.http import RetryLater
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, time_text
from whatchanged.settings import DataFolder
from whatchanged.wire.agent import (
    ExtensionConfiguration,
    OutputStream,
    PendingRequest,
    RequestResult,
    TaggedData,
    encode_tagged_data,
)
from whatchanged.wire.configuration import (
    AgentSettings,
    Content,
    ServerRequest,
    decode_configurations,
    decode_content,
)

__all__ = ["Configuration", "Fetcher", "fetch", "pass_on_results"]

_log = logging.getLogger(__name__)
_CHUNK = re.compile(r"\d{1,6}\.json\Z", re.ASCII)
_TIMESTAMP = re.compile(r' timestamp="[^"]*"')
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as a reference (its production 2, Char)."""
_REDELIVER = 30.0
_PLATFORM = "windows" if sys.platform == "win32" else "linux"
_API = "2022-06-02"


class Configuration:
    """What holds now; safe for several threads, and lets them wait for news."""

    def __init__(self, data: DataFolder, quota_mb: int, stream_pipes: Mapping[str, str] | None = None) -> None:
        """`stream_pipes`: data type → name of the pipe that upstream's extension shall send it to."""
        self._stream_pipes = stream_pipes or {}
        self._folder = os.path.join(data.forwarder, "mcs")
        self._chunks = os.path.join(self._folder, "configchunks")
        self._xml = os.path.join(self._folder, "mcsconfig.latest.xml")
        self._default_quota_mb = quota_mb
        self._changed = threading.Condition()
        self._contents: tuple[dict[str, Any], ...] = ()
        self._typed: tuple[Content, ...] = ()
        self._requests: dict[str, ServerRequest] = {}
        self._delivered: dict[str, float] = {}
        self._results: dict[str, RequestResult] = {}
        self._connected = False
        self._load()

    @property
    def connected(self) -> bool:
        """Whether the last question to the server was answered."""
        return self._connected

    def set_connected(self, connected: bool) -> bool:
        """Say so; return whether that is new."""
        with self._changed:
            changed, self._connected = connected != self._connected, connected
            self._changed.notify_all()
            return changed

    @property
    def quota_mb(self) -> int | None:
        """Quota of the local store as an AgentSettings rule says, in MB."""
        settings = [setting for content in self._typed for setting in content.settings]
        return AgentSettings.read(settings).max_disk_quota_mb

    def replace(self, contents: tuple[dict[str, Any], ...]) -> bool:
        """Take a new full list of rules; return whether it differs. It is on disk when this returns."""
        with self._changed:
            if contents == self._contents:
                return False
            self._write(contents)
            self._set(contents)
            self._render()
            self._changed.notify_all()
            return True

    def set_requests(self, requests: tuple[ServerRequest, ...]) -> tuple[ServerRequest, ...]:
        """Take the server's full list of pending requests; return those that are new."""
        with self._changed:
            new = tuple(r for r in requests if r.id not in self._requests)
            self._requests = {r.id: r for r in requests[:1000] if r.id not in self._results}
            self._delivered = {i: t for i, t in self._delivered.items() if i in self._requests}
            self._changed.notify_all()
            return new

    def answer(self, result: RequestResult) -> None:
        """Keep the answer to a request until it is passed on."""
        with self._changed:
            if self._requests.pop(result.id, None) is not None:
                self._results[result.id] = result
                self._changed.notify_all()

    def results(self) -> tuple[RequestResult, ...]:
        """Answers that are to be passed on."""
        with self._changed:
            return tuple(self._results.values())

    def wait_for_results(self, stop: threading.Event) -> None:
        """Wait until there is an answer to pass on, or `stop` is set."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or stop.is_set())

    def passed_on(self, request_id: str) -> None:
        """The server has the answer."""
        with self._changed:
            self._results.pop(request_id, None)

    def tagged_data(self, tag: str) -> tuple[str, str]:
        """Return version and TaggedData (JSON text) for the extension `tag`."""
        with self._changed:
            return _tagged_data(self._typed, tag, self._stream_pipes)

    def poll(
        self, tag: str, known: str, seconds: float, stop: threading.Event
    ) -> tuple[str, str | None, tuple[PendingRequest, ...], bool]:
        """Wait until the version is not `known`, a request is to be delivered, or the time is over.

        Returns version, TaggedData (None: unchanged), requests, and whether the server answers.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                version, text = _tagged_data(self._typed, tag, self._stream_pipes)
                due = self._due()
                left = deadline - time.monotonic()
                if version != known or due or left <= 0 or stop.is_set():
                    return version, None if version == known else text, due, self._connected
                self._changed.wait(min([left, *self._until_redelivery()]))

    def wake(self) -> None:
        """Let who waits notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def _until_redelivery(self) -> list[float]:
        now = time.monotonic()
        return [max(self._delivered[i] + _REDELIVER - now, 0.0) for i in self._requests if i in self._delivered]

    def _due(self) -> tuple[PendingRequest, ...]:
        now = time.monotonic()
        due = [r for r in self._requests.values() if now - self._delivered.get(r.id, -_REDELIVER) >= _REDELIVER]
        self._delivered.update((r.id, now) for r in due)
        return tuple(
            PendingRequest(id=r.id, request=r.request, kind=r.kind, rule=r.rule, document=r.document) for r in due
        )

    # --- on disk ---

    def _load(self) -> None:
        try:
            names = sorted(
                (n for n in os.listdir(self._chunks) if _CHUNK.match(n)), key=lambda name: int(name.partition(".")[0])
            )
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise StateError(f"cannot read {self._chunks}: {error.strerror}") from error
        contents: list[dict[str, Any]] = []
        for name in names:
            try:
                text = files.read(os.path.join(self._chunks, name)) or b""
                contents.append(msgspec.json.decode(text, type=dict[str, Any]))
            except (StateError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                _log.error("%s is damaged and left out until the server is asked: %s", name, error)
        self._set(tuple(contents))
        if names:
            self._render()

    def _set(self, contents: tuple[dict[str, Any], ...]) -> None:
        problems: list[str] = []
        self._contents = contents
        self._typed = tuple(decode_content(content, problems, f"[{i}]") for i, content in enumerate(contents))
        for problem in problems:
            _log.warning("configuration: %s", problem)

    def _write(self, contents: tuple[dict[str, Any], ...]) -> None:
        wanted = {f"{i + 1}.json" for i in range(len(contents))}
        for i, content in enumerate(contents):
            files.write_atomically(os.path.join(self._chunks, f"{i + 1}.json"), msgspec.json.encode(content))
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._chunks):
                if _CHUNK.match(name) and name not in wanted:
                    os.unlink(os.path.join(self._chunks, name))

    def _render(self) -> None:
        root = ElementTree.Element(
            "MonitoringManagement", version="1.0", timestamp=time_text(now_ns()), namespace="whatchanged"
        )
        for content in self._typed:
            for source in content.data_sources:
                element = ElementTree.SubElement(
                    root, "DataSource", id=source.id, kind=source.kind, extensionName=source.extension_name
                )
                for stream in source.streams:
                    ElementTree.SubElement(
                        element,
                        "Stream",
                        name=stream.stream,
                        outputStream=stream.extension_output_stream,
                        pipe="default_fluent.socket",
                    )
                for channel in source.send_to_channels:
                    ElementTree.SubElement(element, "Channel", id=channel)
            for target in content.channels:
                uri = target.endpoint or target.endpoint_uri_template
                ElementTree.SubElement(root, "Channel", id=target.id, protocol=target.protocol, uri=uri)
        ElementTree.SubElement(root, "LocalStore", maxDiskQuotaInMB=str(self.quota_mb or self._default_quota_mb))
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
        if self._is_rendered(text):
            return
        try:
            files.write_atomically(self._xml, f"<?xml version='1.0' encoding='utf-8'?>\n{text}".encode())
        except OperationError as error:  # a full or read-only disk does not keep the rules from holding
            _log.error("%s", error)

    def _is_rendered(self, text: str) -> bool:
        """Whether the file says the same already, apart from the time at which it was rendered."""
        try:
            found = (files.read(self._xml) or b"").decode().partition("\n")[2]
        except (StateError, UnicodeDecodeError):
            return False
        return _TIMESTAMP.sub("", found, count=1) == _TIMESTAMP.sub("", text, count=1)


def _tagged_data(contents: tuple[Content, ...], tag: str, stream_pipes: Mapping[str, str]) -> tuple[str, str]:
    extensions = tuple(
        _with_health(extension) for content in contents for extension in content.extension_configurations.get(tag, ())
    )
    pipes = {
        stream: OutputStream(named_pipe=stream_pipes.get(kind, ""))
        for extension in extensions
        for kind, stream in extension.output_streams.items()
    }
    data = TaggedData(extension_name=tag, extension_configurations=extensions, output_stream_definitions=pipes)
    version = hashlib.sha256(encode_tagged_data(data).encode()).hexdigest()[:32]
    data.version = version
    return version, encode_tagged_data(data)


def _with_health(extension: ExtensionConfiguration) -> ExtensionConfiguration:
    health = DataType.TRACKING_HEALTH.value
    streams = {**extension.output_streams}
    streams.setdefault(health, f"{extension.id}:{health}")
    return msgspec.structs.replace(extension, output_streams=streams)


class Fetcher:
    """Asks for the document; knows the ETag and where the control plane sent it."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self._etag = ""
        self._endpoint = ""
        self._for = ""
        self.news = False
        """Whether the last answer was another document than the one before."""

    def fetch(self, wait: float) -> tuple[tuple[dict[str, Any], ...], tuple[ServerRequest, ...]] | None:
        """Return rules and requests, None if nothing is new. Raises ServerError, WireError, CredentialError."""
        identity = self._client.identity()
        if self._for != identity.fingerprint:
            self._etag, self._endpoint, self._for = "", "", identity.fingerprint
        try:
            answer = self._redirected(identity.resource_id, wait)
        except OperationError:
            self._endpoint = ""  # who was sent elsewhere and finds nobody there asks the first address again
            raise
        self.news = False
        if answer.status_code == 304:
            return None
        if answer.status_code != 200:
            self._endpoint = ""
            raise RetryLater("no configuration", answer)
        decoded = decode_configurations(answer.content)
        for problem in decoded.problems:
            _log.warning("configuration: %s", problem)
        etag = answer.headers.get("etag", "")
        self.news, self._etag = etag != self._etag, etag
        return decoded.contents, decoded.document.requests

    def _redirected(self, resource_id: str, wait: float) -> httpx.Response:
        answer = self._ask(resource_id, wait)
        for _ in range(2):
            if answer.status_code != 421:
                break
            self._endpoint = answer.headers.get("x-ms-agent-config-endpoint", "").rstrip("/")
            answer = self._ask(resource_id, wait)
        return answer

    def forget(self) -> None:
        """Ask for everything again: the last answer could not be taken over."""
        self._etag = ""

    def _ask(self, resource_id: str, wait: float) -> httpx.Response:
        parameters = {
            "platform": _PLATFORM,
            "includeMeConfig": "true",
            "api-version": _API,
            "waitSeconds": f"{wait:.0f}",
        }
        headers = {"If-None-Match": self._etag} if self._etag else {}
        path = f"{self._endpoint}/api/v1{resource_id}/agentConfigurations"
        return self._client.request("GET", path, params=parameters, headers=headers, timeout=wait + 30)


def fetch(fetcher: Fetcher, configuration: Configuration, wait: float) -> tuple[bool, tuple[ServerRequest, ...]]:
    """Ask once and take over what is new; return whether the rules differ, and the new requests."""
    news = fetcher.fetch(wait)
    if news is None:
        return False, ()
    contents, requests = news
    try:
        return configuration.replace(contents), configuration.set_requests(requests)
    except OperationError:
        fetcher.forget()  # else the server would answer from now on that nothing is new
        raise


def pass_on_results(client: ServerClient, configuration: Configuration) -> None:
    """Give the server the answers of the tracker. Raises ServerError, CredentialError."""
    for result in configuration.results():
        resource = client.identity().resource_id
        answer = client.request(
            "POST",
            f"/api/v1{resource}/agentConfigurations/requests/{quote(result.id, safe='')}",
            json={"success": result.success, "result": result.result},
        )
        if answer.status_code >= 500 or answer.status_code == 429:
            raise RetryLater("the server does not take an answer now", answer)
        if answer.status_code >= 400:
            _log.error("the server refuses the answer to request %s: status %s", result.id, answer.status_code)
        configuration.passed_on(result.id)
