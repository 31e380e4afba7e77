"""Hive files: what we read is what hivex reads, logs are taken in, and nothing that is broken breaks us."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import struct
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.collectors.conftest import needs
from integration.collectors.hives import (
    Content,
    Data,
    Values,
    base_block,
    by_hivex,
    by_us,
    differing,
    hive_of,
    key_record,
    laid_out,
    log_of,
    merge,
    old_log_of,
    sample_hives,
    sequenced,
    unpacked,
    walk,
    wide,
    written,
)
from whatchanged.collectors.registry.hive import Hive
from whatchanged.collectors.registry.hive_format import HiveError
from whatchanged.collectors.registry.hive_log import marvin32, open_hive_file

pytestmark = needs("hivexregedit")
real = pytest.mark.skipif(sample_hives() is None, reason="no real hives: WHATCHANGED_SAMPLE_HIVES names their folder")

CONTENT: Content = {
    "": {"at the root": "ö"},
    "Types": {
        "": "default",
        "none": (0, b""),
        "expand": (2, wide("%SystemRoot%\\x")),
        "binary": (3, bytes(range(256))),
        "dword": 42,
        "big": (5, b"\0\0\0\7"),
        "link": (6, "\\Registry\\Machine".encode("utf-16-le")),
        "multi": (7, wide("a") + wide("b") + b"\0\0"),
        "qword": (11, bytes(7) + b"\1"),
        "strange type": (0xFFFF0012, b"abc"),
        "odd dword": (4, b"\1\2\3"),
        "four": (3, b"1234"),
        "five": (3, b"12345"),
    },
    "Names\\Köln\\Ελλάδα\\東京": {'q"uo\\te': "x", "東": "京", "ß": "ss"},
    "Many": {f"value {number}": number for number in range(700)},
    **{f"Many\\key {number}": {"n": number} for number in range(1500)},
    "Long": {"16 K": (3, bytes(16_344)), "more": (3, b"ab" * 9_000)},
}


class Held:
    """Bytes in memory as a file."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.size = len(raw)

    def at(self, offset: int, length: int) -> bytes:
        return self._raw[offset : offset + length]


def read(raw: bytes, *logs: bytes) -> tuple[int, int, list[str]]:
    """Read all that can be read; return keys, values and what was damaged."""
    opened = open_hive_file(Held(raw), tuple(Held(log) for log in logs))
    damages: list[str] = []
    hive = Hive(opened.file, opened.base, lambda path, reason: damages.append(reason))
    keys = values = 0
    for key in walk(hive.root()):
        keys += 1
        values += sum(1 for _ in key.values())
        key.subkey("Types")
        key.value("dword")
    return keys, values, damages


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merge(tmp_path_factory.mktemp("hives") / "BUILT", CONTENT)


def test_every_type_and_name_is_read_as_hivex_reads_it(built: Path) -> None:
    ours = by_us(built)
    assert ours == by_hivex(built)
    assert ours["Types", "strange type"] == (0xFFFF0012, b"abc")
    assert ours["Names\\Köln\\Ελλάδα\\東京", "東"] == (1, wide("京"))
    assert sum(1 for key, _ in ours if key.startswith("Many\\key")) == 1500


def test_keys_and_values_are_found_by_name_in_any_case(built: Path) -> None:
    opened = open_hive_file(Held(built.read_bytes()))
    root = Hive(opened.file, opened.base, lambda path, reason: pytest.fail(reason)).root()
    many = root.subkey("mANY")
    assert many is not None
    found = many.subkey("KEY 1234")
    assert found is not None
    assert (found.path, found.name) == ("Many\\key 1234", "key 1234")
    assert (value := found.value("N")) is not None
    assert value.data == (1234).to_bytes(4, "little")
    assert many.subkey("key 1500") is None
    assert many.value("value 700") is None


def test_long_data_in_segments_is_read_as_hivex_reads_it(tmp_path: Path) -> None:
    """hivexregedit writes none, Windows does."""
    data = bytes(range(256)) * 160
    pieces = [data[start : start + 16_344] for start in range(0, len(data), 16_344)]
    places = [0x1000 + number * 0x5000 for number in range(len(pieces))]
    value = struct.pack("<2sHIIIHH", b"vk", 1, len(data), 0x200, 3, 1, 0) + b"v"
    bodies = {
        0x20: key_record("ROOT", 0, values=1, value_list=0x100),
        0x100: struct.pack("<I", 0x140),
        0x140: value,
        0x200: struct.pack("<2sHII", b"db", len(pieces), 0x240, 0),
        0x240: struct.pack(f"<{len(places)}I", *places),
        **{place: piece + bytes(4) for place, piece in zip(places, pieces, strict=True)},
    }
    hive = tmp_path / "SEGMENTS"
    hive.write_bytes(hive_of(laid_out(bodies), pages=20))
    assert by_us(hive) == by_hivex(hive) == {("", "v"): (3, data)}


