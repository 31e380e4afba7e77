"""`whatchanged why PATH`: which rule takes a path, or why none does."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import Any

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
    for line in _looks(result):
        output.line(line)
    output.line("It is in the inventory." if result.get("tracked") else _MISSING[result.get("verdict") == "Awaited"])
    return 0


_MISSING = {False: "It is not in the inventory.", True: "It is not in the inventory yet: the next look should find it."}


def _looks(result: Mapping[str, Any]) -> Iterator[str]:
    """Say how it is watched, and when it was looked at."""
    watch, frequencies = result.get("watch"), [rule["frequency"] for rule in result.get("rules", ())]
    if not watch or not frequencies:
        return
    since = f" since {watch['since']}" if watch["since"] else ""
    reason = f" ({watch['reason']})" if watch["reason"] else ""
    how = f"only polled{reason}" if watch["method"] == "poll" else f"watched by {watch['method']}{since}{reason}"
    looked = result.get("lastLooked") or "never yet"
    yield f"Changes are noticed: {how}, and looked for every {min(frequencies):g} s; last: {looked}"
