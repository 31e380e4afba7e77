"""What rules say about streams of senders: Azure's own shapes, and everything that cannot be carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged import rules
from whatchanged.errors import RuleError
from whatchanged.records.streams import DataType
from whatchanged.rules.intakes import read_intakes

TIME = {"name": "TimeGenerated", "type": "datetime"}
SIZE = {"name": "Size", "type": "int"}
CHANGE = "Microsoft-ConfigurationChange"


def read(properties: Any) -> rules.Rule:
    [rule] = rules.read(json.dumps({"properties": properties}))
    return rule


def declared(columns: Any, **flow: Any) -> dict[str, Any]:
    return {
        "streamDeclarations": {"Custom-Mine": {"columns": columns}},
        "dataFlows": [{"streams": ["Custom-Mine"], "destinations": ["x"], "outputStream": CHANGE, **flow}],
    }


def test_streams_of_ours_need_no_declaration() -> None:
    rule = read({"dataFlows": [{"streams": [CHANGE, "Microsoft-Perf", "Microsoft-ConfigurationData"]}]})
    assert [(i.stream, i.data_type, i.columns) for i in rule.intakes] == [
        (CHANGE, DataType.CONFIG_CHANGE, None),
        ("Microsoft-ConfigurationData", DataType.CONFIG_DATA_V2, None),
    ]
    assert rule.problems == ()


@pytest.mark.parametrize("transform", [None, "source", " source "])
def test_a_declared_stream_goes_to_its_output(transform: str | None) -> None:
    rule = read(declared([TIME, SIZE], transformKql=transform))
    [intake] = rule.intakes
    assert (intake.stream, intake.data_type) == ("Custom-Mine", DataType.CONFIG_CHANGE)
    assert intake.columns == frozenset({"TimeGenerated", "Size"})
    assert rule.problems == ()


def test_terraforms_spelling() -> None:
    rule = read(
        {
            "stream_declaration": [{"stream_name": "Custom-Mine", "column": [TIME, SIZE]}],
            "data_flow": [{"streams": ["Custom-Mine"], "output_stream": CHANGE, "transform_kql": "source"}],
        }
    )
    assert [intake.stream for intake in rule.intakes] == ["Custom-Mine"]
    assert rule.problems == ()


@pytest.mark.parametrize(
    ("properties", "place"),
    [
        (declared([TIME], transformKql="source | where true"), "dataFlows[0].transformKql"),
        (declared([TIME], outputStream="Custom-Mine_CL"), "dataFlows[0].streams[0]"),
        (declared([TIME], outputStream="Whatchanged-TrackingHealth"), "dataFlows[0].streams[0]"),
        (declared([TIME], outputStream="Microsoft-Heartbeat"), "dataFlows[0].streams[0]"),
        (declared([TIME, {"name": "Colour", "type": "string"}]), "streamDeclarations.Custom-Mine.columns[1]"),
        (declared([TIME, {"name": "Size", "type": "string"}]), "streamDeclarations.Custom-Mine.columns[1]"),
        (declared([TIME, 7]), "streamDeclarations.Custom-Mine.columns[1]"),
        (declared([]), "streamDeclarations.Custom-Mine"),
        (declared([TIME], streams=["Custom-Other"]), "dataFlows[0].streams[0]"),
    ],
)
def test_what_cannot_be_carried_out_takes_nothing_and_is_told(properties: Any, place: str) -> None:
    rule = read(properties)
    assert rule.intakes == ()
    assert f"properties.{place}" in [p.place for p in rule.problems] or place in [p.place for p in rule.problems]


def test_the_default_rule_says_nothing_new() -> None:
    [rule] = rules.read(rules.DEFAULT_RULE)
    assert {intake.data_type for intake in rule.intakes} <= {
        DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2, DataType.CONFIG_DATA_V2,
    }  # fmt: skip
    assert rule.problems == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["Custom-Mine", CHANGE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["streams", "outputStream", "transformKql", "columns", "name", "type", "Custom-Mine"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["dataFlows", "data_flow", "streamDeclarations", "stream_declaration"]), JSON))
def test_nonsense_is_a_problem_and_never_a_fault(properties: dict[str, Any]) -> None:
    intakes, _ = read_intakes(properties, "properties")
    assert all(intake.columns is None or intake.columns for intake in intakes)
    try:
        rules.read({"properties": properties})
    except RuleError:
        return
