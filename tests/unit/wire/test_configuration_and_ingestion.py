"""The document of agentConfigurations, and the bodies of uploads."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import LimitExceeded, WireError
from whatchanged.wire import configuration, ingestion


def test_a_document_is_read_as_it_is_written() -> None:
    content = configuration.Content(data_sources=(configuration.DataSource(id="d"),))
    document = configuration.AgentConfigurations(
        configurations=(configuration.Configuration(configuration_id="dcr-1", etag="1", content=content),),
        requests=(configuration.ServerRequest(id="r", request="scan"),),
    )
    decoded = configuration.decode_configurations(configuration.encode_configurations(document))
    assert (decoded.document, decoded.problems) == (document, ())


def test_parts_that_cannot_be_read_are_left_out_and_named() -> None:
    raw = {
        "configurations": [
            5,
            {"content": {"dataSources": [{"id": "good", "kind": "syslog"}, {"no": "id"}]}},
            {"kind": "AgentSettings", "content": {"settings": [{"name": "MaxDiskQuotaInMB", "value": "5000"}]}},
        ],
        "requests": [{"id": "1", "request": "rm -rf"}],
        "unknown": {},
    }
    decoded = configuration.decode_configurations(json.dumps(raw).encode())
    assert [s.id for c in decoded.document.configurations for s in c.content.data_sources] == ["good"]
    assert decoded.document.requests == ()
    assert len(decoded.problems) == 2
    settings = decoded.document.configurations[1].content.settings
    assert configuration.AgentSettings.read(settings).max_disk_quota_mb == 5000
    assert configuration.decode_configurations(b"{}").document == configuration.AgentConfigurations()


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), lambda i: st.lists(i) | st.dictionaries(
    st.sampled_from(["configurations", "content", "dataSources", "settings", "requests", "id"]), i), max_leaves=8
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_document_is_read_or_a_wire_error(data: bytes) -> None:
    try:
        configuration.decode_configurations(data)
    except WireError:
        return


def test_bodies_are_decoded_within_bounds() -> None:
    body = ingestion.encode_batch([{"a": "\udcff"}, {"b": 1}])
    assert json.loads(ingestion.decompress(body, "gzip")) == [{"a": "\ufffd"}, {"b": 1}]
    assert ingestion.decompress(zlib.compress(b"[]"), "deflate") == b"[]"
    assert ingestion.decompress(b"[]", "") == b"[]"
    with pytest.raises(LimitExceeded):
        ingestion.decompress(gzip.compress(bytes(10_000_000)), "gzip", 1000)
    for wrong, encoding in ((b"x", "gzip"), (body[:-5], "gzip"), (b"[]", "br")):
        with pytest.raises(WireError):
            ingestion.decompress(wrong, encoding)
