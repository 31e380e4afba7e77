"""`whatchanged status`: how the tracking of this machine fares, and what the server heard of late."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from whatchanged.cli import local_forwarder
from whatchanged.cli.connection import connect
from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.tracker_control import ask
from whatchanged.errors import OperationError

NAME = "status"
SUMMARY = "How the tracking fares: tracker and forwarder of this machine, and the server's health records"

_HEALTH = ("TimeGenerated", "Computer", "Component", "Kind", "Status", "Reason", "Records", "Detail")
_RUNS = ("Kind", "Job", "Status", "Started", "Items", "ItemsSeen", "Changes", "DurationMs", "NextInSeconds", "Detail")
_COVERAGE = ("RuleName", "Path", "Items", "BytesHashed", "Unread", "Denied", "Method", "Reason", "LastLooked")
_RULES = 20
_RECORDS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument("--machine", metavar="NAME|ID", help="health records of this machine only")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write what the agents say, then health records. Fails when nobody answers."""
    values = load_values(arguments)
    problems: list[OperationError] = []
    tracker: Mapping[str, Any] = {}
    forwarder: Mapping[str, Any] = {}
    health: list[dict[str, Any]] = []
    if not values["url"]:
        try:
            tracker = ask(values, "status")
        except OperationError as error:
            problems.append(error)
        try:
            forwarder = _forwarder(values)
        except OperationError as error:
            problems.append(error)
    if not local_forwarder.is_agent_only(values):
        try:
            health = _health(values, arguments.machine)
        except OperationError as error:
            problems.append(error)
    if output.as_json:
        output.rows([*_flat("Tracker", tracker), *_flat("Forwarder", forwarder), *health])
    else:
        _show(output, tracker, forwarder, health)
    for problem in problems:
        output.error(str(problem), hint=problem.hint)
    return 0 if tracker or forwarder.get("running") or health else 1


def _forwarder(values: Values) -> Mapping[str, Any]:
    said = local_forwarder.status(values)
    return {} if said is None else {"running": not local_forwarder.listens(values), **said}


def _health(values: Values, machine: str | None) -> list[dict[str, Any]]:
    with connect(values) as server:
        return list(server.pages("/api/v1/health", {"machine": machine}, _RECORDS))


# For people


def _show(
    output: Output, tracker: Mapping[str, Any], forwarder: Mapping[str, Any], health: list[dict[str, Any]]
) -> None:
    said = [*_of_tracker(tracker), *_of_forwarder(forwarder)]
    if said:
        output.rows([{"Component": who, "Name": name, "Value": value} for who, name, value in said])
    if runs := tracker.get("runs"):
        due, items = tracker["next"], tracker["items"]
        output.line("")
        output.rows([{**r, "Items": items[r["Kind"]], "NextInSeconds": _rounded(due[r["Kind"]])} for r in runs], _RUNS)
    if rules := [rule for rule in tracker.get("coverage", {}).get("rules", ()) if _deserves(rule)]:
        output.line("")
        output.rows(rules[:_RULES], _COVERAGE)
        if len(rules) > _RULES:
            output.line(f"and {len(rules) - _RULES} more rules (--json names them)")
    if health:
        output.line("")
        output.rows(_grouped(health), _HEALTH)


def _deserves(rule: Mapping[str, Any]) -> bool:
    """Whether something of a rule is not as its author would have it."""
    troubles = ("Denied", "PolledBelow", "Unread")
    return rule["Method"] == "poll" or any(rule[name] for name in troubles)


