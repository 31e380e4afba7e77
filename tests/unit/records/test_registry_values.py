"""What a registry value's row says gives its name and data back, or carries them beside."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.records.items import RegistryItem
from whatchanged.records.keys import row_key
from whatchanged.records.registry_values import MAX_SHOWN, data_text, multi_text, string_text, type_name

ANY_NAME = st.text(st.characters(), max_size=8)  # halves of surrogate pairs, NUL and control characters too
DATA = st.binary(max_size=40) | ANY_NAME.map(lambda text: (text + "\0").encode("utf-16-le", "surrogatepass"))
KEY = "HKEY_LOCAL_MACHINE\\SOFTWARE"


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


@pytest.mark.parametrize(
    ("number", "data", "text", "exact"),
    [
        (1, wide("C:\\x\0"), "C:\\x", True),
        (2, wide("%a%\0"), "%a%", True),
        (1, wide("no end"), "no end", False),
        (1, wide("a\0b\0"), "a\ufffdb", False),
        (1, wide("line\nline\0"), "line\ufffdline", False),
        (1, b"", "", False),
        (6, wide("\\Registry\\Machine"), "\\Registry\\Machine", True),
        (7, wide("a\0b\0\0"), "a\\0b", True),
        (7, wide("a\0b\0"), "a\\0b", False),
        (7, wide("a\\0b\0\0"), "a\\0b", False),
        (7, wide("\0"), "", True),
        (4, b"\x2a\0\0\0", "42", True),
        (4, b"\xff\xff\xff\xff", "4294967295", True),
        (4, b"\1\2\3", "010203", False),
        (5, b"\0\0\0\x07", "7", True),
        (11, b"\0\0\0\0\1\0\0\0", "4294967296", True),
        (3, b"\xde\xad", "DEAD", True),
        (0, b"", "", True),
        (0xFFFF0012, b"\1", "01", True),
    ],
)
def test_data_as_text(number: int, data: bytes, text: str, *, exact: bool) -> None:
    assert data_text(number, data) == (text, exact)


def test_types_have_their_names() -> None:
    assert [type_name(number) for number in (0, 4, 7, 11)] == ["REG_NONE", "REG_DWORD", "REG_MULTI_SZ", "REG_QWORD"]
    assert type_name(0xFFFF0012) == "REG_0xFFFF0012"


def test_strings_end_at_their_first_nul() -> None:
    assert string_text(wide("a\0b")) == "a"
    assert multi_text(wide("a\0b\0\0c\0")) == ("a", "b")


@given(st.integers(0, 12) | st.integers(0, 2**32 - 1), DATA)
def test_every_data_can_be_had_back(number: int, data: bytes) -> None:
    columns = RegistryItem.of(KEY, "v", number, data).columns()
    text = str(columns.get("ValueData", ""))
    text.encode()
    if "ValueBytes" in columns:
        assert base64.b64decode(str(columns["ValueBytes"])) == data
    elif not data:
        assert text == ""
    elif number in (1, 2):
        assert (text + "\0").encode("utf-16-le") == data
    elif number in (4, 11):
        assert int(text).to_bytes(len(data), "little") == data
    elif number == 7:
        assert wide("".join(f"{part}\0" for part in text.split("\\0") if part) + "\0") == data
    elif number not in (5, 6):
        assert bytes.fromhex(text) == data


@given(ANY_NAME.map(lambda name: name.replace("\\", "")), ANY_NAME)
def test_the_row_names_its_value(key: str, name: str) -> None:
    item = RegistryItem.of(f"{KEY}\\{key}", name, 1, b"")
    row = item.columns() | {"ConfigChangeType": "Registry"}
    for text in row.values():
        str(text).encode()
    assert row_key(row) == (item.kind, item.key())


@given(st.lists(st.tuples(ANY_NAME, ANY_NAME), min_size=2, max_size=2, unique=True))
def test_different_names_are_different_items(names: list[tuple[str, str]]) -> None:
    one, other = (RegistryItem.of(f"{KEY}\\{key}", name, 1, b"") for key, name in names)
    assert one.key() != other.key()


def test_long_data_is_cut_and_its_change_is_seen() -> None:
    long = RegistryItem.of(KEY, "v", 3, bytes(MAX_SHOWN + 1))
    other = RegistryItem.of(KEY, "v", 3, bytes(MAX_SHOWN) + b"\1")
    assert long.data == other.data
    assert long.compared() != other.compared()
    text = str(long.columns()["ValueData"])
    assert f"({MAX_SHOWN + 1} bytes, SHA-256 " in text
    assert len(text) < 65_536


def test_a_secret_is_not_kept_and_its_change_is_seen() -> None:
    one, other = (RegistryItem.of(KEY, "v", 1, wide(word), secret=True) for word in ("hunter2", "hunter3"))
    assert b"hunter" not in one.data
    assert "hunter" not in str(one.columns())
    assert one.compared() != other.compared()
