"""`whatchanged why PATH`: which rule takes a path, or why none does."""

from __future__ import annotations

import argparse
import os

from whatchanged.cli.options import load_values
from whatchanged.cli.output import Output
from whatchanged.cli.tracker_control import ask

NAME = "why"
SUMMARY = "Which rule takes a path, or why none does"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("path", metavar="PATH")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask the tracker, which knows the rules in force."""
    # Bytes that are no text travel as surrogates, as Python itself carries them.
    path = os.path.abspath(arguments.path)
    result = ask(load_values(arguments), "why", path=path)
    if output.as_json:
        output.rows([result])
        return 0
    for line in result.get("explanation", ()):
        output.line(str(line))
    if result.get("excluded"):
        output.line("The policy of this machine keeps it out of the tracking.")
    output.line("It is in the inventory." if result.get("tracked") else "It is not in the inventory.")
    return 0
