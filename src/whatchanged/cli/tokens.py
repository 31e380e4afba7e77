"""`whatchanged tokens`: tokens of people, and enrolment tokens of machines (`tokens enroll`)."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from whatchanged.cli.changes import positive
from whatchanged.cli.connection import connect
from whatchanged.cli.moments import duration
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.errors import ServerError, SettingsError
from whatchanged.records.times import now_ns, time_text

NAME = "tokens"
SUMMARY = "Tokens of people and enrolment tokens of machines"

_PEOPLE = "/api/v1/tokens"
_ENROLMENT = "/api/v1/enrollment-tokens"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all tokens (default); never the secrets")
    create = actions.add_parser("create", help="a token for a person or a program; printed once")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--role", choices=("Reader", "Contributor", "Owner", "Sender"), default="Reader")
    create.add_argument("--rule", metavar="RULE", help="of a Sender: the one rule that it may send records to")
    create.add_argument("--group", metavar="GROUP", help="of a Sender: machine group that its rows belong to")
    create.add_argument("--expires", type=duration, metavar="TIME", help="such as 90d (default: never)")
    enroll = actions.add_parser("enroll", help="a token that lets machines enrol; printed once")
    enroll.add_argument("--group", default="default", help="machine group they join (default: default)")
    enroll.add_argument("--uses", type=positive, default=1, metavar="N", help="how many machines (default: 1)")
    enroll.add_argument("--expires", type=duration, default=86_400, metavar="TIME", help="such as 2h (default: 24h)")
    revoke = actions.add_parser("revoke", help="end a token's validity")
    revoke.add_argument("id", metavar="ID")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do the action."""
    actions = {None: _list, "list": _list, "create": _create, "enroll": _enroll, "revoke": _revoke}
    return actions[arguments.action](arguments, output)


def _list(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        rows = [{"Kind": "Sender" if row.get("sender") else "Person", **row} for row in server.rows(_PEOPLE)]
        rows += [{"Kind": "Enrolment", **row} for row in server.rows(_ENROLMENT)]
    output.rows(rows, empty="No tokens.")
    return 0


def _create(arguments: argparse.Namespace, output: Output) -> int:
    expires = None if arguments.expires is None else time_text(now_ns() + arguments.expires * 10**9)
    if (arguments.role == "Sender") != (arguments.rule is not None):
        raise SettingsError("--rule goes with --role Sender, and it with --rule")
    if arguments.group is not None and arguments.role != "Sender":
        raise SettingsError("--group goes with --role Sender")
    body = {"name": arguments.name, "role": arguments.role, "expiresAt": expires, "rule": arguments.rule}
    body["machineGroups"] = None if arguments.group is None else [arguments.group]
    with connect(load_values(arguments)) as server:
        answer = server.post(_PEOPLE, {key: value for key, value in body.items() if value is not None})
    _print_once(answer, output)
    return 0


def _enroll(arguments: argparse.Namespace, output: Output) -> int:
    body = {"machineGroup": arguments.group, "uses": arguments.uses, "expiresInSeconds": arguments.expires}
    with connect(load_values(arguments)) as server:
        answer = server.post(_ENROLMENT, body)
    _print_once(answer, output)
    return 0


def _print_once(answer: dict[str, object], output: Output) -> None:
    if output.as_json:
        output.rows([answer])
        return
    output.line(str(answer["token"]))
    output.message("This is the only time it is shown.")


def _revoke(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        for kind in (_PEOPLE, _ENROLMENT):
            try:
                server.delete(f"{kind}/{quote(arguments.id, safe='')}")
            except ServerError as error:
                if error.status != 404:
                    raise
            else:
                output.done({"id": arguments.id, "revoked": True}, f"Token {arguments.id} is revoked.")
                return 0
    raise ServerError(f"no token {arguments.id}", status=404, hint="`whatchanged tokens list` lists them")
