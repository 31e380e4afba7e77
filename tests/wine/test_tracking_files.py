"""Files of a Windows, tracked: what happens to them becomes rows at the server, and nothing else does."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import json
import uuid
from collections.abc import Iterator

import pytest

from wine.conftest import Windows
from wine.windows_machine import WindowsMachine, windows_rule

pytestmark = [pytest.mark.wine, pytest.mark.timeout(600)]

TREE = r"C:\Whatchanged-tests\Files"
READ_ONLY, NORMAL = 0x1, 0x80
ODD = ("CON", "nul.txt", "dot.", "space ", "-rf", "$(reboot)", "%winDir%", "r\u202elo", "\U0001f600", "x" * 200)
"""Names that Windows, a shell or a reader may take for something else."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, windows: Windows) -> Iterator[WindowsMachine]:
    """A tracked Windows, whose tests each have a folder of their own and look when they want to."""
    made = WindowsMachine(tmp_path_factory.mktemp("windows"), windows)
    rules = (
        # In another case than the folder has: that counts for nothing.
        {"name": "tree", "path": rf"{TREE.upper()}\*", "recurse": True},
        {"name": "system", "path": r"%winDir%\System32\*.*"},
    )
    made.write_file(rf"{TREE}\there before", b"x")
    try:
        made.begin(
            windows_rule({"name": "none", "keyName": r"HKEY_LOCAL_MACHINE\Software\None"}, files=rules), watch=False
        )
        yield made
        assert made.troubles() == []
    finally:
        made.end()


@pytest.fixture
def folder(machine: WindowsMachine) -> Iterator[str]:
    """A folder of our own that is tracked."""
    made = rf"{TREE}\{uuid.uuid4()}"
    machine.write_file(rf"{made}\there before", b"before")
    machine.news()
    yield made
    machine.act("remove_tree", path=made)


def test_a_file_is_added_changed_and_removed(machine: WindowsMachine, folder: str) -> None:
    path, content = rf"{folder}\Größe.EXE", b"MZ first"
    machine.write_file(path, content)
    (row,) = machine.news()
    assert (row["ConfigChangeType"], row["ChangeCategory"], row["FileSystemPath"]) == ("Files", "Added", path)
    assert (row["Size"], row["RuleName"], row["DetectedBy"]) == (len(content), "tree", "Poll")
    assert row["FileContentChecksum"].upper() == hashlib.sha256(content).hexdigest().upper()
    assert row["Acls"].startswith("O:S-1-5-")
    machine.write_file(path, b"MZ then another")
    (row,) = machine.news()
    assert (row["ChangeCategory"], row["PreviousSize"], row["Size"]) == ("Modified", len(content), 15)
    assert {"FileContentChecksum", "Size"} <= set(row["FieldsChanged"].split(","))
    machine.act("set_attributes", path=path, attributes=READ_ONLY)
    (row,) = machine.news()
    assert "Attributes" in row["FieldsChanged"].split(",")  # to Wine it is a matter of permissions as well
    assert row["Attributes"].startswith("ReadOnly")
    (item,) = [one for one in machine.inventory("files") if one["FileSystemPath"] == path]
    assert item["Attributes"].startswith("ReadOnly")
    assert path in {one["FileSystemPath"] for one in machine.export("File.json")}
    machine.act("set_attributes", path=path, attributes=NORMAL)
    machine.act("remove_file", path=path)
    (row,) = machine.news()
    assert (row["ChangeCategory"], row["FileSystemPath"]) == ("Removed", path)
    assert path not in {one["FileSystemPath"] for one in machine.inventory("files")}


def test_names_that_are_read_as_something_else(machine: WindowsMachine, folder: str) -> None:
    deep = "\\".join(["d" * 60] * 12)
    paths = {rf"{folder}\{name}" for name in (*ODD, rf"{deep}\file.txt")}
    for path in paths:
        machine.write_file(path, path.encode())
    assert {(row["ChangeCategory"], row["FileSystemPath"]) for row in machine.news()} == {("Added", p) for p in paths}
    for path in paths:
        machine.act("remove_file", path=path)
    assert {(row["ChangeCategory"], row["FileSystemPath"]) for row in machine.news()} == {("Removed", p) for p in paths}


def test_a_folder_that_is_renamed_is_one_cause(machine: WindowsMachine, folder: str) -> None:
    names = ["a", "b.txt", r"below\c"]
    for name in names:
        machine.write_file(rf"{folder}\old\{name}", name.encode())
    assert len(machine.news()) == 3
    machine.act("rename", path=rf"{folder}\old", to=rf"{folder}\new")
    rows = machine.news()
    assert {(r.get("PreviousFileSystemPath"), r["FileSystemPath"]) for r in rows} == {
        (rf"{folder}\old\{name}", rf"{folder}\new\{name}") for name in names
    }
    assert len({row["TransactionId"] for row in rows}) == 1


def test_a_rule_over_the_system_folder(machine: WindowsMachine) -> None:
    """As people write it, `%winDir%\\System32\\*.*`: everything in it, and nothing below."""
    listed = "import os; print(*[e.name for e in os.scandir(r'C:\\windows\\system32') if e.is_file()], sep='|')"
    names = machine.windows.python("-c", listed).stdout.strip().split("|")
    items = {row["FileSystemPath"].lower() for row in machine.inventory("files") if row["RuleName"] == "system"}
    assert items == {rf"c:\windows\system32\{name}".lower() for name in names}
    path = rf"C:\windows\system32\{uuid.uuid4()}.dll"
    machine.news()
    machine.write_file(path, b"MZ")
    told = [(row["ChangeCategory"], row["FileSystemPath"].lower(), row["RuleName"]) for row in machine.news()]
    assert told == [("Added", path.lower(), "system")]
    machine.act("remove_file", path=path)
    (row,) = machine.news()
    assert row["ChangeCategory"] == "Removed"


def test_why_says_which_rule_takes_a_path(machine: WindowsMachine, folder: str) -> None:
    """Asked in whatever letter case."""
    (asked,) = json.loads(machine.agent("why", rf"{folder}\THERE before".upper(), "--json"))
    assert (asked["verdict"], asked["path"]) == ("Tracked", rf"{folder}\there before")
    assert [rule["RuleName"] for rule in asked["rules"]] == ["tree"]
    (asked,) = json.loads(machine.agent("why", r"C:\elsewhere", "--json"))
    assert (asked["verdict"], asked["rules"]) == ("NoRule", [])
