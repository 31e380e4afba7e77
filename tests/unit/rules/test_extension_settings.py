from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RuleError
from whatchanged.records.items import Kind
from whatchanged.rules import (
    LINUX,
    WINDOWS,
    ExtensionSettings,
    FileRule,
    FileType,
    Links,
    merge,
    read_extension_settings,
)


def linux(**settings: Any) -> ExtensionSettings:
    return read_extension_settings(settings, LINUX)


def files(*items: Any) -> ExtensionSettings:
    return linux(fileSettings={"fileInfo": list(items)})


def problems(settings: ExtensionSettings) -> list[tuple[str, str]]:
    return [(p.place.removeprefix("extensionSettings."), p.severity.value) for p in settings.problems]


@pytest.mark.parametrize("empty", [{}, None, {"fileSettings": {}, "softwareSettings": None, "registrySettings": {}}])
def test_defaults_of_each_system(empty: object) -> None:
    found = read_extension_settings(empty, LINUX)
    assert found == ExtensionSettings()
    assert (found.file_frequency, found.software_frequency, found.service_frequency) == (900, 300, 300)
    windows = read_extension_settings(empty, "changetracking-windows")
    assert (windows.file_frequency, windows.software_frequency, windows.service_frequency) == (2700, 1800, 1800)
    assert (windows.registry_frequency, windows.inventory_frequency, windows.enable_registry) == (3000, 36000, True)
    assert windows.extension_name == WINDOWS
    assert windows.problems == ()


def test_no_extension_of_ours() -> None:
    with pytest.raises(RuleError):
        read_extension_settings({}, "ContainerInsights")


def test_variants_of_spelling() -> None:
    found = read_extension_settings(
        {
            "EnableFiles": "false",
            "serviceSettings": {"serviceCollectionFrequency": "30"},
            "softwareSettings": {"softwareCollectionFrequency": 1.5},
            "registrySettingsObjectList": {
                "registryCollectionFrequency": 50,
                "registryInfo": [{"name": "r", "keyName": "HKLM\\X", "recursive": True}],
            },
            "fileSettings": {
                "fileinfo": [{"name": "a", "path": "C:\\x"}],
                "fileInfo": [{"name": "b", "path": "%winDir%\\y"}],
            },
        },
        WINDOWS,
    )
    assert found.problems == ()
    assert not found.enabled(Kind.FILES)
    assert found.frequency(Kind.WINDOWS_SERVICES) == 30
    assert found.frequency(Kind.SOFTWARE) == 1.5
    assert [(r.key_name, r.recurse, r.frequency) for r in found.registry] == [("HKLM\\X", True, 50)]
    assert {f.name for f in found.files} == {"a", "b"}


@pytest.mark.parametrize(
    "settings",
    [
        {"registrySettings": {"registrySettingsObjectList": [{"name": "r", "keyName": "HKEY_USERS\\X"}]}},
        {"registrySettingsObjectList": [{"name": "r", "keyName": "HKEY_USERS\\X"}]},
    ],
)
def test_registry_lists_by_their_other_name(settings: dict[str, Any]) -> None:
    found = read_extension_settings(settings, WINDOWS)
    assert [r.key_name for r in found.registry] == ["HKEY_USERS\\X"]
    assert found.problems == ()


def test_every_field_of_a_linux_file_item() -> None:
    item = {
        "name": "n", "enabled": False, "destinationPath": "/srv/é\udcff", "useSudo": False, "recursive": "true",
        "pathType": "folder", "type": "file", "links": "manage", "checksum": "MD5", "maxContentsReturnable": "10",
        "maxOutputSize": 20, "uploadContent": True, "groupTag": "Custom", "description": "d",
    }  # fmt: skip
    found = linux(fileSettings={"fileCollectionFrequency": "1", "fileInfo": [item]})
    assert found.problems == ()
    (rule,) = found.files
    assert rule.destination_path == b"/srv/\xc3\xa9\xff"
    assert (rule.enabled, rule.use_sudo, rule.recurse, rule.type) == (False, False, True, FileType.DIRECTORY)
    assert (rule.links, rule.checksum, rule.upload_content) == (Links.MANAGE, "Md5", True)
    assert (rule.max_contents_returnable, rule.max_output_size, rule.frequency) == (10, 20, 1.0)
    assert (rule.group_tag, rule.description) == ("Custom", "d")


@pytest.mark.parametrize("value", [0, 0.5, -1, "abc", True, [], "inf", "nan", 10**400, 1e12, "[parameters('x')]"])
def test_bad_frequencies_are_reported_and_defaulted(value: object) -> None:
    found = linux(fileSettings={"fileCollectionFrequency": value})
    assert found.file_frequency == 900
    assert [place for place, _ in problems(found)] == ["fileSettings.fileCollectionFrequency"]


