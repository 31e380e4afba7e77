"""The paths of Windows file rules, on any system."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RuleError
from whatchanged.rules import WINDOWS, FileRule, FileScope, FileType, Links, Variables, read_extension_settings
from whatchanged.rules.windows_patterns import fold, windows_exclusion, windows_pattern
from whatchanged.rules.windows_variables import expanded, fill

MACHINE = expanded(
    {
        "SystemRoot": r"C:\Windows",
        "winDir": "%SystemRoot%",
        "ProgramFiles(x86)": r"C:\Program Files (x86)",
        "odd": r"D:\[logs]",
        "words": "no path",
        "loop": "%loop%",
    }
)


def scope(path: str, **fields: object) -> FileScope:
    rule = FileRule(name="r", destination_path=windows_pattern(path, Variables(windows=MACHINE)), **fields)  # type: ignore[arg-type]
    return FileScope([rule], folds=True)


@pytest.mark.parametrize(
    ("path", "taken", "left"),
    [
        (r"%winDir%\System32\*.*", [b"/C:/Windows/System32/hosts", b"/c:/WINDOWS/system32/a.dll"], [b"/C:/Windows/x"]),
        (r"D:\testing\*", [b"/D:/Testing/a"], [b"/D:/testing/a/b", b"/E:/testing/a"]),
        (r"C:\a\*.exe", [b"/C:/A/x.EXE", b"/C:/a/.exe"], [b"/C:/a/x.exe.txt", b"/C:/a/exe"]),
        (r"C:\a\app.*", [b"/C:/a/APP.config"], [b"/C:/a/application"]),
        (r"C:\Users\*\**\*.ps1", [b"/C:/Users/me/a/b/x.ps1", b"/C:/Users/me/x.PS1"], [b"/C:/Users/x.ps1"]),
        (r"%ProgramFiles(x86)%\x", [b"/C:/Program Files (x86)/X"], [b"/C:/Program Files/x"]),
        (r"%ODD%\*", [b"/D:/[logs]/x"], [b"/D:/l/x"]),
        ("C:\\", [b"/C:/pagefile.sys"], [b"/C:/a/b"]),
        (r"\\Server\Share\*", [b"/UNC/server/share/x"], [b"/UNC/server/x"]),
        (r"\\?\C:\a\b", [b"/C:/a/b"], []),
        ("C:/mixed\\case", [b"/C:/Mixed/Case"], []),
        ("C:\\\xe9\\\ud800*", ["/C:/É/\ud800x".encode("utf-8", "surrogatepass")], []),
        ("C:\\[a-c]x", [b"/C:/BX"], [b"/C:/dx"]),
        ("C:\\[[:lower:]]", [b"/C:/B", b"/C:/b"], [b"/C:/1"]),
    ],
)
def test_what_a_path_takes(path: str, taken: list[bytes], left: list[bytes]) -> None:
    made = scope(path)
    assert [name for name in taken if not made.match(name)] == []
    assert [name for name in left if made.match(name)] == []


def test_roots_keep_their_spelling_and_are_told_once() -> None:
    rules = [FileRule(name=p, destination_path=windows_pattern(p)) for p in ("C:\\Logs\\*", "c:\\LOGS\\a\\*", "D:\\*")]
    assert FileScope(rules, folds=True).roots() == (b"/C:/Logs", b"/D:")


def test_only_windows_takes_case_for_nothing() -> None:
    rule = FileRule(name="r", destination_path=b"/etc/Hosts")
    assert not FileScope([rule], folds=False).match(b"/etc/hosts")
    assert FileScope([rule], folds=True).match(b"/etc/hosts")


def test_exclusions() -> None:
    made = scope("C:\\a\\*", recurse=True, exclude=(windows_exclusion("*.LOG"), windows_exclusion("c:\\A\\cache")))
    assert made.match(b"/C:/a/b/x")
    assert not made.match(b"/C:/a/b/x.log")
    assert not made.match(b"/C:/a/Cache/x")
    assert windows_exclusion("sub\\x") == b"sub/x"


@pytest.mark.parametrize("name", ["USERPROFILE", "nothing", "words", "loop"])
def test_variables_that_are_no_path_of_the_machine(name: str) -> None:
    with pytest.raises(RuleError, match=name):
        fill(f"%{name}%\\x", MACHINE, {})


def test_declared_variables_win_and_may_stand_anywhere() -> None:
    assert fill("%winDIR%\\%App%", MACHINE, {"WINDIR": "E:\\w", "APP": "mine"}) == "E:\\w\\mine"
    with pytest.raises(RuleError):
        fill("C:\\%winDir%", MACHINE, {})


def test_without_a_machine_a_variable_stands_for_a_drive() -> None:
    found = read_extension_settings(
        {"fileSettings": {"fileInfo": [{"name": "a", "path": "%App%\\*.exe", "pathType": "Folder", "recurse": True}]}},
        WINDOWS,
    )
    assert found.problems == ()
    (rule,) = found.files
    assert (rule.written, rule.destination_path) == ("%App%\\*.exe", b"/C:/*.exe")
    assert (rule.type, rule.links, rule.recurse) == (FileType.DIRECTORY, Links.MANAGE, True)
    assert "%App%" in str(rule)


def test_unknown_variables_and_other_machines_are_told() -> None:
    items = [{"name": "a", "path": "%App%\\x"}, {"name": "b", "path": "\\\\server\\share\\x"}, {"name": "c", "path": 5}]
    found = read_extension_settings(
        {"fileSettings": {"fileInfo": items}}, WINDOWS, variables=Variables(windows=MACHINE)
    )
    assert [rule.name for rule in found.files] == ["b"]
    assert [(p.severity.value, p.place[-14:]) for p in found.problems] == [
        ("error", "leInfo[0].path"),
        ("warning", "leInfo[1].path"),
        ("error", "leInfo[2].path"),
    ]


def test_a_windows_that_nobody_asked_sets_nothing() -> None:
    asked = Variables() if sys.platform == "win32" else Variables(windows={})
    with pytest.raises(RuleError, match="winDir"):
        asked.fill_windows("%winDir%\\x")


@given(st.text())
def test_folding_is_stable(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert fold(fold(raw)) == fold(raw)
    assert len(fold(raw).decode("utf-8", "surrogatepass")) == len(text)


def test_folding_pairs_letters_as_the_file_system_does() -> None:
    assert fold("äß".encode()) == "Äß".encode()
    assert fold("ı".encode()) == "ı".encode()
    assert fold("\U00010428".encode()) == "\U00010428".encode()
    assert fold(b"\xff") == b"\xff"
