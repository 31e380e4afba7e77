"""This program as a command, in the forms that it comes in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from whatchanged import __version__
from whatchanged.cli import program


def test_the_command_runs_this_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = subprocess.run(program.command_line(["--version"]), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"whatchanged {__version__}"


def test_isolated_it_loads_nothing_of_its_caller() -> None:
    assert program.command_line(["tracker"], isolated=True) == [sys.executable, "-I", "-m", "whatchanged", "tracker"]
    assert "-I" not in program.command_line(["tracker"])


def test_frozen_it_is_its_own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_FROZEN", True)
    assert program.command_line(["service", "tracker"], isolated=True) == [sys.executable, "service", "tracker"]
    assert not program.in_virtual_environment()


def test_its_code_comes_from_the_interpreter_and_the_search_path() -> None:
    assert sys.executable in program.places()
    assert any(__file__.startswith(place) for place in program.places()[1:])