@real
@pytest.mark.parametrize("name", ["NTUSER.DAT", "UsrClass.dat", "SYSTEM"])
def test_real_hives_are_read_as_hivex_reads_them(name: str, tmp_path: Path) -> None:
    hive = unpacked(name, tmp_path / name)
    assert by_us(hive) == by_hivex(hive)


@real
def test_a_real_dirty_hive_is_whole_with_its_logs(tmp_path: Path) -> None:
    hive = unpacked("transactions_NTUSER.DAT", tmp_path / "NTUSER.DAT")
    logs = [unpacked(f"transactions_ntuser.dat.log{n}", tmp_path / f"NTUSER.DAT.LOG{n}") for n in (1, 2)]
    without, recovered = by_us(hive), by_us(hive, *logs)
    assert len(recovered) > len(without)
    # The pages of the logs, written into a copy: hivex reads the same.
    opened = open_hive_file(Held(hive.read_bytes()), tuple(Held(log.read_bytes()) for log in logs))
    assert (opened.recovered, opened.trouble) == (23, "")
    whole = bytearray(opened.file.at(0, opened.base.cells_size + 4096))
    whole[40:44] = opened.base.cells_size.to_bytes(4, "little")
    copy = tmp_path / "copy"
    copy.write_bytes(base_block(bytes(whole[:512])) + whole[512:])
    assert recovered == by_hivex(copy)


@real
def test_a_real_corrupt_hive_gives_what_is_left(tmp_path: Path) -> None:
    hive = unpacked("corrupted_system_hive", tmp_path / "SYSTEM")
    damages: list[tuple[str, str]] = []
    found = by_us(hive, damages=damages)
    assert len(found) > 5_000
    assert len(damages) > 100


def _states(tmp_path: Path) -> tuple[bytes, bytes, Values]:
    """Return a hive, itself after more was written, and what it holds then."""
    before = merge(tmp_path / "H", {"A": {"n": 1}, "B": {"n": 2}})
    first = before.read_bytes()
    merge(before, {"A": {"n": 5}, "C\\D": {f"v{number}": "x" * 200 for number in range(100)}})
    return first, before.read_bytes(), by_hivex(before)


def test_a_dirty_hive_is_read_through_its_logs(tmp_path: Path) -> None:
    before, after, wanted = _states(tmp_path)
    changes = differing(before, after, 4096)
    assert len(changes) >= 3
    parts = [dict(list(changes.items())[start::3]) for start in range(3)]
    size = len(after) - 4096
    hive, one, two = tmp_path / "NTUSER.DAT", tmp_path / "LOG1", tmp_path / "LOG2"
    hive.write_bytes(sequenced(before, 8, 7))
    one.write_bytes(log_of(before, 9, parts[2], cells_size=size))
    two.write_bytes(log_of(before, 7, *parts[:2], cells_size=size))
    assert by_us(hive, one, two) == wanted
    # Written before the hive's own last write: not taken in a second time.
    hive.write_bytes(sequenced(before, 12, 11))
    opened = open_hive_file(Held(hive.read_bytes()), (Held(one.read_bytes()),))
    assert opened.recovered == 0
    assert "not closed cleanly" in opened.trouble


def test_an_entry_that_was_not_written_to_its_end_does_not_count(tmp_path: Path) -> None:
    before, after, _ = _states(tmp_path)
    log = bytearray(
        log_of(before, 7, {0: before[4096:8192]}, differing(before, after, 4096), cells_size=len(after) - 4096)
    )
    log[-600] ^= 1
    opened = open_hive_file(Held(sequenced(before, 8, 7)), (Held(bytes(log)),))
    assert opened.recovered == 1
    assert opened.base.cells_size == len(after) - 4096


def test_a_log_on_a_bad_sector_counts_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    before, after, _ = _states(tmp_path)
    log = log_of(before, 7, {0: before[4096:8192]}, differing(before, after, 4096), cells_size=len(after) - 4096)

    class Bad(Held):
        def at(self, offset: int, length: int) -> bytes:
            if offset + length > len(log) - 512:
                raise OSError(5, "Input/output error")
            return super().at(offset, length)

    opened = open_hive_file(Held(sequenced(before, 8, 7)), (Bad(log),))
    assert opened.recovered == 1
    assert "EIO" in opened.trouble


def test_a_hive_whose_base_block_is_torn_takes_the_copy_in_its_log(tmp_path: Path) -> None:
    before, after, wanted = _states(tmp_path)
    torn = bytearray(sequenced(before, 8, 7))
    torn[100:110] = b"0123456789"
    (tmp_path / "TORN").write_bytes(torn)
    (tmp_path / "LOG1").write_bytes(log_of(before, 7, differing(before, after, 4096), cells_size=len(after) - 4096))
    assert by_us(tmp_path / "TORN", tmp_path / "LOG1") == wanted
    with pytest.raises(HiveError, match="checksum is wrong, and no log"):
        open_hive_file(Held(bytes(torn)))


