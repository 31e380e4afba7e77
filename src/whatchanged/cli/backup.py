"""`whatchanged backup [NAME]`: a consistent copy of everything the server keeps."""

from __future__ import annotations

import argparse

from whatchanged.cli.connection import connect
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output

NAME = "backup"
SUMMARY = "Make a consistent copy of everything the server keeps, while it runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument(
        "name", nargs="?", default="", help="its name in the server's folder of backups (default: the time)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask the server for it."""
    with connect(load_values(arguments)) as server:
        answer = server.post("/api/v1/backup", {"path": arguments.name})
    if output.as_json:
        output.rows([answer])
    else:
        output.line(str(answer["path"]))
        output.message("`whatchanged restore PATH` brings it back, into an empty data folder.")
    return 0
