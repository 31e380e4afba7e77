"""The registry's notifications, of changes that winreg makes."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import time
import uuid
import winreg
from collections.abc import Iterator
from typing import Any

import pytest

from integration.windows.listening import Listening, open_handles
from whatchanged.rules.items import RegistryRule
from whatchanged.rules.registry_scope import RegistryScope, folded
from whatchanged.watchers.hints import Hint, Reach
from whatchanged.watchers.windows import Port, RegistryWatcher

VALUES: list[tuple[int, Any]] = [
    (winreg.REG_SZ, "text"),
    (winreg.REG_EXPAND_SZ, r"%SystemRoot%\x"),
    (winreg.REG_DWORD, 1),
    (winreg.REG_DWORD_BIG_ENDIAN, b"\0\0\0\1"),
    (winreg.REG_QWORD, 1),
    (winreg.REG_MULTI_SZ, ["a", "b"]),
    (winreg.REG_BINARY, b"\0\1"),
    (winreg.REG_NONE, b""),
]
TREES = 100


@pytest.fixture
def place() -> Iterator[str]:
    """Name of a key of our own below HKEY_LOCAL_MACHINE\\SOFTWARE, in both views."""
    name = f"Whatchanged-{uuid.uuid4()}"
    yield name
    for view in (winreg.KEY_WOW64_64KEY, winreg.KEY_WOW64_32KEY):
        remove(name, view)


def remove(path: str, view: int = winreg.KEY_WOW64_64KEY) -> None:
    try:
        key = winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{path}", 0, winreg.KEY_READ | view)
    except FileNotFoundError:
        return
    for _ in range(winreg.QueryInfoKey(key)[0]):
        remove(rf"{path}\{winreg.EnumKey(key, 0)}", view)
    key.Close()
    winreg.DeleteKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{path}", view, 0)


def made(path: str, view: int = winreg.KEY_WOW64_64KEY) -> None:
    winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{path}", 0, winreg.KEY_ALL_ACCESS | view).Close()


def write(path: str, value: Any = "x", kind: int = winreg.REG_SZ, view: int = winreg.KEY_WOW64_64KEY) -> None:
    with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{path}", 0, winreg.KEY_SET_VALUE | view) as key:
        winreg.SetValueEx(key, "value", 0, kind, value)


def rules(*keys: str, recurse: bool = True) -> RegistryScope:
    return RegistryScope([RegistryRule(name=key, key_name=rf"HKLM\SOFTWARE\{key}", recurse=recurse) for key in keys])


def hinted(path: str) -> bytes:
    return folded(rf"HKEY_LOCAL_MACHINE\SOFTWARE\{path}").encode()


@pytest.fixture
def watcher() -> Iterator[Listening[RegistryWatcher]]:
    with Listening(RegistryWatcher) as listening:
        yield listening


def test_a_hundred_subtrees_are_told_apart(place: str, watcher: Listening[RegistryWatcher]) -> None:
    keys = [rf"{place}\{number}" for number in range(TREES)]
    for key in keys:
        made(rf"{key}\deep\er")
    coverage = watcher.watcher.subscribe(rules(*keys))
    assert {area.path for area in coverage.areas if area.method == "notifications"} == {hinted(key) for key in keys}
    assert not coverage.polled
    for round_ in range(2):
        for key in keys:
            write(rf"{key}\deep\er", str(round_))
            (hint,) = watcher.until(bool)
            assert (hint.path, hint.reach) == (hinted(key), Reach.TREE)


def test_the_hint_comes_well_within_two_seconds(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(place)
    watcher.watcher.subscribe(rules(place))
    slowest = 0.0
    for number in range(50):
        began = time.monotonic()
        write(place, str(number))
        watcher.until(bool)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2


def test_values_of_every_type(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(place)
    watcher.watcher.subscribe(rules(place, recurse=False))
    for kind, value in VALUES:
        write(place, value, kind)
        (hint,) = watcher.until(bool)
        assert (hint.path, hint.reach) == (hinted(place), Reach.FOLDER), kind
    with winreg.OpenKeyEx(
        winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{place}", 0, winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY
    ) as key:
        winreg.DeleteValue(key, "value")
    assert watcher.until(bool)


def test_a_key_alone_tells_nothing_of_values_below(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(rf"{place}\below")
    watcher.watcher.subscribe(rules(place, recurse=False))
    write(rf"{place}\below")
    write(place)
    assert [hint.path for hint in watcher.until(bool)] == [hinted(place)]


def test_a_key_is_removed_and_made_again(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(rf"{place}\A\B")
    watcher.watcher.subscribe(rules(rf"{place}\A\B"))
    for _ in range(3):
        remove(rf"{place}\A")
        assert hinted(rf"{place}\A\B") in paths(watcher.until(lambda hints: hinted(rf"{place}\A\B") in paths(hints)))
        assert not watcher.watcher.coverage().areas
        made(rf"{place}\A\B")
        watcher.until(lambda hints: hinted(rf"{place}\A\B") in paths(hints))
        watcher.quiet()
        write(rf"{place}\A\B")
        watcher.until(lambda hints: hinted(rf"{place}\A\B") in paths(hints))


def test_a_key_that_was_replaced_unseen_is_watched(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(rf"{place}\A")
    watcher.watcher.subscribe(rules(rf"{place}\A"))
    remove(rf"{place}\A")  # both before anything is read
    made(rf"{place}\A")
    watcher.until(lambda hints: hinted(rf"{place}\A") in paths(hints))
    watcher.quiet()
    write(rf"{place}\A")
    watcher.until(lambda hints: hinted(rf"{place}\A") in paths(hints))


def test_a_key_that_is_not_there_yet(place: str, watcher: Listening[RegistryWatcher]) -> None:
    watcher.watcher.subscribe(rules(rf"{place}\A\B"))
    made(rf"{place}\A\B")
    watcher.until(lambda hints: hinted(rf"{place}\A\B") in paths(hints))


def test_the_32_bit_view(place: str, watcher: Listening[RegistryWatcher]) -> None:
    for view in (winreg.KEY_WOW64_64KEY, winreg.KEY_WOW64_32KEY):
        made(place, view)
    watcher.watcher.subscribe(rules(place))
    for view, path in ((winreg.KEY_WOW64_64KEY, place), (winreg.KEY_WOW64_32KEY, rf"Wow6432Node\{place}")):
        write(place, view=view)
        assert paths(watcher.until(bool)) == {hinted(path)}


def test_wildcards_take_keys_that_come_later(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(rf"{place}\one\Run")
    watcher.watcher.subscribe(rules(rf"{place}\*\Run"))
    made(rf"{place}\two\Run")
    watcher.until(lambda hints: hinted(rf"{place}\two\Run") in paths(hints))
    watcher.quiet()
    write(rf"{place}\two\Run")
    assert paths(watcher.until(bool)) == {hinted(rf"{place}\two\Run")}


def test_a_key_of_every_user(watcher: Listening[RegistryWatcher]) -> None:
    name = f"Whatchanged-{uuid.uuid4()}"
    watcher.watcher.subscribe(RegistryScope([RegistryRule(name="user", key_name=rf"HKCU\Software\{name}")]))
    path = rf".DEFAULT\Software\{name}"
    winreg.CreateKeyEx(winreg.HKEY_USERS, path, 0, winreg.KEY_ALL_ACCESS).Close()
    try:
        expected = folded(rf"HKEY_USERS\{path}").encode()
        watcher.until(lambda hints: expected in paths(hints))
        watcher.quiet()
        winreg.SetValue(winreg.HKEY_USERS, path, winreg.REG_SZ, "default")
        assert paths(watcher.until(bool)) == {expected}
    finally:
        winreg.DeleteKey(winreg.HKEY_USERS, path)


def test_beyond_the_bound_keys_are_polled_and_named(place: str) -> None:
    keys = [rf"{place}\{number}" for number in range(10)]
    for key in keys:
        made(key)
    with Listening(lambda port: RegistryWatcher(port, most=8)) as listening:
        coverage = listening.watcher.subscribe(rules(*keys))
        assert coverage.watches == 8
        assert {area.path for area in coverage.areas} == {hinted(key) for key in keys}
        assert coverage.polled
        assert coverage.limits


def test_another_scope_replaces_the_first(place: str, watcher: Listening[RegistryWatcher]) -> None:
    made(rf"{place}\A")
    made(rf"{place}\B")
    watcher.watcher.subscribe(rules(rf"{place}\A"))
    watcher.watcher.subscribe(rules(rf"{place}\B"))
    write(rf"{place}\A")
    write(rf"{place}\B")
    assert paths(watcher.until(bool)) == {hinted(rf"{place}\B")}


def test_all_handles_are_given_back(place: str) -> None:
    keys = [rf"{place}\{number}" for number in range(50)]
    for key in keys:
        made(key)

    def round_() -> None:
        port = Port()
        watcher = RegistryWatcher(port)
        watcher.subscribe(rules(*keys))
        assert open_handles() > before + 100
        remove(keys[0])
        port.wait(5)
        watcher.read()
        made(keys[0])
        watcher.close()
        port.close()

    before = 0
    round_()  # the thread pool keeps a few of its own
    before = open_handles()
    for _ in range(3):
        round_()
    assert open_handles() <= before + 4


def paths(hints: list[Hint]) -> set[bytes]:
    return {hint.path for hint in hints}
