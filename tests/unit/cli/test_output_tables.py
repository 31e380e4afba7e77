"""What is written is safe to look at and to read by programs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.cli.changes import for_people
from whatchanged.cli.output import Output, json_text

_HOSTILE = "\x1b]0;owned\x07[red]name[/red]\r\n\u202e\x7f\x9b\udcff"


def test_tables_hold_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows([{"FileSystemPath": _HOSTILE, "Size": 3}], ("FileSystemPath", "Size"))
    written = capsys.readouterr().out
    assert "[red]name[/red]" in written
    assert all(c == "\n" or c.isprintable() for c in written)
    assert len(written.splitlines()) == 2


def test_into_a_pipe_nothing_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows([{"FileSystemPath": "/x" * 2000}])
    assert "/x" * 2000 in capsys.readouterr().out


def test_json_is_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    assert Output(as_json=True).rows(iter([{"Name": _HOSTILE}, {"Name": "b"}])) == 2
    written = capsys.readouterr().out
    assert json.loads(written) == [{"Name": _HOSTILE}, {"Name": "b"}]
    assert all(c == "\n" or " " <= c <= "~" for c in written)


def test_json_of_nothing_is_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).rows([])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert captured.err == ""


@given(st.text())
def test_any_text_survives_json_without_control_characters(text: str) -> None:
    written = json_text(text)
    assert json.loads(written) == text
    assert all(" " <= c <= "~" for c in written)


def test_a_software_change_shows_its_versions() -> None:
    row = {
        "ConfigChangeType": "Software",
        "ChangeCategory": "Modified",
        "SoftwareName": "nginx",
        "FieldsChanged": "CurrentVersion",
        "Previous": "1.22",
        "Current": "1.24",
    }
    (shown,) = for_people([row])
    assert (shown["Item"], shown["Change"]) == ("nginx", "1.22 → 1.24")


def test_a_rename_shows_both_paths() -> None:
    row = {
        "ConfigChangeType": "Files",
        "ChangeCategory": "Modified",
        "FileSystemPath": "/etc/b",
        "PreviousFileSystemPath": "/etc/a",
        "FieldsChanged": "FileSystemPath,Size",
        "PreviousSize": 1,
        "Size": 2,
    }
    (shown,) = for_people([row])
    assert (shown["Item"], shown["Change"]) == ("/etc/a → /etc/b", "renamed, Size: 1 → 2")
