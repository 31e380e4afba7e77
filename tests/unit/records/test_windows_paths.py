"""Windows paths as they are carried and as people write them; items of files that have them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RecordError
from whatchanged.records.items import FileItem, Kind
from whatchanged.records.keys import row_key
from whatchanged.records.windows_paths import carried, is_windows, shown

PAIRS = [
    (r"C:\a\b.txt", b"/C:/a/b.txt"),
    ("C:\\", b"/C:/"),
    (r"\\server\share\a", b"/UNC/server/share/a"),
    (r"\\?\Volume{1-2}\a", b"/Volume{1-2}/a"),
]


@pytest.mark.parametrize(("text", "raw"), PAIRS)
def test_both_forms_say_the_same(text: str, raw: bytes) -> None:
    assert carried(text.encode()) == raw
    assert shown(raw).decode() == text
    assert is_windows(text.encode())
    assert not is_windows(raw)


@pytest.mark.parametrize(
    ("text", "raw"),
    [(r"c:/a\b", b"/C:/a/b"), (r"\\?\UNC\s\h\x", b"/UNC/s/h/x"), (r"\??\d:\x", b"/D:/x"), (r"\\?\C:\x", b"/C:/x")],
)
def test_other_spellings(text: str, raw: bytes) -> None:
    assert carried(text.encode()) == raw


@pytest.mark.parametrize("text", ["", "x", r"C:x", r"\x", r"\\.\COM1", r"\\server", r"\??\PIPE\x", "/etc", "Ä:\\x"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match=r"names a device|no absolute"):
        carried(text.encode())


@given(st.lists(st.text(st.characters(exclude_characters="/\\\0"), min_size=1), min_size=1))
def test_every_path_comes_back_from_its_row(names: list[str]) -> None:
    path = "/".join(["/C:", *names]).encode("utf-8", "surrogatepass")
    item = FileItem(path=path, mode=0o100000, file_attributes=0x20)
    row = item.columns()
    assert row_key({**row, "ConfigDataType": "Files"}) == (Kind.FILES, path)


def test_half_a_pair_is_shown_escaped_and_carried_exactly() -> None:
    item = FileItem(path="/C:/half\ud800".encode("utf-8", "surrogatepass"), mode=0o100000, file_attributes=0)
    row = item.columns()
    assert row["FileSystemPath"] == "C:\\half\ufffd\ufffd\ufffd"
    assert base64.b64decode(str(row["PathBytes"])) == b"C:\\half\xed\xa0\x80"


def test_what_a_row_says_of_attributes_streams_and_access() -> None:
    item = FileItem(
        path=b"/C:/a", mode=0o100000, file_attributes=0x23, acl="O:BAG:SYD:(A;;FA;;;BA)", streams=((b"Zone\x1b", 26),)
    )
    row = item.columns()
    assert row["Attributes"] == "ReadOnly, Hidden, Archive; streams: Zone\x1b (26)"
    assert row["Acls"] == "O:BAG:SYD:(A;;FA;;;BA)"
    assert FileItem(path=b"/C:/a", mode=0o100000, file_attributes=0).columns()["Attributes"] == "Normal"
    link = FileItem(path=b"/C:/a", mode=0o120000, file_attributes=0x410, link_target=b"/D:/x/y", link_mode=0o120000)
    assert link.columns()["Attributes"] == "Directory, ReparsePoint -> D:\\x\\y"
    many = FileItem(path=b"/C:/a", mode=0o100000, file_attributes=0, streams=tuple((b"%d" % n, n) for n in range(22)))
    assert str(many.columns()["Attributes"]).endswith("19 (19), 2 more")


def test_streams_and_attributes_are_compared() -> None:
    bare = FileItem(path=b"/C:/a", mode=0o100000, file_attributes=0x20)
    hidden = FileItem(path=b"/C:/a", mode=0o100000, file_attributes=0x22)
    marked = FileItem(path=b"/C:/a", mode=0o100000, file_attributes=0x20, streams=((b"x", 1),))
    assert len({str(item.compared()["Attributes"]) for item in (bare, hidden, marked)}) == 3


def test_a_row_that_names_a_device_is_refused() -> None:
    with pytest.raises(RecordError):
        row_key({"ConfigDataType": "Files", "FileSystemPath": r"\\.\PhysicalDrive0"})
