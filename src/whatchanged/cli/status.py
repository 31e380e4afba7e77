"""`whatchanged status`: how the tracking of this machine fares, and what the server heard of late."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from whatchanged.cli.connection import connect
from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.tracker_control import ask
from whatchanged.errors import OperationError

NAME = "status"
SUMMARY = "How the tracking fares: the tracker of this machine, and the server's health records"

_HEALTH = ("TimeGenerated", "Computer", "Component", "Kind", "Status", "Reason", "Detail")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument("--machine", metavar="NAME|ID", help="health records of this machine only")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write what the tracker says, then health records. Fails when neither answers."""
    values = load_values(arguments)
    problems: list[OperationError] = []
    rows: list[dict[str, Any]] = []
    if not values["url"]:
        try:
            rows += _flat(ask(values, "status"))
        except OperationError as error:
            problems.append(error)
    health: list[dict[str, Any]] = []
    try:
        health = _health(values, arguments.machine)
    except OperationError as error:
        problems.append(error)
    if output.as_json:
        output.rows([*rows, *health])
    else:
        if rows:
            output.rows(rows)
        if health:
            output.line("")
            output.rows(health, _HEALTH)
    for problem in problems:
        output.error(str(problem), hint=problem.hint)
    return 0 if rows or health else 1


def _health(values: Values, machine: str | None) -> list[dict[str, Any]]:
    with connect(values) as server:
        return list(server.pages("/api/v1/health", {"machine": machine}, 20))


def _flat(result: object, prefix: str = "") -> list[dict[str, Any]]:
    """Return nested facts as rows of Component, Name, Value."""
    if not isinstance(result, Mapping):
        return [{"Component": "Tracker", "Name": prefix, "Value": result}]
    rows: list[dict[str, Any]] = []
    for name, value in result.items():
        full = f"{prefix}.{name}" if prefix else str(name)
        rows += _flat(value, full) if isinstance(value, Mapping) else _flat_value(full, value)
    return rows


def _flat_value(name: str, value: object) -> list[dict[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        return [row for index, entry in enumerate(value) for row in _flat(entry, f"{name}.{index}")]
    return [{"Component": "Tracker", "Name": name, "Value": value}]
