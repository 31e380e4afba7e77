"""Previews of rules: counted within the bounds of the policy."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import threading
from pathlib import Path

from whatchanged.collectors.files import Unlimited
from whatchanged.rules import Policy, Variables
from whatchanged.tracker.preview import preview


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
        "rules": [{"RuleName": "all", "Files": 3, "Bytes": 10, "Denied": [], "Obstacle": ""}],
        "problems": [],
    }
