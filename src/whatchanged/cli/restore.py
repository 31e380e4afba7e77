"""`whatchanged restore PATH`: bring a server back from a backup, into an empty data folder."""

from __future__ import annotations

import argparse
import os

from whatchanged.cli.options import load_values
from whatchanged.cli.output import Output
from whatchanged.cli.server import require_server_packages

NAME = "restore"
SUMMARY = "Bring a server back from a backup; the server must not run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("path", metavar="PATH", help="folder that `whatchanged backup` wrote")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Restore."""
    require_server_packages()
    values = load_values(arguments)
    from whatchanged.server.process import restore

    restore(values.data, os.path.abspath(arguments.path))
    output.done({"path": values.data.server}, f"{values.data.server} is restored; start the server.")
    return 0