def test_a_log_of_windows_7_is_taken_in(tmp_path: Path) -> None:
    before = merge(tmp_path / "H", {"A": {"n": 1, "m": 2}})
    first = before.read_bytes()
    merge(before, {"A": {"n": 3, "m": 4, "o": 5}})
    after = before.read_bytes()
    hive, log = tmp_path / "OLD", tmp_path / "OLD.LOG"
    hive.write_bytes(sequenced(first, 8, 7))
    log.write_bytes(old_log_of(first, 8, differing(first, after, 512), cells_size=len(after) - 4096))
    assert by_us(hive, log) == by_hivex(before)


def test_the_hash_of_entries_is_marvin32() -> None:
    # From the tests of dotnet/runtime (MarvinTests), which implement the same function.
    assert marvin32(b"", 0x004FB61A001BDBCC) == 0x30ED35C100CD3C7D
    assert marvin32(b"\xaf", 0x004FB61A001BDBCC) == 0x48E73FC77D75DDC1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no registry hive"),
        (b"SQLite format 3\0" * 300, "no registry hive"),
        (b"regf" + bytes(600), "version 0.0"),
        (base_block(b"regf" + bytes(16) + struct.pack("<IIIIII", 1, 5, 6, 1, 32, 4096)), "log of a hive"),
    ],
)
def test_what_is_no_hive_is_told(raw: bytes, reason: str) -> None:
    with pytest.raises(HiveError, match=reason):
        open_hive_file(Held(raw))


def test_keys_in_a_circle_and_lists_of_lists_end_soon(tmp_path: Path) -> None:
    """Forged: a thousand times a list of five hundred times one key, which has that list itself."""
    bodies = {
        0x20: key_record("ROOT", 0, keys=500_000, key_list=0x400),
        0x120: key_record("X", 0x20, keys=500_000, key_list=0x400),
        0x400: b"ri" + struct.pack("<H", 1000) + struct.pack("<I", 0x1800) * 1000,
        0x1800: b"lh" + struct.pack("<H", 500) + struct.pack("<II", 0x120, 0) * 500,
    }
    raw = hive_of(laid_out(bodies), pages=3)
    tracemalloc.start()
    try:
        damages = _damages(raw)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert any("belongs elsewhere" in reason for reason in damages)
    assert any("again and again" in reason for reason in damages)


def _damages(raw: bytes) -> set[str]:
    opened = open_hive_file(Held(raw))
    damages: set[str] = set()
    root = Hive(opened.file, opened.base, lambda path, reason: damages.add(reason)).root()
    waiting = [root.subkeys()]
    while waiting:
        key = next(waiting[-1], None)
        if key is None:
            waiting.pop()
        else:
            waiting.append(key.subkeys())
    return damages


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=60),
    cut=st.integers(0, 2**32),
)
def test_a_corrupt_hive_is_read_as_far_as_it_goes(small: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(small)
    for place, byte in changes:
        raw[4096 + place % (len(raw) - 4096)] = byte
    if cut % 4 == 0:
        del raw[4096 + cut % (len(raw) - 4096) :]
    try:
        keys, _, _ = read(bytes(raw))
    except HiveError:
        return  # the root key itself
    assert keys <= 2_000


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), max_size=8), cut=st.integers(0, 2**32))
def test_a_corrupt_log_does_no_harm(small: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    log = bytearray(log_of(small, 7, {0: small[4096:8192]}, {4096: small[8192:12288]}))
    for place, byte in changes:
        log[place % len(log)] = byte
    whole = read(small)
    assert read(sequenced(small, 8, 7), bytes(log[: cut % len(log)])) == whole


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kept: dict[str, Mapping[str, Data]] = {key: value for key, value in CONTENT.items() if not key.startswith("Many")}
    kept |= {f"Some\\key {number}": {"n": number, "text": "text"} for number in range(100)}
    return merge(tmp_path_factory.mktemp("hives") / "SMALL", kept).read_bytes()


def test_a_disk_that_cannot_be_read_here_and_there(built: Path) -> None:
    raw = built.read_bytes()

    class Bad(Held):
        def at(self, offset: int, length: int) -> bytes:
            if offset == 65_536:
                raise OSError(5, "Input/output error")
            return super().at(offset, length)

    opened = open_hive_file(Bad(raw))
    damages: list[str] = []
    hive = Hive(opened.file, opened.base, lambda path, reason: damages.append(reason))
    assert 0 < sum(1 for _ in walk(hive.root())) < 1_507
    assert any("Input/output error" in reason for reason in damages)


def test_hives_that_tests_write_themselves_are_what_hivex_reads(tmp_path: Path) -> None:
    content: Content = {
        "": {"": "default", "größe": 7},
        "Software\\One": {"text": "long enough", "bytes": (3, b"abc"), "none": (0, b"")},
        "Software\\Two\\Inner": {f"v{number}": "x" * number for number in range(300)},
        **{f"Software\\Many\\k{number}": {"n": number} for number in range(300)},
    }
    hive = tmp_path / "hive"
    hive.write_bytes(written(content))
    expected = {(key, name) for key, values in content.items() for name in values}
    assert by_hivex(hive) == by_us(hive)
    assert set(by_us(hive)) == expected
