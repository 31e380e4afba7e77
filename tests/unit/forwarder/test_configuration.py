"""The configuration of the forwarder: what could not be written is asked for again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from whatchanged.errors import StateError
from whatchanged.forwarder.configuration import Configuration, Fetcher, fetch
from whatchanged.settings import DataFolder


class Answering(Fetcher):
    """The server's answers: a document, and that nothing is new for who has its ETag."""

    def __init__(self) -> None:
        self._etag = ""

    def fetch(self, wait: float) -> Any:
        if self._etag == "1":
            return None
        self._etag = "1"
        return ({},), ()


def test_a_configuration_that_could_not_be_written_is_asked_for_again(tmp_path: Path) -> None:
    configuration = Configuration(DataFolder(str(tmp_path)), 10)
    chunks = tmp_path / "forwarder" / "mcs" / "configchunks"
    chunks.parent.mkdir(parents=True)
    chunks.touch()  # in the way
    fetcher = Answering()
    with pytest.raises(StateError):
        fetch(fetcher, configuration, 0)
    chunks.unlink()
    assert fetch(fetcher, configuration, 0)[0]
    assert os.listdir(chunks) == ["1.json"]
    assert fetch(fetcher, configuration, 0) == (False, ())


CONTENT = {
    "dataSources": [{"id": "CT\0\x1b", "configuration": {"extensionName": "ChangeTracking-Linux"}}],
    "extensionConfigurations": {"ChangeTracking-Linux": [{"id": "dcr-1:CT"}]},
}


@pytest.fixture
def mcs(tmp_path: Path) -> Path:
    """What a forwarder with one rule has left."""
    Configuration(DataFolder(str(tmp_path)), 10).replace((CONTENT,))
    return tmp_path / "forwarder" / "mcs"


def rules(tmp_path: Path) -> list[str]:
    text = Configuration(DataFolder(str(tmp_path)), 10).tagged_data("ChangeTracking-Linux")[1]
    return [extension["id"] for extension in json.loads(text)["extensionConfigurations"]]


@pytest.mark.parametrize("broken", [None, b"<", b"\xff", b"", b"<?xml version='1.0' encoding='x-none'?>\n<a/>"])
def test_the_rendered_document_is_rendered_anew(broken: bytes | None, mcs: Path, tmp_path: Path) -> None:
    xml = mcs / "mcsconfig.latest.xml"
    if broken is None:
        xml.unlink()
    else:
        xml.write_bytes(broken)
    assert rules(tmp_path) == ["dcr-1:CT"]
    root = ElementTree.fromstring(xml.read_bytes())  # noqa: S314 - our own
    assert root.tag == "MonitoringManagement"
    assert root[0].attrib["extensionName"] == "ChangeTracking-Linux"
    before = xml.stat().st_ino
    assert rules(tmp_path) == ["dcr-1:CT"]
    assert xml.stat().st_ino == before  # it says the same


def test_a_document_older_than_the_chunks_is_rendered_anew(mcs: Path, tmp_path: Path) -> None:
    # Died between the chunks and the document.
    (mcs / "configchunks" / "2.json").write_text(json.dumps({"kind": "AgentSettings", "settings": [
        {"name": "MaxDiskQuotaInMB", "value": "5000"}]}))  # fmt: skip
    configuration = Configuration(DataFolder(str(tmp_path)), 10)
    assert configuration.quota_mb == 5000
    assert 'maxDiskQuotaInMB="5000"' in (mcs / "mcsconfig.latest.xml").read_text()


@pytest.mark.parametrize("damage", [b"{", b'{"a":"\xff"}', b"[" * 100_000, b"[]", None])
def test_a_damaged_chunk_is_left_out(damage: bytes | None, mcs: Path, tmp_path: Path) -> None:
    chunk = mcs / "configchunks" / "2.json"
    if damage is None:
        chunk.mkdir()
    else:
        chunk.write_bytes(damage)
    assert rules(tmp_path) == ["dcr-1:CT"]


def test_a_document_in_whose_place_nothing_can_be_written_stops_nobody(mcs: Path, tmp_path: Path) -> None:
    (mcs / "mcsconfig.latest.xml").unlink()
    (mcs / "mcsconfig.latest.xml").mkdir()
    (mcs / "mcsconfig.latest.xml" / "x").touch()
    assert rules(tmp_path) == ["dcr-1:CT"]
