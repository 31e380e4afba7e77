"""`whatchanged status`: how tracker and forwarder of this machine fare, and what the server heard of late."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from whatchanged.cli.connection import connect
from whatchanged.cli.local_forwarder import is_agent_only, listens, status
from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.tracker_control import ask
from whatchanged.errors import OperationError

NAME = "status"
SUMMARY = "How the tracking fares: tracker and forwarder of this machine, and the server's health records"

_HEALTH = ("TimeGenerated", "Computer", "Component", "Kind", "Status", "Reason", "Detail")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument("--machine", metavar="NAME|ID", help="health records of this machine only")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write what tracker and forwarder say, then health records. Fails when nobody answers."""
    values = load_values(arguments)
    problems: list[OperationError] = []
    answered = False
    rows: list[dict[str, Any]] = []
    if not values["url"]:
        try:
            rows += _flat("Tracker", ask(values, "status"))
        except OperationError as error:
            problems.append(error)
        answered = bool(rows)
        try:
            said = _forwarder(values)
            answered = answered or bool(said.get("running"))
            rows += _flat("Forwarder", said)
        except OperationError as error:
            problems.append(error)
    health: list[dict[str, Any]] = []
    if not is_agent_only(values):
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
    return 0 if answered or health else 1


def _health(values: Values, machine: str | None) -> list[dict[str, Any]]:
    with connect(values) as server:
        return list(server.pages("/api/v1/health", {"machine": machine}, 20))


def _forwarder(values: Values) -> dict[str, Any]:
    said = status(values)
    return {} if said is None else {"running": not listens(values), **said}


def _flat(component: str, result: object, prefix: str = "") -> list[dict[str, Any]]:
    """Return nested facts as rows of Component, Name, Value."""
    if not isinstance(result, Mapping):
        return [{"Component": component, "Name": prefix, "Value": result}]
    rows: list[dict[str, Any]] = []
    for name, value in result.items():
        full = f"{prefix}.{name}" if prefix else str(name)
        rows += _flat(component, value, full) if isinstance(value, Mapping) else _flat_value(component, full, value)
    return rows


def _flat_value(component: str, name: str, value: object) -> list[dict[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        return [row for index, entry in enumerate(value) for row in _flat(component, entry, f"{name}.{index}")]
    return [{"Component": component, "Name": name, "Value": value}]
