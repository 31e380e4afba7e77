import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatchanged.errors import RuleError
from whatchanged.rules import LINUX, WINDOWS, Severity, immutable_id, is_immutable_id, read

SAMPLES = Path(__file__).parents[2] / "samples" / "rules"


def source(name: str | None = "CTDataSource-Linux", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "extensionName": LINUX,
        "streams": ["Microsoft-ConfigurationChangeV2", "Microsoft-ConfigurationData"],
        "extensionSettings": {"fileSettings": {"fileCollectionFrequency": 60}},
    } | more


def document(*sources: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "Microsoft.Insights/dataCollectionRules",
        "name": "rule",
        "properties": {"dataSources": {"extensions": list(sources)}},
    } | more


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_real_rules_are_read_and_kept(path: Path) -> None:
    content = path.read_bytes()
    (rule,) = read(content)
    assert rule.document == json.loads(content)
    assert {s.extension_name for s in rule.sources} == {WINDOWS, LINUX}
    assert [p for p in rule.problems if p.severity is not Severity.NOTE] == []
    assert len(rule.sources[0].streams) == 3


def test_what_the_real_rules_say() -> None:
    by_name = {path.stem: read(path.read_bytes())[0] for path in SAMPLES.glob("*.json")}
    bicep = by_name["alz-bicep"]
    (linux,) = bicep.sources_of(LINUX)
    assert bicep.name == "<expr:parDataCollectionRuleChangeTrackingName>"
    assert [(f.name, f.destination_path, f.recurse) for f in linux.settings.files] == [
        ("ChangeTrackingLinuxPath_default", b"/etc/.*.conf", True)
    ]
    assert linux.settings.service_frequency == 300  # `serviceSettings`, where others write `servicesSettings`
    (windows,) = bicep.sources_of(WINDOWS)
    assert len(windows.settings.registry) == 17
    assert not any(r.enabled for r in windows.settings.registry)
    (jumpstart,) = by_name["arc-jumpstart"].sources_of(WINDOWS)
    assert [(f.written, f.checksum, f.upload_content) for f in jumpstart.settings.files] == [
        (r"c:\ArcBox\ct.txt", "Md5", True)
    ]
    assert jumpstart.settings.inventory_frequency == 18_000


WRAPPINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bare": lambda rule: rule,
    "properties": lambda rule: {"properties": rule["properties"]},
    "data sources": lambda rule: rule["properties"],
    "list": lambda rule: [rule],
    "page": lambda rule: {"value": [rule]},
    "template": lambda rule: {"$schema": "x", "parameters": {}, "resources": [{"type": "other/thing"}, rule]},
    "symbolic": lambda rule: {"languageVersion": "2.0", "resources": {"dcr": rule}},
    "nested": lambda rule: {
        "resources": [
            {
                "type": "Microsoft.Resources/deployments",
                "name": "inner",
                "properties": {"mode": "Incremental", "template": {"resources": [{"resources": [rule]}]}},
            }
        ]
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapping_holds_the_same_rule(wrapping: str) -> None:
    wrapped = WRAPPINGS[wrapping](document(source()))
    before = copy.deepcopy(wrapped)
    (rule,) = read(json.dumps(wrapped))
    assert [(s.name, s.settings.file_frequency) for s in rule.sources] == [("CTDataSource-Linux", 60.0)]
    assert wrapped == before
    assert "\ufeff" not in rule.name
    assert read("\ufeff" + json.dumps(wrapped)) == read(json.dumps(wrapped).encode("utf-8-sig"))


def test_terraform_json_syntax_and_plan() -> None:
    body = {
        "name": "tf-rule",
        "data_sources": [
            {
                "extension": [
                    {
                        "extension_name": "ChangeTracking-Linux",
                        "name": "ds",
                        "streams": ["Microsoft-ConfigurationChange"],
                        "extension_json": json.dumps({"softwareSettings": {"softwareCollectionFrequency": "77"}}),
                    }
                ],
                "syslog": [{"name": "s"}],
            }
        ],
    }
    kind = "azurerm_monitor_data_collection_rule"
    syntax = {"resource": {kind: {"label": body}}}
    plan = {"planned_values": {"root_module": {"resources": [{"type": kind, "name": "label", "values": body}]}}}
    for wrapped in (syntax, plan):
        (rule,) = read(json.dumps(wrapped))
        assert rule.name == "tf-rule"
        assert rule.sources[0].settings.software_frequency == 77
        assert rule.sources[0].extension_settings == {"softwareSettings": {"softwareCollectionFrequency": "77"}}
        assert rule.document == body


def test_other_data_sources_do_not_disturb() -> None:
    rule = document(source(), source("other", extensionName="ContainerInsights", extensionSettings=7))
    rule["properties"]["dataSources"] |= {
        "performanceCounters": [{"name": "p"}],
        "syslog": [],
        "windowsEventLogs": None,
    }
    (read_rule,) = read(rule)
    assert len(read_rule.sources) == 1
    assert read_rule.problems == ()
    assert read_rule.document is rule


def test_expressions_stay_what_they_are() -> None:
    rule = document(source(), name="[parameters('x')]", tags="<expr:tags>")
    (found,) = read(rule)
    assert found.name == "[parameters('x')]"
    (unfilled,) = read(document(source(extensionSettings="[variables('settings')]")))
    assert "template expression" in unfilled.problems[0].message
    assert unfilled.sources[0].settings.file_frequency == 900


def test_several_rules_of_a_template() -> None:
    rules = read({"resources": [document(source(), name="a"), document(source(), name="b")]})
    assert [rule.name for rule in rules] == ["a", "b"]


def test_immutable_ids() -> None:
    one = immutable_id()
    assert is_immutable_id(one)
    assert one != immutable_id()
    assert not is_immutable_id(one.upper())
    rule = document(source(extensionSettings={"fileSettings": {"fileInfo": [{"name": "n", "destinationPath": "/x"}]}}))
    rule["properties"]["immutableId"] = one
    (found,) = read(rule)
    assert found.immutable_id == one
    assert found.sources[0].settings.files[0].configuration_id == one


@pytest.mark.parametrize(
    ("rule", "place", "severity"),
    [
        (document(source(extensionName="")), "properties.dataSources.extensions[0].extensionName", "error"),
        (document(source(streams=["Nope"])), "properties.dataSources.extensions[0].streams[0]", "warning"),
        (document(source(streams=[])), "properties.dataSources.extensions[0].streams", "warning"),
        (document(source(name=None)), "properties.dataSources.extensions[0].name", "warning"),
        (document(source(), source()), "properties.dataSources", "warning"),
        (document(), "properties.dataSources", "warning"),
        (document(7), "properties.dataSources.extensions[0]", "error"),
        (document(source(extensionSettings=[])), "properties.dataSources.extensions[0].extensionSettings", "error"),
        (
            document(
                source(
                    extensionSettings={"fileSettings": {"fileInfo": [{}, {}, {"name": "x", "destinationPath": "y"}]}}
                )
            ),
            "properties.dataSources.extensions[0].extensionSettings.fileSettings.fileInfo[2].destinationPath",
            "error",
        ),
    ],
)
def test_problems_name_their_place(rule: dict[str, Any], place: str, severity: str) -> None:
    (found,) = read(rule)
    assert (place, severity) in {(p.place, p.severity.value) for p in found.problems}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":NaN}',
        b'{"properties":{}}',
        b"1" * 5000,
    ],
)
def test_what_is_no_rule_is_refused(content: bytes) -> None:
    with pytest.raises(RuleError):
        read(content)


def test_a_document_that_is_too_large_is_refused() -> None:
    with pytest.raises(RuleError, match="larger"):
        read(b" " * (8 * 2**20 + 1))


KEYS = st.sampled_from(
    ["type", "properties", "dataSources", "data_sources", "extensions", "extension", "name", "extensionName", "streams",
     "extensionSettings", "extension_json", "resources", "fileSettings", "fileInfo", "fileinfo", "registrySettings",
     "registryInfo", "registrySettingsObjectList", "destinationPath", "path", "keyName", "recurse", "links", "pathType",
     "fileCollectionFrequency", "serviceSettings", "servicesSettings", "enableFiles", "immutableId", "x"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            LINUX,
            WINDOWS,
            "Microsoft.Insights/dataCollectionRules",
            "/etc/*",
            "Microsoft-ConfigurationData",
            "\udc80",
            "\ud800",
        ]
    ),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=40
)


@given(JSON)
@settings(max_examples=300)
def test_reading_raises_nothing_but_rule_errors(value: Any) -> None:
    before = copy.deepcopy(value)
    for content in (value, {"dataSources": {"extensions": [{"extensionName": LINUX, "extensionSettings": value}]}}):
        try:
            rules = read(content)
        except RuleError:
            continue
        assert all(isinstance(str(problem), str) for rule in rules for problem in rule.problems)
    assert repr(value) == repr(before)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_reading_text_raises_nothing_but_rule_errors(content: bytes | str) -> None:
    with pytest.raises(RuleError):
        read(content)
