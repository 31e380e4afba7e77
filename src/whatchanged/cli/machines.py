"""`whatchanged machines`: list them, take away a credential, end a machine's tracking."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from whatchanged.cli.connection import Connection, connect
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError

NAME = "machines"
SUMMARY = "List machines, revoke their credentials, decommission them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all machines (default)")
    revoke = actions.add_parser("revoke", help="end the validity of a machine's credential; it must enrol anew")
    revoke.add_argument("machine", metavar="NAME|ID")
    decommission = actions.add_parser("decommission", help="end a machine's tracking and its silence alarm")
    decommission.add_argument("machine", metavar="NAME|ID")
    decommission.add_argument("--purge", action="store_true", help="delete its data too")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """List, revoke or decommission."""
    with connect(load_values(arguments)) as server:
        if arguments.action in (None, "list"):
            output.rows(server.rows("/api/v1/machines"), empty="No machine has enrolled yet.")
            return 0
        machine = find_machine(server, arguments.machine)
        if arguments.action == "revoke":
            server.post(f"/api/v1/machines/{quote(machine, safe='')}/revoke", {})
            output.done(
                {"machine": arguments.machine, "id": machine, "revoked": True},
                f"The credential of {arguments.machine} is revoked.",
            )
        else:
            purge = "true" if arguments.purge else None
            server.delete(f"/api/v1/machines/{quote(machine, safe='')}", {"purge": purge})
            output.done(
                {"machine": arguments.machine, "id": machine, "decommissioned": True},
                f"{arguments.machine} is decommissioned.",
            )
    return 0


def find_machine(server: Connection, name: str) -> str:
    """Return the id of the machine called `name` (or with that id); raises SettingsError if it is not one."""
    found = [row for row in server.rows("/api/v1/machines") if name.casefold() in _identities(row)]
    if not found:
        raise SettingsError(f"no machine {name!r}", hint="`whatchanged machines` lists them")
    if len(found) > 1:
        raise SettingsError(f"{len(found)} machines are called {name!r}", hint="give the id instead")
    return _id(found[0])


def _id(row: dict[str, Any]) -> str:
    return str(row.get("SourceComputerId") or row.get("machineId") or row.get("id") or "")


def _identities(row: dict[str, Any]) -> set[str]:
    names = (row.get("Computer"), row.get("computer"), row.get("name"), _id(row))
    return {str(name).casefold() for name in names if name}
