"""`whatchanged users`: accounts of people, and links that sign a browser in."""

from __future__ import annotations

import argparse
import getpass
import sys
from urllib.parse import quote

from whatchanged.cli.connection import connect
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError

NAME = "users"
SUMMARY = "Accounts that sign in to the portal"

_ACCOUNTS = "/api/v1/accounts"
_LONGEST = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all accounts (default)")
    create = actions.add_parser("create", help="make an account")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--role", choices=("Reader", "Contributor", "Owner"), default="Reader")
    create.add_argument("--group", action="append", metavar="GROUP", help="only this machine group (repeatable)")
    password = actions.add_parser("password", help="give an account another password; it is signed out everywhere")
    password.add_argument("name", metavar="NAME")
    for action in (create, password):
        action.add_argument(
            "--password-file", metavar="FILE", help="its first line is the password; - reads it from standard input"
        )
    remove = actions.add_parser("remove", help="remove an account; it is signed out everywhere")
    remove.add_argument("name", metavar="NAME")
    actions.add_parser("link", help="print a link that signs a browser in as you, once, within ten minutes")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do the action."""
    actions = {
        None: _list,
        "list": _list,
        "create": _create,
        "password": _password,
        "remove": _remove,
        "link": _link,
    }
    return actions[arguments.action](arguments, output)


def _list(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        rows = server.rows(_ACCOUNTS)
    output.rows(rows, empty="No accounts; `whatchanged users create NAME` makes one.")
    return 0


def _create(arguments: argparse.Namespace, output: Output) -> int:
    body = {"name": arguments.name, "role": arguments.role, "password": _asked(arguments)}
    if arguments.group:
        body["machineGroups"] = arguments.group
    with connect(load_values(arguments)) as server:
        made = server.post(_ACCOUNTS, body)
    output.done(made, f"Account {arguments.name} is made, with the role {arguments.role}.")
    return 0


def _password(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        server.put(f"{_ACCOUNTS}/{quote(arguments.name, safe='')}/password", {"password": _asked(arguments)})
    output.done({"name": arguments.name, "changed": True}, f"Account {arguments.name} has another password.")
    return 0


def _remove(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        server.delete(f"{_ACCOUNTS}/{quote(arguments.name, safe='')}")
    output.done({"name": arguments.name, "removed": True}, f"Account {arguments.name} is removed.")
    return 0


def _link(arguments: argparse.Namespace, output: Output) -> int:
    with connect(load_values(arguments)) as server:
        link = f"{server.url}/sign-in#{server.post('/api/v1/sign-in-links', {})['link']}"
    if output.as_json:
        output.rows([{"link": link}])
        return 0
    output.line(link)
    output.message("It works once, within ten minutes.")
    return 0


def _asked(arguments: argparse.Namespace) -> str:
    """Return the password: from a file, standard input, or asked for twice; never from the command line."""
    if arguments.password_file is None:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise SettingsError("the two are not the same")
        return password
    try:
        if arguments.password_file == "-":  # noqa: S105 - standard input
            line = sys.stdin.readline(_LONGEST)
        else:
            with open(arguments.password_file, encoding="utf-8") as stream:
                line = stream.readline(_LONGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the password: {error}") from error
    return line.rstrip("\r\n")
