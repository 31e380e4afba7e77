"""Key and digest must come out alike from an item and from its row as it travels."""

import base64
import hashlib
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RecordError
from whatchanged.records.items import DaemonItem, FileItem, Item, Kind, SoftwareItem, clean_text
from whatchanged.records.keys import DIGEST_SIZE, checksum, item_digest, row_key

PARTS = st.binary(min_size=1, max_size=12).filter(lambda b: not set(b) & set(b"/\0"))
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAMES = TEXT.filter(bool)
FILES = st.builds(
    FileItem,
    path=PATHS,
    mode=st.integers(0, 0o177777),
    size=st.integers(0, 2**63 - 1),
    modified_ns=st.integers(-(2**70), 2**70),
    created_ns=st.none() | st.integers(0, 2**62),
    owner=TEXT,
    group=TEXT,
    acl=TEXT,
    sha256=st.just(b"") | st.binary(min_size=32, max_size=32),
    link_target=st.none() | PATHS,
)
SOFTWARE = st.builds(
    SoftwareItem,
    name=NAMES,
    version=TEXT,
    architecture=TEXT,
    source=TEXT,
    publisher=TEXT,
    description=TEXT,
    instance=TEXT,
    installed_ns=st.none() | st.integers(0, 2**62),
    size=st.none() | st.integers(0, 2**63 - 1),
    purl=TEXT,
)
DAEMONS = st.builds(DaemonItem, name=NAMES, description=TEXT, path=TEXT, account=TEXT, runlevels=TEXT)
ITEMS: st.SearchStrategy[Item] = st.one_of(FILES, SOFTWARE, DAEMONS)


@given(ITEMS)
def test_the_row_names_its_item(item: Item) -> None:
    row = item.columns() | {"ConfigDataType": item.kind.value}
    assert row_key(row) == (item.kind, item.key())


@given(ITEMS)
def test_the_row_survives_json_and_keeps_key_and_digest(item: Item) -> None:
    row = item.columns() | {"ConfigDataType": item.kind.value}
    arrived = msgspec.json.decode(msgspec.json.encode(row))
    assert row_key(arrived) == (item.kind, item.key())
    assert item_digest(arrived) == item_digest(row)
    assert len(item_digest(row)) == DIGEST_SIZE


@given(ITEMS)
def test_how_a_row_travelled_does_not_count(item: Item) -> None:
    row = item.columns()
    travelled = row | {
        "TimeGenerated": "2026-01-01T00:00:00.0000000Z", "Sequence": 7, "Epoch": "x", "Stream": "s", "RuleName": "r",
        "Computer": "c", "_ResourceId": "/x", "Publisher": row.get("Publisher", ""), "_Stream": "x", "_Sequence": 7,
    }  # fmt: skip
    assert item_digest(travelled) == item_digest(row)
    assert item_digest(dict(reversed(row.items()))) == item_digest(row)


@given(FILES, FILES)
def test_other_facts_other_digest(one: FileItem, other: FileItem) -> None:
    assert (item_digest(one.columns()) == item_digest(other.columns())) == (one.columns() == other.columns())


@given(PATHS)
def test_exact_bytes_are_kept_and_readable_text_is_clean(path: bytes) -> None:
    columns = FileItem(path=path, mode=0).columns()
    if "PathBytes" in columns:
        assert base64.b64decode(str(columns["PathBytes"])) == path
        assert clean_text(path) is None
    else:
        assert str(columns["FileSystemPath"]).encode() == path
    str(columns["FileSystemPath"]).encode()


@given(st.binary(max_size=20))
def test_clean_text_is_lossless_or_nothing(raw: bytes) -> None:
    text = clean_text(raw)
    if text is not None:
        assert text.encode() == raw
        assert not any(unicodedata.category(c) == "Cc" for c in text)


@pytest.mark.parametrize("raw", [b"\n", b"a\x1b[31m", b"\x7f", b"\xc2\x9b", b"\xff", b"\xed\xa0\x80", b"\0"])
def test_what_is_not_clean(raw: bytes) -> None:
    assert clean_text(raw) is None


@given(st.dictionaries(st.binary(max_size=8), st.binary(min_size=16, max_size=16)))
def test_checksum_is_what_the_format_says(pairs: dict[bytes, bytes]) -> None:
    ordered = sorted(pairs.items())
    content = b"".join(len(k).to_bytes(4, "big") + k + d for k, d in ordered)
    assert checksum(ordered) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"ConfigDataType": "Nope"},
        {"ConfigDataType": "Files"},
        {"ConfigDataType": "Files", "PathBytes": "%%"},
        {"ConfigDataType": "Files", "PathBytes": "Zé=="},
        {"ConfigDataType": "Software", "SoftwareName": ""},
        {"ConfigDataType": "Daemons", "SvcName": None},
        {"ConfigDataType": "Registry"},
        {"ConfigDataType": "Files", "FileSystemPath": "/\ud800"},
        {"ConfigDataType": "Software", "SoftwareName": "\ud800"},
    ],
)
def test_rows_that_name_nothing_are_refused(row: dict[str, str | None]) -> None:
    with pytest.raises(RecordError):
        row_key(row)


def test_kinds_without_items_of_their_own() -> None:
    assert row_key({"ConfigChangeType": "Registry", "RegistryKey": "HKEY_LOCAL_MACHINE\\A", "ValueName": "v"}) == (
        Kind.REGISTRY,
        b"HKEY_LOCAL_MACHINE\\A\0v",
    )
    assert row_key({"ConfigDataType": "WindowsServices", "SvcName": "s"}) == (Kind.WINDOWS_SERVICES, b"s")
