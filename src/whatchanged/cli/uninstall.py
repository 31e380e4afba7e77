"""`whatchanged uninstall`: take the services away; the data stays unless `--purge`."""

from __future__ import annotations

import argparse
import os
import shutil

from whatchanged.cli.install import UNIT_FOLDER, installed_units, require_root_and_systemd, systemctl
from whatchanged.cli.options import load_values
from whatchanged.cli.output import Output
from whatchanged.errors import OperationError

NAME = "uninstall"
SUMMARY = "Remove the services; keeps the data unless --purge"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--purge", action="store_true", help="delete the data folder's contents too")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Uninstall."""
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
        for folder in (data.tracker, data.forwarder, data.pipe_folder, data.server):
            _delete(folder)
            rows.append({"Unit": folder, "Result": "deleted"})
    output.rows(rows, empty="Nothing is installed.")
    return 0


def _delete(folder: str) -> None:
    if not os.path.lexists(folder):
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise OperationError(f"cannot delete {folder}: {error}") from error