@pytest.mark.parametrize(
    ("item", "place", "severity", "kept"),
    [
        ({"name": "a", "destinationPath": "etc/x"}, "destinationPath", "error", 0),
        ({"name": "a", "destinationPath": ""}, "destinationPath", "error", 0),
        ({"name": "a"}, "destinationPath", "error", 0),
        ({"name": "a", "destinationPath": 5}, "destinationPath", "error", 0),
        ({"name": "a", "destinationPath": "[parameters('p')]"}, "destinationPath", "error", 0),
        ({"name": "a", "destinationPath": "/\ud800"}, "destinationPath", "error", 0),
        ({"name": "a", "destinationPath": "/a/../b"}, "destinationPath", "error", 0),
        ({"name": "a", "destinationPath": "/proc/1/x"}, "destinationPath", "warning", 1),
        ({"name": "", "destinationPath": "/x"}, "name", "warning", 1),
        ({"destinationPath": "/x"}, "name", "warning", 1),
        ({"name": "a", "destinationPath": "/x", "links": "Perhaps"}, "links", "error", 1),
        ({"name": "a", "destinationPath": "/x", "type": "Socket"}, "type", "error", 1),
        ({"name": "a", "destinationPath": "/x", "recurse": "perhaps"}, "recurse", "error", 1),
        ({"name": "a", "destinationPath": "/x", "wibble": 1}, "wibble", "note", 1),
        ({"name": "a", "destinationPath": "/x", "recurse": True, "recursive": True}, "recursive", "warning", 1),
    ],
)
def test_problems_of_a_file_item(item: dict[str, Any], place: str, severity: str, kept: int) -> None:
    found = files(item)
    assert (f"fileSettings.fileInfo[0].{place}", severity) in problems(found)
    assert len(found.files) == kept


def test_names_that_stand_twice() -> None:
    found = files({"name": "a", "destinationPath": "/x"}, {"name": "a", "destinationPath": "/y"})
    assert problems(found) == [("fileSettings.fileInfo[1].name", "warning")]
    assert len(found.files) == 2


def test_lists_and_problems_are_bounded() -> None:
    found = files(*({"name": f"n{n}", "destinationPath": "bad"} for n in range(10_001)))
    assert len(found.problems) == 1_001
    assert "more problems" in found.problems[-1].message
    assert found.problems[0].place == "extensionSettings.fileSettings.fileInfo"


@pytest.mark.parametrize("path", ["x", "\\x", "/etc/x", "", None, 5, "C:x\0"])
def test_windows_paths_that_cannot_work(path: object) -> None:
    found = read_extension_settings({"fileSettings": {"fileInfo": [{"name": "a", "path": path}]}}, WINDOWS)
    assert found.files == ()
    assert problems(found) == [("fileSettings.fileInfo[0].path", "error")]


def test_merging_is_the_union_at_the_highest_frequency() -> None:
    one = linux(
        enableSoftware=False,
        softwareSettings={"softwareCollectionFrequency": 1},
        fileSettings={"fileCollectionFrequency": 10, "fileInfo": [{"name": "a", "destinationPath": "/a"}]},
    )
    two = linux(
        softwareSettings={"softwareCollectionFrequency": 60},
        fileSettings={"fileCollectionFrequency": 5, "fileInfo": [{"name": "b", "destinationPath": "/b"}]},
    )
    off = linux(enableFiles=False, fileSettings={"fileInfo": [{"name": "c", "destinationPath": "/c"}]})
    merged = merge([one, two, off])
    assert merged.enable_software
    assert merged.software_frequency == 60  # the one that asks for every second does not want software
    assert [(f.name, f.frequency) for f in merged.files] == [("a", 10), ("b", 5)]
    assert merged.file_frequency == 5
    assert merge([one]) is one


NUMBERS = st.sampled_from([1.0, 5.0, 60.0, 900.0])
ITEMS = st.lists(st.builds(FileRule, name=st.sampled_from("abc"), destination_path=st.just(b"/a"), frequency=NUMBERS))
SETTINGS = st.builds(
    ExtensionSettings,
    **{name: st.booleans() for name in ExtensionSettings.__struct_fields__ if name.startswith("enable_")},
    **{name: NUMBERS for name in ExtensionSettings.__struct_fields__ if name.endswith("_frequency")},
    files=ITEMS.map(tuple),
)
KINDS_OF = {"file": "files", "software": "software", "service": "services", "registry": "registry"}


@given(st.lists(SETTINGS, min_size=2, max_size=4))
def test_every_setting_of_several_rules_is_the_more_watchful(several: list[ExtensionSettings]) -> None:
    merged = merge(several)
    for name in ExtensionSettings.__struct_fields__:
        values = [getattr(one, name) for one in several]
        if name.startswith("enable_"):
            expected: object = any(values)
        elif name.endswith("_frequency"):
            kind = name.removesuffix("_frequency")
            asking = [one for one in several if getattr(one, f"enable_{KINDS_OF.get(kind, kind)}")] or several
            expected = min(getattr(one, name) for one in asking)
        elif name == "files":
            expected = tuple(rule for one in several if one.enable_files for rule in one.files)
        else:
            continue
        assert getattr(merged, name) == expected, name


def test_a_rule_from_the_network_is_read_in_bounded_time_and_memory() -> None:
    items = [{"name": str(n), "destinationPath": f"/srv/{n}/**/*a*{n}", "groupTag": "x"} for n in range(100_000)]
    found = read_extension_settings({"fileSettings": {"fileInfo": items}}, LINUX)
    assert len(found.files) == 10_000
    (problem,) = found.problems
    assert problem.message == "only the first 10000 of 100000 entries are used"
    wrong = [{"name": str(n), "destinationPath": "x", "exclude": ["../y"] * 5_000} for n in range(100)]
    found = read_extension_settings({"fileSettings": {"fileInfo": wrong}}, LINUX)
    assert len(found.problems) == 1_001
    many = {"name": "a", "destinationPath": "/a/*", "exclude": [f"/a/{n}" for n in range(5_000)]}
    found = read_extension_settings({"fileSettings": {"fileInfo": [many]}}, LINUX)
    assert len(found.files[0].exclude) == 1_000
    assert found.problems[0].message == "only the first 1000 exclusions of an item are used"
