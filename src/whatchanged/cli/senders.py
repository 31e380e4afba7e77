"""`whatchanged senders`: programs that send records; delete what one of them sent."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from whatchanged.cli.connection import connect
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output

NAME = "senders"
SUMMARY = "List programs that send records, delete what one sent"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all senders (default)")
    purge = actions.add_parser("purge", help="end a sender's tokens and delete all that it sent")
    purge.add_argument("id", metavar="ID")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """List or purge."""
    with connect(load_values(arguments)) as server:
        if arguments.action in (None, "list"):
            output.rows(server.rows("/api/v1/senders"), empty="Nobody sends. `whatchanged tokens create --help`")
            return 0
        server.delete(f"/api/v1/senders/{quote(arguments.id, safe='')}")
        output.done({"id": arguments.id, "purged": True}, f"The sender {arguments.id} and its records are gone.")
    return 0
