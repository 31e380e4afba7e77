"""The registry of the running system, written by winreg and read by ours."""

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import time
import uuid
import winreg
from collections.abc import Iterator
from typing import Any

import pytest
import win32api

from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.collectors.registry.source import MACHINE, USERS, RegistryKey, RegistryValue

VALUES: list[tuple[str, int, Any, bytes]] = [
    ("", winreg.REG_SZ, "default", "default\0".encode("utf-16-le")),
    ("text", winreg.REG_SZ, "grüße \U0001f600", "grüße \U0001f600\0".encode("utf-16-le")),
    ("expand", winreg.REG_EXPAND_SZ, r"%SystemRoot%\x", "%SystemRoot%\\x\0".encode("utf-16-le")),
    ("number", winreg.REG_DWORD, 4_294_967_295, b"\xff\xff\xff\xff"),
    ("big end", winreg.REG_DWORD_BIG_ENDIAN, b"\x01\x02\x03\x04", b"\x01\x02\x03\x04"),
    ("long", winreg.REG_QWORD, 2**63, b"\0\0\0\0\0\0\0\x80"),
    ("list", winreg.REG_MULTI_SZ, ["a", "b"], "a\0b\0\0".encode("utf-16-le")),
    ("bytes", winreg.REG_BINARY, bytes(range(256)) * 40, bytes(range(256)) * 40),
    ("none", winreg.REG_NONE, b"", b""),
    ("other type", 0xFFFF0012, b"\x01", b"\x01"),
]


@pytest.fixture
def place() -> Iterator[str]:
    """Name of a key of our own below HKEY_LOCAL_MACHINE\\SOFTWARE, in both views."""
    name = f"Whatchanged-{uuid.uuid4()}"
    yield name
    for view in (winreg.KEY_WOW64_64KEY, winreg.KEY_WOW64_32KEY):
        _remove(rf"SOFTWARE\{name}", view)


def _remove(path: str, view: int) -> None:
    try:
        key = winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, path, 0, winreg.KEY_READ | view)
    except FileNotFoundError:
        return
    for _ in range(winreg.QueryInfoKey(key)[0]):
        _remove(rf"{path}\{winreg.EnumKey(key, 0)}", view)
    key.Close()
    winreg.DeleteKeyEx(winreg.HKEY_LOCAL_MACHINE, path, view, 0)


def written(path: str, view: int = winreg.KEY_WOW64_64KEY) -> winreg.HKEYType:
    return winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{path}", 0, winreg.KEY_ALL_ACCESS | view)


def opened(path: str) -> RegistryKey:
    source = LiveRegistry()
    key = source.open(rf"{MACHINE}\SOFTWARE\{path}")
    assert key is not None
    return key


def test_values_of_every_type_have_their_bytes(place: str) -> None:
    with written(place) as key:
        for name, kind, value, _ in VALUES:
            winreg.SetValueEx(key, name, 0, kind, value)
    found = opened(place)
    expected = {name: RegistryValue(name, kind, data) for name, kind, _, data in VALUES}
    assert {value.name: value for value in found.values()} == expected
    for name, value in expected.items():
        assert found.value(name.upper()) == RegistryValue(name.upper(), value.type, value.data)
    assert found.value("not there") is None


def test_keys_are_found_in_any_case_and_spell_themselves(place: str) -> None:
    written(rf"{place}\Größe\Inner").Close()
    source = LiveRegistry()
    key = source.open(rf"hkey_local_machine\Software\{place.upper()}\GRößE\inner")
    assert key is not None
    assert key.path.endswith(rf"\{place}\Größe\Inner")
    assert [below.name for below in opened(place).subkeys()] == ["Größe"]
    assert source.open(rf"{MACHINE}\SOFTWARE\{place}\nothing") is None
    assert source.open(r"HKEY_CLASSES_ROOT\.txt") is None
    assert source.tally.outcome().failures_total == 0


def test_both_views_are_there(place: str) -> None:
    for view, text in ((winreg.KEY_WOW64_64KEY, "64"), (winreg.KEY_WOW64_32KEY, "32")):
        with written(place, view) as key:
            winreg.SetValueEx(key, "bits", 0, winreg.REG_SZ, text)
    for path, text in ((place, "64"), (rf"Wow6432Node\{place}", "32")):
        value = opened(path).value("bits")
        assert value is not None
        assert value.data.decode("utf-16-le") == f"{text}\0"


def test_the_time_of_the_last_write(place: str) -> None:
    before = time.time_ns() - 2_000_000_000
    with written(place) as key:
        winreg.SetValueEx(key, "x", 0, winreg.REG_DWORD, 1)
    at = opened(place).written_ns
    assert at is not None
    assert before < at < time.time_ns() + 2_000_000_000


def test_a_link_is_followed_by_name_and_told_of_in_a_list(place: str) -> None:
    with written(rf"{place}\target\inner"):
        pass
    parent: Any = written(place)  # win32api takes it, and has types for its own keys only
    link: Any = win32api.RegCreateKeyEx(parent, "link", winreg.KEY_ALL_ACCESS, None, winreg.REG_OPTION_CREATE_LINK)[0]
    target = rf"\Registry\Machine\SOFTWARE\{place}\target".encode("utf-16-le")
    winreg.SetValueEx(int(link), "SymbolicLinkValue", 0, winreg.REG_LINK, target)
    try:
        assert {key.name: key.link for key in opened(place).subkeys()} == {"target": False, "link": True}
        (listed,) = (key for key in opened(place).subkeys() if key.link)
        assert [value.name for value in listed.values()] == ["SymbolicLinkValue"]
        followed = opened(rf"{place}\LINK")
        assert (followed.link, followed.name) == (True, "link")
        assert followed.path.endswith(rf"\{place}\link")
        assert [key.path for key in followed.subkeys()] == [rf"{followed.path}\inner"]
        assert opened(rf"{place}\link\INNER").path == rf"{followed.path}\inner"
    finally:
        assert ctypes.WinDLL("ntdll").NtDeleteKey(int(link)) == 0


def test_users_are_those_whose_hive_is_loaded() -> None:
    source = LiveRegistry()
    assert source.users()
    for name in source.users():
        assert source.open(rf"{USERS}\{name}") is not None


def test_a_value_longer_than_any_before_it(place: str) -> None:
    data = bytes(300_000)
    with written(place) as key:
        winreg.SetValueEx(key, "small", 0, winreg.REG_BINARY, b"x")
        winreg.SetValueEx(key, "large", 0, winreg.REG_BINARY, data)
    found = opened(place)
    assert {value.name: len(value.data) for value in found.values()} == {"small": 1, "large": 300_000}
    large = found.value("large")
    assert large is not None
    assert large.data == data
