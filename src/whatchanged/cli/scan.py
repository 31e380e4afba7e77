"""`whatchanged scan [KIND]`: look now instead of at the next turn."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from whatchanged.cli.connection import connect
from whatchanged.cli.machines import find_machine
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.tracker_control import ask

NAME = "scan"
SUMMARY = "Look at this machine (or --machine) now"

_LONGEST_SCAN = 3600.0
_KINDS = ("Files", "Software", "Daemons")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument(
        "kind",
        nargs="?",
        type=str.capitalize,
        choices=_KINDS,
        metavar="KIND",
        help=f"{', '.join(_KINDS)} (default: all)",
    )
    parser.add_argument("--machine", metavar="NAME|ID", help="ask that machine through the server")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask the tracker, or the server to ask it."""
    values = load_values(arguments)
    kinds = [arguments.kind] if arguments.kind else list(_KINDS)
    rows: list[dict[str, Any]] = []
    if arguments.machine:
        with connect(values) as server:
            machine = quote(find_machine(server, arguments.machine), safe="")
            for kind in kinds:
                answer = server.post(f"/api/v1/machines/{machine}/requests", {"request": "scan", "kind": kind})
                rows.append({"Kind": kind, "Request": (answer or {}).get("id", "")})
    else:
        # Waits until the runs have ended.
        rows = ask(values, "scan", timeout=_LONGEST_SCAN, kind=arguments.kind or "")
        rows = [row for row in rows if row.get("Kind") in kinds]
    output.rows(rows)
    return 0
