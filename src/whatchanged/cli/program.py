"""This program as a command: installed as a package, or frozen into an executable of its own (PyInstaller)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["command_line", "in_virtual_environment", "places"]

# https://pyinstaller.org/en/stable/runtime-information.html
_FROZEN = bool(getattr(sys, "frozen", False))


def command_line(arguments: Sequence[str], *, isolated: bool = False) -> list[str]:
    """Return the command that runs this program once more.

    `isolated`: it loads nothing from the working folder, the environment or a user's packages (python -I), as what
    runs with other rights than its caller's must not.
    """
    if _FROZEN:
        return [sys.executable, *arguments]
    return [sys.executable, *(("-I",) if isolated else ()), "-m", "whatchanged", *arguments]


def in_virtual_environment() -> bool:
    """Whether the packages of a virtual environment are used (venv)."""
    return not _FROZEN and sys.prefix != sys.base_prefix


def places() -> list[str]:
    """Return the files and folders that the program's code comes from: who may change them is the program."""
    return [sys.executable, *(place for place in sys.path if os.path.exists(place))]
