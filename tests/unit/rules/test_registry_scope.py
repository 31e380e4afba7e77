"""Which keys and values registry rules take."""

from __future__ import annotations

import time

import pytest

from whatchanged.rules.items import RegistryRule
from whatchanged.rules.registry_scope import RegistryScope, State, folded, takes_value

MACHINE = "HKEY_LOCAL_MACHINE"


def scope(*keys: str, recurse: bool = False) -> RegistryScope:
    return RegistryScope([RegistryRule(name=key, key_name=key, recurse=recurse) for key in keys])


def taken(scope: RegistryScope, path: str, literal: frozenset[str] = frozenset()) -> list[str]:
    state: State = scope.start()
    for name in path.split("\\"):
        state = scope.step(state, name, literal)
    return [rule.name for rule in scope.takers(state)]


@pytest.mark.parametrize(
    ("key", "path", "takes"),
    [
        ("HKLM\\Software\\A", f"{MACHINE}\\SOFTWARE\\a", True),
        ("hkey_local_machine\\Software\\A", f"{MACHINE}\\SOFTWARE\\A", True),
        ("HKLM\\Software\\A", f"{MACHINE}\\SOFTWARE\\A\\B", False),
        ("HKLM\\Software\\A", f"{MACHINE}\\SOFTWARE", False),
        ("HKLM\\Software\\A", f"{MACHINE}\\SOFTWARE\\WOW6432Node\\A", True),
        ("HKLM\\Software\\Wow6432Node\\A", f"{MACHINE}\\SOFTWARE\\Wow6432Node\\Wow6432Node\\A", False),
        ("HKLM\\Software\\Wow6432Node\\A", f"{MACHINE}\\SOFTWARE\\A", False),
        ("HKLM\\Software\\Classes\\CLSID", f"{MACHINE}\\SOFTWARE\\Classes\\Wow6432Node\\CLSID", True),
        ("HKLM\\System\\A", f"{MACHINE}\\SYSTEM\\Wow6432Node\\A", False),
        ("HKCR\\.txt", f"{MACHINE}\\SOFTWARE\\Classes\\.txt", True),
        ("HKCU\\Software\\A", "HKEY_USERS\\S-1-5-21-1\\Software\\A", True),
        ("HKU\\.DEFAULT\\A", "HKEY_USERS\\.DEFAULT\\A", True),
        ("HKCC\\Software", f"{MACHINE}\\SYSTEM\\CurrentControlSet\\Hardware Profiles\\Current\\Software", True),
        ("HKLM\\S\\*\\X", f"{MACHINE}\\S\\any\\X", True),
        ("HKLM\\S\\*\\X", f"{MACHINE}\\S\\a\\b\\X", False),
        ("HKLM\\S\\a*c?\\X", f"{MACHINE}\\S\\ABBCD\\X", True),
        ("HKLM\\S\\a*c?\\X", f"{MACHINE}\\S\\ABBC\\X", False),
        ("HKLM\\S\\**\\X", f"{MACHINE}\\S\\X", True),
        ("HKLM\\S\\**\\X", f"{MACHINE}\\S\\a\\b\\X", True),
        ("HKLM\\S\\**\\X", f"{MACHINE}\\S\\a\\b\\Y", False),
        ("HKLM\\S\\[a]", f"{MACHINE}\\S\\[A]", True),
        ("HKLM\\S\\straße", f"{MACHINE}\\S\\STRASSE", False),
    ],
)
def test_keys(key: str, path: str, *, takes: bool) -> None:
    assert taken(scope(key), path) == ([key] if takes else [])


def test_recursion_takes_all_below() -> None:
    rules = scope("HKLM\\Software\\A", recurse=True)
    assert taken(rules, f"{MACHINE}\\SOFTWARE\\A\\b\\c\\d")
    assert taken(rules, f"{MACHINE}\\SOFTWARE\\Wow6432Node\\A\\b")
    assert not taken(rules, f"{MACHINE}\\SOFTWARE\\B")


def test_a_key_that_bears_a_wildcard_is_meant_before_others() -> None:
    rules = scope("HKLM\\S\\*\\shell")
    assert not taken(rules, f"{MACHINE}\\S\\txt\\shell", frozenset({"*"}))
    assert taken(rules, f"{MACHINE}\\S\\*\\shell", frozenset({"*"}))


def test_only_who_names_a_link_goes_through_it() -> None:
    rules = scope("HKLM\\S\\**\\X", "HKLM\\S\\a\\X")
    state = rules.step(rules.step(rules.start(), MACHINE), "S")
    through = rules.step(rules.step(state, "a", link=True), "X")
    assert [rule.name for rule in rules.takers(through)] == ["HKLM\\S\\a\\X"]


def test_disabled_rules_take_nothing() -> None:
    rules = RegistryScope([RegistryRule(name="r", key_name="HKLM\\S", enabled=False)])
    assert not rules.start()


@pytest.mark.parametrize(
    ("wanted", "name", "takes"),
    [
        ("", "x", True),
        ("", "", True),
        ("X", "x", True),
        ("X", "xy", False),
        ("x*", "XY", True),
        ("(default)", "", True),
        ("(default)", "x", False),
        ("*", "", True),
        ("Näme", "NÄME", True),
    ],
)
def test_values(wanted: str, name: str, *, takes: bool) -> None:
    assert takes_value(RegistryRule(name="r", key_name="HKLM\\S", value_name=wanted), name) is takes


def test_no_pattern_takes_long() -> None:
    rules = scope("HKLM\\" + "a*" * 60 + "b")
    started = time.process_time()
    assert not taken(rules, f"{MACHINE}\\" + "a" * 255)
    assert time.process_time() - started < 1


def test_names_keep_their_length_when_folded() -> None:
    assert folded("ßAi") == "ßAI"
