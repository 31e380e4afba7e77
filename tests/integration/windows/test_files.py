"""Files of a running Windows: what the walk and the look at one path make of real ones."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from ctypes import wintypes
from pathlib import Path

import pytest

from unit.collectors.conftest import Memory
from whatchanged.collectors import Failure, RunStatus
from whatchanged.collectors.files import (
    FileCollector,
    Looked,
    Missing,
    PathLooker,
    Unchanged,
    Unlimited,
    Unmatched,
)
from whatchanged.collectors.files.signature import unread
from whatchanged.records.items import FileItem, Kind
from whatchanged.records.keys import row_key
from whatchanged.records.windows_paths import carried
from whatchanged.rules import FileRule, FileScope, FileType, Links, Variables
from whatchanged.rules.windows_patterns import windows_pattern
from whatchanged.tracker.contents import LargeContents

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.CreateFileW.restype = wintypes.HANDLE
_kernel32.CreateFileW.argtypes = (
    wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD, wintypes.HANDLE
)  # fmt: skip
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
_GENERIC_READ, _OPEN_EXISTING = 0x80000000, 3


class Machine:
    """This machine, looked at again and again by one rule."""

    def __init__(self, path: str, *, recurse: bool = True, links: Links = Links.MANAGE) -> None:
        pattern = windows_pattern(path, Variables.load())
        self.rule = FileRule(name="r", destination_path=pattern, recurse=recurse, links=links, written=path)
        self.scope = FileScope([self.rule])
        self.memory = Memory()

    def collect(self, **options: object) -> dict[bytes, Looked]:
        arguments = {"settle_ns": 0, "threads": 2, **options}
        collector = FileCollector(self.scope, known=self.memory, **arguments)  # type: ignore[arg-type]
        self.looks = []
        for look in collector.run():
            self.looks.append(look)
            self.memory.keep(look)
        self.outcome = collector.outcome
        return {looked.item.path: looked for look in self.looks for looked in look.looked}

    def vanished(self) -> list[bytes]:
        return sorted(look.folder + b"/" + name for look in self.looks for name in look.vanished)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Tree"
    made.mkdir()
    return made


def key(path: Path | str) -> bytes:
    return carried(os.fsencode(path))


def extended(path: Path) -> str:
    """Return a path that no part of Windows reads as anything else."""
    return "\\\\?\\" + str(path)


def write(path: Path | str, content: bytes = b"content") -> None:
    with open(path, "wb") as file:
        file.write(content)


def test_first_look_hashes_and_second_look_reads_nothing(folder: Path) -> None:
    contents = {folder / f"d{n % 3}" / f"f{n}": b"%d" % n * (n * 9000) for n in range(30)}
    for path, content in contents.items():
        path.parent.mkdir(exist_ok=True)
        write(path, content)
    machine = Machine(f"{folder}\\*")
    found = machine.collect()
    assert {path: looked.item.sha256 for path, looked in found.items()} == {
        key(path): hashlib.sha256(content).digest() for path, content in contents.items()
    }
    assert machine.outcome.status is RunStatus.OK
    assert machine.outcome.bytes_read == sum(map(len, contents.values()))
    assert machine.collect() == {}
    assert (machine.outcome.seen, machine.outcome.bytes_read, machine.vanished()) == (30, 0, [])
    assert len(machine.collect(rehash=True)) == 30


def test_a_row_says_what_windows_says(folder: Path) -> None:
    path = folder / "An ünusual näme.txt"
    write(path, b"hello")
    (looked,) = Machine(f"{folder}\\*.txt").collect().values()
    row = looked.item.columns()
    assert (row["FileSystemPath"], row["Name"], row["Location"]) == (str(path), path.name, str(folder))
    assert (row["Attributes"], row["Size"], "PathBytes" in row) == ("Archive", 5, False)
    assert str(row["Acls"]).startswith("O:S-1-5-")
    assert "D:" in str(row["Acls"])
    status = os.stat(path)
    assert looked.item.modified_ns == status.st_mtime_ns
    assert looked.item.created_ns == status.st_ctime_ns  # of Python 3.11 on Windows: when it was made
    assert row_key({**row, "ConfigDataType": "Files"}) == (Kind.FILES, looked.item.key())


def test_changes_of_content_attributes_and_presence_are_told(folder: Path) -> None:
    for name in "abcd":
        write(folder / name)
    machine = Machine(f"{folder}\\*")
    machine.collect()
    write(folder / "a", b"another")
    os.unlink(folder / "b")
    assert _kernel32.SetFileAttributesW(str(folder / "c"), 0x1 | 0x2 | 0x4)
    found = machine.collect()
    assert set(found) == {key(folder / "a"), key(folder / "c")}
    assert found[key(folder / "c")].item.attributes().startswith("ReadOnly, Hidden, System")
    assert machine.vanished() == [key(folder / "b")]
    _kernel32.SetFileAttributesW(str(folder / "c"), 0x80)
    assert found[key(folder / "c")].item.compared() != machine.collect()[key(folder / "c")].item.compared()


def test_names_that_windows_reads_as_something_else(folder: Path) -> None:
    names = [
        "CON",
        "NUL",
        "com1.txt",
        "dot.",
        "space ",
        "-rf",
        "$(reboot)",
        "%winDir%",
        "r\u202elo",
        "\U0001f600",
        "x" * 200,
    ]
    for name in names:
        write(extended(folder) + "\\" + name, name.encode())
    machine = Machine(f"{folder}\\*")
    found = machine.collect()
    assert {path.rpartition(b"/")[2].decode(): looked.item.sha256 for path, looked in found.items()} == {
        name: hashlib.sha256(name.encode()).digest() for name in names
    }
    assert machine.outcome.failed == 0
    assert machine.collect() == {}


def test_a_name_that_is_no_path_leads_nowhere(folder: Path) -> None:
    (folder / "a").mkdir()
    write(folder / "a" / "b")
    with PathLooker(Machine(f"{folder}\\**").scope) as looker:
        for odd in (b"a\\b", b"a/..", b"a/.", b"a/b:stream", b"a/b::$DATA"):
            found = looker.look(key(folder) + b"/" + odd)
            assert isinstance(found, Missing), odd


def test_hard_links_are_told_apart_and_change_together(folder: Path) -> None:
    write(folder / "one")
    os.link(folder / "one", folder / "two")
    machine = Machine(f"{folder}\\*")
    found = machine.collect()
    assert [looked.item.links for looked in found.values()] == [2, 2]
    write(folder / "two", b"through the other name")
    assert set(machine.collect()) == {key(folder / "one"), key(folder / "two")}


def test_a_path_of_more_than_a_thousand_characters(folder: Path) -> None:
    path = extended(folder)
    while len(path) < 1_000:
        path += "\\" + "d" * 60
        os.mkdir(path)
    path += "\\file.txt"
    write(path)
    machine = Machine(f"{folder}\\*.txt")
    (found,) = machine.collect()
    assert found == carried(path.encode())
    write(path, b"changed")
    assert set(machine.collect()) == {found}
    with PathLooker(machine.scope, known=machine.memory, settle_ns=0) as looker:
        assert isinstance(looker.look(found), Unchanged)
    os.unlink(path)
    machine.collect()
    assert machine.vanished() == [found]


def test_deep_trees(folder: Path) -> None:
    path = extended(folder)
    for _ in range(60):
        path += "\\d"
        os.mkdir(path)
    write(path + "\\bottom")
    machine = Machine(f"{folder}\\*")
    assert set(machine.collect()) == {carried(path.encode()) + b"/bottom"}
    assert machine.outcome.status is RunStatus.OK


@pytest.fixture
def in_use(folder: Path) -> Iterator[Path]:
    """A file that somebody has open and shares with nobody."""
    path = folder / "used"
    write(path)
    handle = _kernel32.CreateFileW(str(path), _GENERIC_READ, 0, None, _OPEN_EXISTING, 0, None)
    assert handle not in (None, wintypes.HANDLE(-1).value)
    yield path
    _kernel32.CloseHandle(handle)


def test_a_file_in_exclusive_use_is_told_without_its_content(folder: Path, in_use: Path) -> None:
    machine = Machine(f"{folder}\\*")
    (looked,) = machine.collect().values()
    assert (looked.item.path, looked.item.sha256, looked.item.size) == (key(in_use), b"", 7)
    assert unread(looked.signature)
    assert machine.outcome.status is RunStatus.PARTIAL
    assert [f.path for f in machine.outcome.failures] == [key(in_use)]
    assert "shares it with nobody" in machine.outcome.failures[0].reason


def test_a_known_file_in_exclusive_use_is_not_gone(folder: Path) -> None:
    path = folder / "used"
    write(path)
    machine = Machine(f"{folder}\\*")
    machine.collect()
    write(path, b"changed")
    handle = _kernel32.CreateFileW(str(path), _GENERIC_READ, 0, None, _OPEN_EXISTING, 0, None)
    try:
        assert machine.collect() == {}
        assert machine.vanished() == []
        assert machine.outcome.failed == 1
        with PathLooker(machine.scope, known=machine.memory) as looker:
            assert isinstance(looker.look(key(path)), Failure)
    finally:
        _kernel32.CloseHandle(handle)
    assert set(machine.collect()) == {key(path)}


def test_looking_keeps_nobody_from_deleting_and_renaming(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    write(folder / "a" / "b" / "x", b"x" * 3_000_000)
    taken: list[bool] = []

    class Renaming:
        """A budget that renames the file in the middle of its being read."""

        def spend(self, count: int) -> None:
            if count and not taken:
                os.rename(folder / "a" / "b" / "x", folder / "a" / "b" / "y")
                os.unlink(folder / "a" / "b" / "y")
                taken.append(True)

    machine = Machine(f"{folder}\\*")
    found = machine.collect(budget=Renaming(), threads=1)
    assert taken == [True]
    assert set(found) <= {key(folder / "a" / "b" / "x")}
    machine.collect()
    assert machine.outcome.seen == 0


def test_a_path_is_looked_at_by_its_own_spelling(folder: Path) -> None:
    (folder / "Sub").mkdir()
    write(folder / "Sub" / "File.txt")
    machine = Machine(f"{str(folder).swapcase()}\\*.TXT")
    assert set(machine.collect()) == {key(folder / "Sub" / "File.txt")}
    with PathLooker(machine.scope, known=machine.memory, settle_ns=0) as looker:
        assert isinstance(looker.look(key(folder / "Sub" / "File.txt")), Unchanged)
        assert isinstance(looker.look(key(folder / "Sub" / "FILE.txt")), Missing)
        assert isinstance(looker.look(key(folder / "SUB" / "File.txt")), Missing)
        assert isinstance(looker.look(key(folder / "Sub" / "none.txt")), Missing)
        assert isinstance(looker.look(key(folder / "Sub")), Unmatched)
    os.rename(folder / "Sub" / "File.txt", folder / "Sub" / "between")  # in one step Wine does nothing
    os.rename(folder / "Sub" / "between", folder / "Sub" / "fILE.txt")
    assert set(machine.collect()) == {key(folder / "Sub" / "fILE.txt")}
    assert machine.vanished() == [key(folder / "Sub" / "File.txt")]


def test_a_path_of_a_thousand_names_is_survived(folder: Path) -> None:
    machine = Machine(f"{folder}\\*")
    with PathLooker(machine.scope) as looker:
        assert isinstance(looker.look(key(folder) + b"/d" * 1_500), Missing)


def test_the_rule_that_everybody_has() -> None:
    machine = Machine("%winDir%\\System32\\*.*", recurse=False)
    found = machine.collect(content=False)
    rows = {str(looked.item.columns()["FileSystemPath"]).lower() for looked in found.values()}
    system = os.path.join(os.environ["SYSTEMROOT"], "System32")
    there = {entry.path.lower() for entry in os.scandir(system) if entry.is_file()}
    assert len(there) > 100
    assert rows == there


def test_a_missing_root_and_a_missing_drive_are_nothing(folder: Path) -> None:
    for path in (f"{folder}\\none\\*", "Q:\\*"):
        machine = Machine(path)
        assert machine.collect() == {}
        assert machine.outcome.status is RunStatus.OK


def test_other_machines_are_not_looked_at() -> None:
    machine = Machine("\\\\server.invalid\\share\\*")
    assert machine.collect() == {}
    assert [(s.path, s.point) for s in machine.outcome.skipped] == [(b"/UNC/server.invalid/share", b"/UNC")]
    with PathLooker(machine.scope) as looker:
        assert isinstance(looker.look(b"/UNC/server.invalid/share/x"), Failure)
        obstacle = looker.trace(b"/UNC/server.invalid/share/x").obstacle
    assert obstacle is not None
    assert obstacle.code == "NetworkFileSystem"


def test_a_large_folder_comes_in_batches(folder: Path) -> None:
    for number in range(300):
        write(folder / f"{number:0100}", b"")
    machine = Machine(f"{folder}\\*")
    assert len(machine.collect()) == 300  # 60 KiB of names: more than one answer of the system
    assert [look.complete for look in machine.looks] == [True]


def test_a_large_content_is_read_aside(folder: Path) -> None:
    content = b"0123456789" * 300_000
    write(folder / "large", content)
    stop, was_read = threading.Event(), threading.Event()
    large = LargeContents(Unlimited(), stop, lambda _path: was_read.set(), least=1_000_000)
    machine = Machine(f"{folder}\\*")
    thread = threading.Thread(target=large.run)
    thread.start()
    try:
        assert machine.collect(aside=large) == {}
        assert [look.awaited for look in machine.looks] == [[b"large"]]
        assert was_read.wait(60)
        (looked,) = machine.collect(aside=large).values()
    finally:
        stop.set()
        large.wake()
        thread.join()
    assert looked.item.sha256 == hashlib.sha256(content).digest()


def test_stop_ends_the_run(folder: Path) -> None:
    write(folder / "a")
    stop = threading.Event()
    stop.set()
    machine = Machine(f"{folder}\\*")
    assert machine.collect(stop=stop) == {}
    assert machine.outcome.status is RunStatus.STOPPED


def test_a_folder_is_an_item_where_a_rule_takes_folders(folder: Path) -> None:
    (folder / "Sub").mkdir()
    rule = FileRule(name="r", destination_path=windows_pattern(f"{folder}\\*"), type=FileType.ANY)
    looks = list(FileCollector(FileScope([rule])).run())
    (item,) = [looked.item for look in looks for looked in look.looked]
    assert isinstance(item, FileItem)
    assert (item.attributes(), stat.S_ISDIR(item.mode), item.size) == ("Directory", True, 0)
