"""Saved queries for `whatchanged query`: list, ask, save and remove them."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from whatchanged.cli.connection import Connection
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError

__all__ = ["add_saved_arguments", "answer_of", "list_saved", "parameters_of", "remove", "save"]


def add_saved_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments for saved queries."""
    group = parser.add_argument_group("saved queries")
    what = group.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="the saved queries, and what they take")
    what.add_argument("--saved", metavar="NAME", help="ask a saved query")
    what.add_argument("--save", metavar="NAME", help="save the query instead of asking it")
    what.add_argument("--remove", metavar="NAME", help="remove a saved query")
    group.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="value of a parameter of the query"
    )
    group.add_argument("--description", default="", help="with --save: what the query tells")
    group.add_argument("--category", default="", help="with --save: where it belongs")
    group.add_argument("--tag", action="append", default=[], help="with --save: a word to find it by")


def parameters_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the values that were given for parameters."""
    found: dict[str, str] = {}
    for given in arguments.param:
        name, equals, value = given.partition("=")
        if not name or not equals:
            raise SettingsError(f"--param {given!r} is no NAME=VALUE")
        if name in found:
            raise SettingsError(f"--param {name} is given twice")
        found[name] = value
    return found


def list_saved(server: Connection, output: Output) -> int:
    """Write the saved queries: to programs all of them, to people what they need to choose one."""
    rows = server.rows("/api/v1/queries")
    if not output.as_json:
        rows = [{**row, "parameters": ", ".join(map(_parameter, row["parameters"]))} for row in rows]
    output.rows(rows, ("name", "category", "parameters", "description"))
    return 0


def answer_of(server: Connection, arguments: argparse.Namespace) -> Any:
    """Return the answer of a saved query."""
    body = {"parameters": parameters_of(arguments), "timespan": arguments.timespan}
    return server.post(f"{_path(arguments.saved)}/results", body)


def save(server: Connection, text: str, arguments: argparse.Namespace, output: Output) -> int:
    """Save a query."""
    body = {
        "query": text,
        "description": arguments.description,
        "category": arguments.category,
        "tags": arguments.tag,
    }
    row = server.put(_path(arguments.save), body)
    output.done(row, f"Saved; ask it with --saved {row['name']!r}.")
    return 0


def remove(server: Connection, arguments: argparse.Namespace, output: Output) -> int:
    """Remove a saved query."""
    server.delete(_path(arguments.remove))
    output.done({"name": arguments.remove}, f"Removed {arguments.remove}.")
    return 0


def _path(name: str) -> str:
    if not name.strip(".") or "/" in name:  # what a client would take for a step in the path
        raise SettingsError(f"{name!r} is no name of a query")
    return f"/api/v1/queries/{quote(name, safe='')}"


def _parameter(parameter: dict[str, Any]) -> str:
    default = parameter["default"]
    return f"{parameter['name']}: {parameter['type']}" + ("" if default is None else f" = {default}")
