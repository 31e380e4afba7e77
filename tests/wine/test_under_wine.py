"""The agents in a Windows under Wine: the commands, and the suites that a Windows can run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import whatchanged
from wine.conftest import Windows

pytestmark = [pytest.mark.wine, pytest.mark.timeout(900)]

SUITES = {
    "tests/unit/ipc": 40,
    "tests/unit/wire": 50,
    "tests/unit/records": 50,
    "tests/unit/collectors": 41,
    "tests/unit/rules": 234,
    "tests/unit/forwarder": 20,
    "tests/unit/test_settings_loading.py": 5,
    "tests/integration/windows": 137,
    "tests/unit/tracker/test_registry_run.py": 18,
    "tests/unit/cli/test_windows_services.py": 14,
    "tests/e2e/windows": 12,
}
"""Suite → how many tests of it run there at least."""
INSTALLED = {"tests/e2e/windows"}
"""Suites of a program that is installed."""


def test_the_program_tells_its_version(windows: Windows) -> None:
    done = windows.python("-m", "whatchanged", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"whatchanged {whatchanged.__version__}"), done.stderr


def test_doctor_says_what_is_missing(windows: Windows, tmp_path: Path) -> None:
    done = windows.python("-m", "whatchanged", "doctor", "--json", "--data", windows.path(tmp_path / "data"))
    assert done.returncode == 1, done.stderr
    findings = {row["Check"]: row for row in json.loads(done.stdout)}
    assert findings["data folder"]["Status"] == "Error"
    assert findings["forwarder"]["Detail"].startswith("cannot connect to \\\\.\\pipe\\whatchanged_")
    assert "Traceback" not in done.stderr


def collect_files(windows: Windows, tmp_path: Path, path: str) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of the files that a rule takes, and what else was said."""
    source = {
        "extensionName": "ChangeTracking-Windows",
        "extensionSettings": {"fileSettings": {"fileInfo": [{"name": "texts", "path": path}]}},
        "streams": ["Microsoft-ConfigurationChange"],
    }
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps({"properties": {"dataSources": {"extensions": [source]}}}))
    done = windows.python("-m", "whatchanged", "collect", "files", "--rule", windows.path(rule), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_reparse_point_is_not_walked_through(windows: Windows, tmp_path: Path) -> None:
    # What is mounted on a folder of ours is a mount point to Wine, of which it does not say where it leads.
    assert Path("/proc/version").is_file()
    rows, said = collect_files(windows, tmp_path, "Z:\\proc\\*")
    assert rows == []
    assert "Z:\\proc: E" in said
    assert "Partial: 0 items seen" in said


def test_files_are_collected_by_a_rule(windows: Windows, tmp_path: Path) -> None:
    folder = tmp_path / "Texts"
    folder.mkdir()
    (folder / "One.TXT").write_bytes(b"one")
    (folder / "two.log").write_bytes(b"two")
    rows, said = collect_files(windows, tmp_path, windows.path(folder).swapcase() + "\\*.txt")
    (row,) = rows
    assert row["FileSystemPath"] == windows.path(folder / "One.TXT")
    assert (row["FileContentChecksum"], row["RuleName"]) == (hashlib.sha256(b"one").hexdigest().upper(), "texts")
    assert (row["Attributes"], row["Acls"][:7]) == ("Archive", "O:S-1-5")
    assert "Ok: 1 items seen" in said


def test_rules_check_counts_what_a_rule_takes_here(windows: Windows, tmp_path: Path) -> None:
    folder = tmp_path / "Counted"
    folder.mkdir()
    (folder / "one.txt").write_text("four")
    key = r"HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion"
    source = {
        "name": "CTDataSource-Windows",
        "extensionName": "ChangeTracking-Windows",
        "extensionSettings": {
            "fileSettings": {"fileInfo": [{"name": "texts", "path": windows.path(folder).upper() + "\\*.*"}]},
            "registrySettings": {"registryInfo": [{"name": "version", "keyName": key, "valueName": "ProductName"}]},
            **{f"enable{kind}": True for kind in ("Files", "Registry", "Software", "Services")},
        },
        "streams": ["Microsoft-ConfigurationChange"],
    }
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps({"properties": {"dataSources": {"extensions": [source]}}}))
    done = windows.python("-m", "whatchanged", "rules", "check", windows.path(rule), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {row["Kind"]: row["Items"] for row in json.loads(done.stdout) if "Kind" in row}
    assert (counts["Files"], counts["Registry"]) == (1, 1)
    assert counts["Services"] > 5
    assert "Software" in counts


@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite: str, windows: Windows, tmp_path: Path) -> None:
    flags = ("-q", "-p", "no:cacheprovider", f"--basetemp={windows.path(tmp_path / 'tmp')}")
    program = windows.install() if suite in INSTALLED else None
    done = windows.python("-m", "pytest", *flags, suite, program=program, seconds=800)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    closing = done.stdout.strip().rpartition("\n")[2]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", closing)}
    assert counts.get("passed", 0) >= SUITES[suite], closing
    assert not counts.keys() & {"skipped", "xfailed", "deselected"}, closing
