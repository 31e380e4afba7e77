"""Previews of rules: counted within the bounds of the policy."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import threading
from pathlib import Path

import pytest

from whatchanged.collectors.files import Unlimited
from whatchanged.rules import Policy, Variables
from whatchanged.tracker.preview import preview


def rule_of(paths: list[str]) -> str:
    items = [{"name": path * 2, "destinationPath": path} for path in paths]
    settings = {"fileSettings": {"fileInfo": items}}
    extension = {"name": "l", "extensionName": "ChangeTracking-Linux", "extensionSettings": settings}
    return json.dumps({"properties": {"dataSources": {"extensions": [extension]}}})


def test_a_preview_counts_what_the_rule_takes_and_the_policy_allows(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "secret").mkdir(parents=True)
    for name in ("a", "b", "secret/s"):
        (tree / name).write_text("12345")
    (tree / "way").symlink_to(tree / "secret")
    file_info = [{"name": "all", "destinationPath": f"{tree}/*", "recurse": True, "groupTag": "x"}]
    extension = {
        "name": "l",
        "extensionName": "ChangeTracking-Linux",
        "streams": ["Microsoft-ConfigurationChange"],
        "extensionSettings": {"fileSettings": {"fileInfo": file_info}},
    }
    document = json.dumps({"properties": {"dataSources": {"extensions": [extension]}}})
    policy = Policy(excluded_paths=(os.fsencode(tree / "secret"),))
    counted = preview(document, b"/", policy, Variables(), threading.Event(), Unlimited())
    # `way` leads to what is excluded, so it is counted as the link that it is.
    assert counted == {
        "rules": [
            {
                "RuleName": "all",
                "Place": "properties.dataSources.extensions[0].extensionSettings.fileSettings.fileInfo[0]",
                "Files": 3,
                "Bytes": 10,
                "Denied": [],
                "DeniedTotal": 0,
                "Obstacle": "",
            }
        ],
        "more": 0,
        "problems": [],
        "cut": "",
    }


def test_a_preview_ends_in_time_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("12345")
    monkeypatch.setattr("whatchanged.tracker.preview._SECONDS", -1.0)
    counted = preview(rule_of([f"{tmp_path}/*"]), b"/", Policy(), Variables(), threading.Event(), Unlimited())
    assert counted["cut"] == "counting ended after -1 seconds"
    assert [row["Files"] for row in counted["rules"]] == [0]


def test_the_answer_about_many_items_is_bounded_and_says_what_is_left_out(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{number}/{'x' * 200}" for number in range(1000)]
    counted = preview(rule_of(paths), b"/", Policy(), Variables(), threading.Event(), Unlimited())
    assert len(json.dumps(counted)) < 256 * 1024
    assert 0 < len(counted["rules"]) == 1000 - counted["more"] < 1000
