"""The machine's UUID in SMBIOS tables, whole and broken."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.smbios import system_uuid

# DSP0134, §7.2.1: the example of the byte order.
STORED = bytes.fromhex("33221100554477668899AABBCCDDEEFF")
SHOWN = "00112233-4455-6677-8899-aabbccddeeff"
UNSWAPPED = "33221100-5544-7766-8899-aabbccddeeff"
BIOS = bytes([0, 24, 0, 0]) + b"\1" * 20 + b"Vendor\0Version\0\0"
END = bytes([127, 4, 0xFF, 0xFE]) + b"\0\0"


def system(identifier: bytes = STORED, strings: bytes = b"Maker\0\0") -> bytes:
    return bytes([1, 27, 1, 0]) + b"\1\2\3\4" + identifier + b"\6\5\6" + strings


def raw(*structures: bytes, version: tuple[int, int] = (2, 8)) -> bytes:
    table = b"".join(structures)
    return bytes([0, *version, 0]) + len(table).to_bytes(4, "little") + table


@pytest.mark.parametrize("version", [(2, 6), (2, 8), (3, 0), (3, 7)])
def test_the_first_three_fields_are_little_endian(version: tuple[int, int]) -> None:
    assert system_uuid(raw(BIOS, system(), END, version=version)) == SHOWN


@pytest.mark.parametrize("version", [(2, 1), (2, 5)])
def test_before_2_6_bytes_are_taken_as_they_stand(version: tuple[int, int]) -> None:
    assert system_uuid(raw(BIOS, system(), END, version=version)) == UNSWAPPED


def test_a_structure_without_strings_ends_with_two_nul() -> None:
    assert system_uuid(raw(bytes([2, 4, 0, 0]) + b"\0\0", system(strings=b"\0\0"), END)) == SHOWN


def test_the_table_needs_no_mark_of_its_end_nor_the_last_structure_its_strings() -> None:
    assert system_uuid(raw(BIOS, system())) == SHOWN
    assert system_uuid(raw(BIOS, system(strings=b""))) == SHOWN


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        raw()[:7],
        raw(),
        raw(BIOS, END),
        raw(END, system()),
        raw(BIOS, system(b"\0" * 16), END),
        raw(BIOS, system(b"\xff" * 16), END),
        raw(bytes([1, 8, 1, 0]) + b"\1\2\3\4" + b"\0\0", END),  # SMBIOS 2.0: without
        raw(bytes([1, 23, 1, 0]) + b"\1" * 19 + b"\0\0", END),
        raw(bytes([0, 3, 0, 0]) + b"\0\0", system()),  # shorter than its header
        raw(bytes([0, 255, 0, 0]) + b"\0\0", system()),  # longer than the table
        raw(BIOS.rstrip(b"\0") + b"\0", system()[:20]),
        raw(BIOS, system())[: 8 + len(BIOS) + 20],
        bytes(8) + BIOS + system(),  # a table of no length
    ],
)
def test_what_is_not_there_or_broken_is_none(broken: bytes) -> None:
    assert system_uuid(broken) == ""


@given(st.uuids(), st.lists(st.binary(min_size=1, max_size=20).filter(lambda s: b"\0" not in s), max_size=4))
def test_any_identifier_is_read_whatever_stands_before_it(identifier: uuid.UUID, strings: list[bytes]) -> None:
    before = bytes([4, 4, 0, 0]) + (b"".join(s + b"\0" for s in strings) or b"\0") + b"\0"
    expected = "" if identifier.int in (0, 2**128 - 1) else str(identifier)
    assert system_uuid(raw(before, system(identifier.bytes_le), END)) == expected


@given(st.binary(max_size=200))
def test_no_bytes_break_it(table: bytes) -> None:
    for said in (raw(table), table):
        found = system_uuid(said)
        assert not found or str(uuid.UUID(found)) == found


@given(st.integers(0, 255), st.data())
def test_a_table_that_was_cut_or_changed_gives_a_uuid_or_none(byte: int, data: st.DataObject) -> None:
    whole = bytearray(raw(BIOS, system(), END))
    whole[data.draw(st.integers(0, len(whole) - 1))] = byte
    found = system_uuid(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert not found or str(uuid.UUID(found)) == found
