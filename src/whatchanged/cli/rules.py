"""`whatchanged rules`: list, show, apply, associate and check data collection rules."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import Any
from urllib.parse import quote

from whatchanged.cli.connection import connect
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.rule_check import add_check_arguments, check, problem_rows
from whatchanged.errors import SettingsError

NAME = "rules"
SUMMARY = "List, show, apply, associate and check data collection rules"

_LIMIT = 16 * 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="rules of the server, and where they apply")
    show = actions.add_parser("show", help="the document of a rule")
    show.add_argument("name", metavar="NAME")
    actions.add_parser("default", help="the document of the rule that `up` associates; asks no server")
    apply = actions.add_parser("apply", help="create or change a rule from a document")
    apply.add_argument("file", metavar="FILE|-")
    apply.add_argument("--name", help="name of the rule (default: the document's, else the file's)")
    associate = actions.add_parser("associate", help="let a rule apply to a machine or a group")
    associate.add_argument("name", metavar="RULE")
    target = associate.add_mutually_exclusive_group(required=True)
    target.add_argument("--machine", metavar="NAME|ID")
    target.add_argument("--group", metavar="GROUP")
    add_check_arguments(
        actions.add_parser("check", help="what is wrong with a document, and what it would match here; asks no server")
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do the action."""
    actions = {
        "list": _list,
        "show": _show,
        "default": _default,
        "apply": _apply,
        "associate": _associate,
        "check": _check,
    }
    return actions[arguments.action](arguments, output)


def read_document(file: str) -> bytes:
    """Return the bytes of a rule document; raises SettingsError."""
    try:
        if file == "-":
            document = sys.stdin.buffer.read(_LIMIT + 1)
        else:
            with open(file, "rb") as stream:
                document = stream.read(_LIMIT + 1)
    except OSError as error:
        raise SettingsError(f"cannot read the rule: {error}") from error
    if len(document) > _LIMIT:
        raise SettingsError(f"{file} is larger than {_LIMIT // 1024**2} MiB")
    return document


def _list(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        rules = server.rows("/api/v1/rules")
        associations = server.rows("/api/v1/associations")
    rows = []
    for rule in rules:
        name = str(rule.get("name", ""))
        targets = [f"{a.get('machine') or a.get('group')}" for a in associations if a.get("rule") == name]
        shown = {key: value for key, value in rule.items() if not isinstance(value, dict | list)}
        rows.append({**shown, "associations": ", ".join(targets)})
    output.rows(rows, empty="No rules yet: `whatchanged rules apply FILE` makes one.")
    return 0


def _show(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        rule = server.get(f"/api/v1/rules/{quote(arguments.name, safe='')}")
    if output.as_json:
        output.rows([rule])
    else:
        _write(rule, output)
    return 0


def _default(arguments: argparse.Namespace, output: Output) -> int:
    from whatchanged.rules import DEFAULT_RULE

    if output.as_json:
        output.rows([DEFAULT_RULE])
    else:
        _write(DEFAULT_RULE, output)
    return 0


def _write(document: object, output: Output) -> None:
    for line in json.dumps(document, indent=2).splitlines():
        output.line(line)


def _apply(arguments: argparse.Namespace, output: Output) -> int:
    document = read_document(arguments.file)
    if _report(document, output):
        return 1
    body = json.loads(document.decode("utf-8-sig"))
    name = arguments.name or _name_of(body, arguments.file)
    with connect(load_values(arguments)) as server:
        answer = server.put_document(f"/api/v1/rules/{quote(name, safe='')}", document)
    row = answer if isinstance(answer, dict) else {"name": name}
    output.done(row, f"Rule {name} is in force where it is associated.")
    return 0


def _associate(arguments: argparse.Namespace, output: Output) -> int:
    from whatchanged.cli.machines import find_machine

    with connect(load_values(arguments)) as server:
        if arguments.machine:
            body = {"rule": arguments.name, "machine": find_machine(server, arguments.machine)}
        else:
            body = {"rule": arguments.name, "group": arguments.group}
        name = association_name(arguments.name, arguments.machine or arguments.group)
        server.put(f"/api/v1/associations/{quote(name, safe='')}", body)
    output.done({"name": name, **body}, f"Rule {arguments.name} applies to {arguments.machine or arguments.group}.")
    return 0


def association_name(rule: str, target: str) -> str:
    """Return the name of the association of a rule with a machine or group."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{rule}-{target}")[:120]


def _check(arguments: argparse.Namespace, output: Output) -> int:
    return check(read_document(arguments.file), arguments, output)


def _report(document: bytes, output: Output) -> bool:
    """Write the document's problems; return whether one of them is an error."""
    from whatchanged import rules

    rows = problem_rows(rules.read(document))
    wrong = any(row["Severity"] == "error" for row in rows)
    if wrong or (rows and not output.as_json):
        output.rows(rows)
    return wrong


def _name_of(body: Any, file: str) -> str:
    name = body.get("name") if isinstance(body, dict) else None
    if isinstance(name, str) and name and not name.startswith("["):
        return name
    if file == "-":
        raise SettingsError("the document has no name", hint="give one with --name")
    return os.path.splitext(os.path.basename(file))[0]
