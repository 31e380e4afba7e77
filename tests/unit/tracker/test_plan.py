"""Plans: configurations that cannot be used are refused as such; jobs of different frequencies are different jobs."""

import msgspec
import pytest

from whatchanged.errors import RuleError
from whatchanged.records.items import Kind
from whatchanged.rules import WINDOWS
from whatchanged.tracker.plan import Plan, make_plan


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"extensionConfigurations": "x"},
        {"extensionConfigurations": [{"outputStreams": [1]}]},
        {"extensionConfigurations": [{"extensionSettings": [1]}]},
    ],
)
def test_a_configuration_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(RuleError):
        make_plan(msgspec.json.encode(document).decode())


def test_frequencies_that_look_alike_are_jobs_of_their_own() -> None:
    def settings(frequency: float) -> dict[str, object]:
        return {
            "enableFiles": True,
            "fileSettings": {
                "fileCollectionFrequency": frequency,
                "fileInfo": [{"name": str(frequency), "destinationPath": "/etc/*", "groupTag": "x"}],
            },
        }

    sources = [{"id": f"dcr:{f}", "extensionSettings": settings(f)} for f in (1234567, 1234568)]
    plan = make_plan(msgspec.json.encode({"extensionConfigurations": sources}).decode())
    assert [job.name for job in plan.file_jobs] == ["1234567", "1234568"]


def test_a_configuration_nested_without_end_is_refused() -> None:
    with pytest.raises(RuleError):
        make_plan('{"extensionConfigurations":' + "[" * 100_000 + "]" * 100_000 + "}")


def test_nothing_is_looked_at_less_often_than_the_inventory_is_wanted() -> None:
    settings = {
        "fileSettings": {
            "fileCollectionFrequency": 86400,
            "fileInfo": [{"name": "a", "destinationPath": "/etc/*", "groupTag": "x"}],
        },
        "softwareSettings": {"softwareCollectionFrequency": 60},
        "inventorySettings": {"inventoryCollectionFrequency": 36000},
    }
    for enabled, seconds in ((True, 36000), (False, 86400)):
        source = {"id": "dcr:l", "extensionSettings": {**settings, "enableInventory": enabled}}
        plan = make_plan(msgspec.json.encode({"extensionConfigurations": [source]}).decode())
        assert plan.looks(Kind.FILES) == [("86400", seconds)]
        assert plan.looks(Kind.SOFTWARE) == [("", 60)]
        assert make_plan("").looks(Kind.FILES) == []


def windows_plan(**settings: object) -> Plan:
    sources = [{"id": "dcr-1:CTDataSource-Windows", "extensionSettings": settings}]
    return make_plan(msgspec.json.encode({"extensionConfigurations": sources}).decode(), extension=WINDOWS)


def test_a_plan_of_windows_looks_at_the_keys_that_are_enabled() -> None:
    keys = [
        {"name": "run", "enabled": True, "keyName": r"HKEY_LOCAL_MACHINE\Software\Run", "groupTag": "Custom"},
        {"name": "off", "enabled": False, "keyName": r"HKEY_LOCAL_MACHINE\Software\Off", "groupTag": "Recommended"},
    ]
    registry = {"registryCollectionFrequency": 120, "registryInfo": keys}
    plan = windows_plan(registrySettings=registry)
    assert plan.kinds() == {Kind.REGISTRY, Kind.SOFTWARE, Kind.WINDOWS_SERVICES}
    assert [(rule.name, rule.configuration_id) for rule in plan.registry] == [("run", "dcr-1")]
    assert plan.looks(Kind.REGISTRY) == [("120", 120)]
    assert plan.looks(Kind.WINDOWS_SERVICES) == [("", 1800)]
    assert plan.inventoried(Kind.WINDOWS_SERVICES)
    assert not plan.inventoried(Kind.REGISTRY)
    assert Kind.REGISTRY not in windows_plan(registrySettings=registry, enableRegistry=False).kinds()
    assert Kind.WINDOWS_SERVICES not in windows_plan(enableServices=False).kinds()


def test_a_plan_of_windows_has_its_files() -> None:
    files = [{"name": "a", "path": r"C:\x\*", "groupTag": "Custom"}, {"name": "b", "path": r"D:\y", "enabled": "false"}]
    plan = windows_plan(fileSettings={"fileInfo": files})
    assert not plan.problems
    assert [rule.destination_path for rule in plan.file_rules] == [b"/C:/x/*"]
    assert [rule.name for rule in plan.disabled] == ["b"]
    assert Kind.FILES in plan.kinds()
    assert Kind.FILES not in windows_plan(fileSettings={"fileInfo": files}, enableFiles=False).kinds()
