"""`whatchanged rules check`, run as a user: what is wrong with a rule, and what it would match here."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest


def document(tmp_path: Path, *items: dict[str, object], **settings: object) -> str:
    extension = {
        "name": "l",
        "extensionName": "ChangeTracking-Linux",
        "streams": ["Microsoft-ConfigurationChange"],
        "extensionSettings": {
            "enableSoftware": False,
            "enableServices": False,
            **settings,
            "fileSettings": {"fileInfo": [{"groupTag": "x", **item} for item in items]},
        },
    }
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({"name": "mine", "properties": {"dataSources": {"extensions": [extension]}}}))
    file.chmod(0o644)
    return str(file)


def check(file: str, *arguments: str, beside: tuple[str, ...] = ()) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [*beside, sys.executable, "-m", "whatchanged", "rules", "check", "--json", *arguments, file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "srv"
    (root / "cache").mkdir(parents=True)
    (root / "deep/er").mkdir(parents=True)
    for name, size in (("a.conf", 10), ("deep/b.conf", 20), ("deep/er/c.conf", 30), ("cache/d.conf", 40), ("x.swp", 5)):
        (root / name).write_bytes(b"x" * size)
    (root / "link").symlink_to("a.conf")
    return root


def test_what_every_part_of_a_rule_takes_here(tree: Path, tmp_path: Path) -> None:
    file = document(
        tmp_path,
        {"name": "all", "destinationPath": f"{tree}/*", "recurse": True, "exclude": ["cache", "*.swp"]},
        {"name": "cached", "destinationPath": f"{tree}/**/*.conf", "recurse": True, "enabled": False},
        {"name": "gone", "destinationPath": f"{tree}/gone/*"},
        enableSoftware=True,
        enableServices=True,
    )
    code, rows = check(file)
    assert code == 0
    counts = {row["RuleName"]: (row["Items"], row["Bytes"], row["Enabled"]) for row in rows if row["Kind"] == "Files"}
    # The link is counted with what it leads to, as it is in the inventory.
    assert counts == {"all": (4, 70, True), "cached": (4, 100, False), "gone": (0, 0, True)}
    details = {row["RuleName"]: row["Detail"] for row in rows}
    assert details["gone"] == f"matches nothing here: {tree}/gone is not there"
    others = {row["Kind"]: row["Items"] for row in rows if row["RuleName"] == "l"}
    assert others["Software"] > 10
    assert "Daemons" in others


def test_problems_are_told_with_their_place(tree: Path, tmp_path: Path) -> None:
    file = document(
        tmp_path,
        {"name": "bad", "destinationPath": "etc/passwd"},
        {"name": "who", "destinationPath": "${NOBODY_SETS_THIS}/x"},
        {"name": "odd", "destinationPath": f"{tree}/*", "exclude": ["../x"], "colour": "red"},
    )
    code, rows = check(file)
    assert code == 1
    problems = [(row["Place"].rpartition("fileInfo")[2], row["Severity"]) for row in rows if "Severity" in row]
    assert problems == [
        ("[0].destinationPath", "error"),
        ("[1].destinationPath", "error"),
        ("[2].exclude[0]", "error"),
        ("[2].colour", "note"),
    ]
    assert [row["RuleName"] for row in rows if "Severity" not in row] == ["odd"]


def test_a_user_is_told_what_he_may_not_read(tree: Path, tmp_path: Path) -> None:
    (tree / "secret").write_text("s")
    (tree / "secret").chmod(0)
    (tree / "closed").mkdir(mode=0)
    file = document(tmp_path, {"name": "all", "destinationPath": f"{tree}/**"})
    # Root without its rights over files is a user; another account could not start this interpreter everywhere.
    mortal = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    _, (row,) = check(file, beside=mortal if os.geteuid() == 0 else ())
    # It is there, so it would be in the inventory; of what is in the closed folder nobody can tell.
    assert row["Items"] == 7
    assert row["DeniedTotal"] == 2
    assert sorted(entry.partition(": ")[0] for entry in row["Denied"]) == [f"{tree}/closed", f"{tree}/secret"]


def test_the_policy_of_the_machine_bounds_the_count(tree: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'excluded_paths = ["{tree}/deep"]\n[variables]\nTREE = "{tree}"\n')
    policy.chmod(0o600)
    file = document(
        tmp_path,
        {"name": "all", "destinationPath": "${TREE}/**"},
        {"name": "deep", "destinationPath": "${TREE}/deep/*"},
    )
    code, rows = check(file, "--policy", str(policy))
    if os.geteuid() == 0:
        assert code == 0
        assert [row["Items"] for row in rows] == [4, 0]
        assert rows[1]["Detail"] == f"matches nothing here: the policy excludes {tree}/deep"
    policy.chmod(0o666)
    code, rows = check(file, "--policy", str(policy))
    assert code == 1  # its variables are not known either
    assert "can be written by others" in next(row["Message"] for row in rows if row.get("Place") == str(policy))


def test_on_a_terminal_it_says_how_far_it_is(tree: Path, tmp_path: Path) -> None:
    file = document(tmp_path, {"name": "all", "destinationPath": f"{tree}/**"}, enableSoftware=True)
    mine, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "whatchanged", "rules", "check", file], stdout=subprocess.PIPE, stderr=its, text=True
    ) as process:
        os.close(its)
        said = b""
        try:
            while part := os.read(mine, 4096):
                said += part
        except OSError:  # EIO: the other end is closed, pty(7)
            pass
        assert process.stdout is not None
        table = process.stdout.read()
    os.close(mine)
    assert b"looking at software" in said
    assert "all" in table
    assert process.returncode == 0
