"""The binary formats of rpm's databases: written from their documents, and with anything at all in their place."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.collectors.package_files import ARCH, NAME, PROVIDES, RELEASE, SUMMARY, VERSION, bdb, ndb, package, rpm_header
from whatchanged.collectors.software.os_release import Distribution
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.page_reader import BytesReader, Reader
from whatchanged.collectors.software.rpm import rpm_item
from whatchanged.collectors.software.rpm_bdb import bdb_values
from whatchanged.collectors.software.rpm_header import read_files, read_header
from whatchanged.collectors.software.rpm_ndb import ndb_blobs
from whatchanged.collectors.software.sqlite_wal import committed

Blobs = Callable[[Reader], Iterator[bytes | PackageDatabaseError]]
DATABASES: list[tuple[str, Callable[[list[bytes]], bytes], Blobs]] = [
    ("ndb", ndb, ndb_blobs),
    ("bdb, little endian", bdb, bdb_values),
    ("bdb, big endian", lambda blobs: bdb(blobs, ">"), bdb_values),
    ("bdb, large pages", lambda blobs: bdb(blobs, "<", 4096), bdb_values),
]
DATABASE = pytest.mark.parametrize(("write", "read"), [d[1:] for d in DATABASES], ids=[d[0] for d in DATABASES])
SECONDS = 2.0
"""Longer, and a parser is caught in a circle."""


def test_header() -> None:
    blob = package(
        "bash",
        "5.2",
        "3",
        EPOCH=4,
        SUMMARY="Shell ü",
        VENDOR="ACME",
        PACKAGER="Jane",
        INSTALL_TIME=1_700_000_000,
        SIZE=7,
        LONG_SIZE=2**33,
        PROVIDES=["bash", "sh"],
        DIR_NAMES=["/usr/lib/python3/x.dist-info/", "/usr/bin/"],
        BASE_NAMES=["bash", "METADATA", "RECORD"],
        DIR_INDEXES=[1, 0, 0],
    )
    header = read_header(blob)
    assert (header.name, header.evr, header.architecture, header.summary) == ("bash", "4:5.2-3", "noarch", "Shell ü")
    assert (header.size, header.installed) == (2**33, 1_700_000_000)
    assert header.provides == {"bash", "sh"}
    assert header.metadata_files == {b"/usr/lib/python3/x.dist-info/METADATA"}
    item = rpm_item(header, Distribution("rhel", "9.4"))
    assert item.publisher == "ACME"
    assert item.purl == "pkg:rpm/redhat/bash@5.2-3?arch=noarch&distro=rhel-9.4&epoch=4"


def test_what_is_missing_stays_empty() -> None:
    header = read_header(package("a"))
    item = rpm_item(header, Distribution())
    assert item.version == "1-1"
    assert (item.publisher, item.description, item.installed_ns, item.size, item.purl) == ("", "", None, None, "")
    assert read_header(package("a", EPOCH=0)).evr == "0:1-1"
    assert rpm_item(read_header(package("a", PACKAGER="Jane")), Distribution()).publisher == "Jane"


def test_packages_that_stand_side_by_side_have_their_version_in_their_key() -> None:
    one, two = (
        rpm_item(read_header(package("kernel-core", v, PROVIDES=["installonlypkg(kernel)"])), Distribution())
        for v in "12"
    )
    assert one.key() != two.key()
    assert one.location() == "rpm/1-1"
    one, two = (rpm_item(read_header(package("bash", v, PROVIDES=["bash"])), Distribution()) for v in "12")
    assert one.key() == two.key()


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        bytes(8),
        struct.pack(">II", 0xFFFFFFFF, 0),
        struct.pack(">II", 1, 0xFFFFFFFF) + bytes(16),
        rpm_header({VERSION: "1"}),
        rpm_header({NAME: "", VERSION: "1"}),
        rpm_header({NAME: 7}),
        rpm_header({NAME: "a"})[:-1],
        struct.pack(">IIiIiI", 1, 4, NAME, 6, -1, 1) + b"abc\0",
        struct.pack(">IIiIiI", 1, 4, NAME, 6, 4, 1) + b"abc\0",
        struct.pack(">IIiIiI", 1, 4, NAME, 6, 0, 1) + b"abcd",
        struct.pack(">IIiIiIiIiI", 2, 4, NAME, 6, 0, 1, PROVIDES, 8, 0, 0xFFFFFFFF) + b"abc\0",
    ],
)
def test_headers_that_are_none(blob: bytes) -> None:
    with pytest.raises(PackageDatabaseError):
        read_header(blob)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_header_or_an_error(blob: bytes) -> None:
    for read in (read_header, read_files):
        with contextlib.suppress(PackageDatabaseError):
            read(blob)


@given(st.data())
def test_a_damaged_header_is_a_header_or_an_error(data: st.DataObject) -> None:
    blob = bytearray(
        package("bash", PROVIDES=["a", "b"], EPOCH=1, DIR_NAMES=["/"], BASE_NAMES=["METADATA"], DIR_INDEXES=[0])
    )
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(blob[: data.draw(st.integers(0, len(blob)))])
    with contextlib.suppress(PackageDatabaseError):
        assert {len(digest) for _, digest in read_files(cut)} <= {0, 32}
    try:
        header = read_header(cut)
    except PackageDatabaseError:
        return
    assert header.name


TAGS = st.sampled_from([VERSION, RELEASE, ARCH, SUMMARY])
TEXTS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.dictionaries(TAGS, TEXTS), TEXTS.filter(bool), st.lists(TEXTS, min_size=1, max_size=5))
def test_headers_come_back_as_they_were_written(texts: dict[int, str], name: str, provides: list[str]) -> None:
    header = read_header(rpm_header({NAME: name, **texts, PROVIDES: provides}))
    assert (header.name, header.summary) == (name, texts.get(SUMMARY, ""))
    assert header.provides == frozenset(provides)


BLOBS = [package("a"), package("b", SUMMARY="x" * 10_000), package("c")]


@DATABASE
def test_values_come_back_as_they_were_written(write: Callable[[list[bytes]], bytes], read: Blobs) -> None:
    assert sorted(map(_blob, read(BytesReader(write(BLOBS))))) == sorted(BLOBS)
    assert list(read(BytesReader(write([])))) == []


def _blob(found: bytes | PackageDatabaseError) -> bytes:
    assert isinstance(found, bytes), found
    return found


def _read_within(read: Blobs, raw: bytes) -> list[bytes | PackageDatabaseError]:
    """Read it all; damage must neither raise anything else, nor be followed in circles, nor make more than there is."""
    started = time.monotonic()
    found: list[bytes | PackageDatabaseError] = []
    try:
        for blob in read(BytesReader(raw)):
            found.append(blob)
            assert len(found) <= len(raw)
            assert time.monotonic() - started < SECONDS
    except PackageDatabaseError as error:
        found.append(error)
    assert all(len(blob) <= len(raw) for blob in found if isinstance(blob, bytes))
    return found


@DATABASE
@given(raw=st.binary(max_size=1200))
def test_any_bytes_are_survived(write: Callable[[list[bytes]], bytes], read: Blobs, raw: bytes) -> None:
    _read_within(read, raw)
    sound = write(BLOBS)
    _read_within(read, sound[: len(raw)] + raw)
    _read_within(read, raw + sound[len(raw) :])


@DATABASE
@settings(max_examples=300)
@given(data=st.data())
def test_damage_is_survived(write: Callable[[list[bytes]], bytes], read: Blobs, data: st.DataObject) -> None:
    raw = bytearray(write(BLOBS))
    # Numbers in the structures more often than bytes of the values.
    places = (
        st.integers(0, len(raw) - 4)
        | st.integers(0, 160)
        | st.integers(0, len(raw) // 512 - 1).map(lambda n: n * 512 + 16)
    )
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(places)
        number = data.draw(st.sampled_from([0, 1, 2, 3, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(0, 2**32 - 1))
        struct.pack_into(data.draw(st.sampled_from(["<I", ">I"])), raw, place, number)
    _read_within(read, bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, len(raw) - 1]))]))


def test_ndb_damage_to_one_package_is_told_of_that_package() -> None:
    raw = bytearray(ndb(BLOBS))
    raw[raw.index(b"BlbS") + 40] ^= 1
    found = list(ndb_blobs(BytesReader(bytes(raw))))
    assert [isinstance(blob, PackageDatabaseError) for blob in found] == [True, False, False]
    assert "package 1: wrong checksum" in str(found[0])


def test_bdb_pages_in_a_circle() -> None:
    raw = bytearray(bdb(BLOBS))
    struct.pack_into("<I", raw, 512 + 16, 2)  # page 1, the first bucket, continues on page 2, the second
    with pytest.raises(PackageDatabaseError, match="two chains"):
        list(bdb_values(BytesReader(bytes(raw))))


@given(st.binary(max_size=600))
def test_any_bytes_are_a_log_or_none(raw: bytes) -> None:
    assert committed(BytesReader(raw)) is None
    assert committed(BytesReader(struct.pack(">III", 0x377F0682, 3007000, 512) + raw)) is None