def _of_tracker(told: Mapping[str, Any]) -> Iterable[tuple[str, str, object]]:
    if not told:
        return
    configuration, outbox = told["configuration"], told["outbox"]
    yield "Tracker", "version", told["version"]
    kinds = ", ".join(configuration["kinds"]) or "nothing: no rule asks for anything"
    yield "Tracker", "looks at", f"{kinds} ({len(configuration['rules'])} rules)"
    if configuration["error"]:
        yield "Tracker", "configuration", configuration["error"]
    waiting = sum(outbox["rows"].values())
    full = ", full: the state stands still" if outbox["full"] else ""
    yield "Tracker", "outbox", f"{waiting} records wait ({outbox['bytes']} of {outbox['quotaBytes']} bytes){full}"
    for part in told.get("reading", ()):
        yield "Tracker", "reads", f"{part['path']}: {part['read']} of {part['size']} bytes"
    for part in told.get("rehash", ()):
        done = f", last done {part['done']}" if part["done"] else ""
        yield "Tracker", "content", f"read again every {part['seconds'] / 86400:g} days, whatever times say{done}"
    if outbox["error"]:
        yield "Tracker", "pipe", outbox["error"]
    if "coverage" in told:  # not of a tracker of an older version
        yield "Tracker", "coverage", _coverage(told["coverage"], told["watch"])
    if "budget" in told:
        yield "Tracker", "budget", _budget(told["budget"])
    if audit := told.get("watch", {}).get("audit"):
        yield "Tracker", "audit", f"{audit['detail']}; {audit['executions']} so far, {audit['losses']} records lost"


def _coverage(told: Mapping[str, Any], watch: Mapping[str, Any]) -> str:
    rules = told["rules"]
    polled = sum(rule["Method"] == "poll" for rule in rules)
    parts = [f"{len(rules) + told['more']} file rules", f"{polled} only polled" if polled else "all watched"]
    if any(rule["Denied"] for rule in rules):
        parts.append(f"{sum(bool(rule['Denied']) for rule in rules)} with parts that are not looked into")
    return "; ".join([*parts, *watch["limits"]]) if rules else "no file rule"


def _budget(told: Mapping[str, Any]) -> str:
    share, rate = told["core_share"] * told["part"], told["bytes_per_second"] * told["part"] / 1e6
    less = f" (less than usual: others wait {told['pressure']:.0f}% of the time)" if told["part"] < 1 else ""
    used = f"{told['used_share']:.1%} and {told['used_bytes_per_second'] / 1e6:.2f} MB/s in the last minute"
    disk = "when idle" if told["idle_io"] else "like others"
    return f"{share:.0%} of a core, {rate:.1f} MB/s{less}, disk {disk}; used {used}, waited {told['waited']:.1f} s"


def _of_forwarder(told: Mapping[str, Any]) -> Iterable[tuple[str, str, object]]:
    if not told:
        return
    if not told["running"]:
        yield "Forwarder", "pipe", "nobody listens: the forwarder does not run"
    reached = "answers" if told.get("connected") else f"does not answer: {told.get('lastError', '')}"
    if told.get("refused"):
        reached = f"refuses this machine ({told['refused']}): enrol it anew"
    yield "Forwarder", "server", f"{told.get('server')} {reached}" if told.get("enrolled") else "not enrolled"
    waiting = sum(stream["rows"] for stream in told.get("streams", {}).values())
    yield "Forwarder", "store", f"{waiting} records wait"


def _grouped(health: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest record of each kind of news, with how many there are like it."""
    groups: dict[tuple[object, ...], dict[str, Any]] = {}
    for record in health:
        key = tuple(record.get(name) for name in ("Computer", "Component", "Kind", "Status", "Reason"))
        group = groups.setdefault(key, {**record, "Records": 0})
        group["Records"] += 1
    return list(groups.values())


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


# For programs


def _flat(component: str, value: object, name: str = "") -> list[dict[str, Any]]:
    """Return nested facts as rows of Component, Name, Value."""
    if isinstance(value, Mapping):
        entries = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        entries = [(str(index), entry) for index, entry in enumerate(value)]
    else:
        return [{"Component": component, "Name": name, "Value": value}]
    return [row for key, inner in entries for row in _flat(component, inner, f"{name}.{key}" if name else key)]
