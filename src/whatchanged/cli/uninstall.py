"""`whatchanged uninstall`: take the services away; the data stays unless `--purge`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator

from whatchanged.cli.install import UNIT_FOLDER, installed_units, require_root_and_systemd, systemctl
from whatchanged.cli.options import load_values
from whatchanged.cli.output import Output
from whatchanged.errors import OperationError
from whatchanged.settings import DataFolder

__all__ = ["NAME", "NOTHING", "SUMMARY", "add_arguments", "purge", "run"]

NAME = "uninstall"
SUMMARY = "Remove the services; keeps the data unless --purge"


NOTHING = "Nothing is installed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--purge", action="store_true", help="delete the data folder's contents too")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Uninstall."""
    if sys.platform == "win32":
        from whatchanged.cli.windows_services.setup import uninstall

        return uninstall(arguments, output)
    require_root_and_systemd()
    data = load_values(arguments).data
    units = installed_units()
    if units:
        systemctl("disable", "--now", *units)
    for unit in units:
        os.unlink(os.path.join(UNIT_FOLDER, unit))
    systemctl("daemon-reload")
    rows = [{"Unit": unit, "Result": "removed"} for unit in units]
    if arguments.purge:
        rows += [{"Unit": folder, "Result": "deleted"} for folder in purge(data)]
    output.rows(rows, empty=NOTHING)
    return 0


def purge(data: DataFolder) -> Iterator[str]:
    """Delete the folders of the processes; yields those that are gone. Raises OperationError."""
    for folder in (data.tracker, data.forwarder, data.pipe_folder, data.server):
        _delete(folder)
        yield folder


def _delete(folder: str) -> None:
    if not os.path.lexists(folder):
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise OperationError(f"cannot delete {folder}: {error}") from error
