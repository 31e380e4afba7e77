"""`whatchanged enroll`: make this machine known to a server."""

from __future__ import annotations

import argparse

from whatchanged import logs
from whatchanged.cli.options import Values, add_settings, load_values, read_secret
from whatchanged.cli.output import Output
from whatchanged.cli.privileges import act_for_owner_of, drop, keep_modules_reachable

NAME = "enroll"
SUMMARY = "Make this machine known to a server, with an enrolment token"

TOKEN_VARIABLE = "WHATCHANGED_ENROLLMENT_TOKEN"  # noqa: S105 - the name of a variable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--server", required=True, metavar="URL", help="address of the server")
    parser.add_argument(
        "--token-file", metavar="FILE|-", help=f"file with the enrolment token, - for standard input [{TOKEN_VARIABLE}]"
    )
    add_settings(parser, ("computer", "proxy", "ca"))


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Enrol, as the account of the forwarder."""
    values = load_values(arguments)
    token = read_secret(arguments.token_file, TOKEN_VARIABLE)
    act_for_owner_of(values.data.forwarder)
    logs.configure(values["log_level"])
    keep_modules_reachable()
    from whatchanged.forwarder.heartbeat import machine_facts
    from whatchanged.forwarder.identity import enroll

    # Before the drop: only root may read the SMBIOS id.
    facts = machine_facts()
    if values["computer"]:
        facts["computer"] = values["computer"]
    drop()
    made = enroll(arguments.server, token, values.data, facts=facts, ca_file=values["ca"], proxy=values["proxy"])
    _report(values, made.machine_id, arguments.server, output)
    return 0


def _report(values: Values, machine: str, server: str, output: Output) -> None:
    row = {"SourceComputerId": machine, "Server": server, "DataFolder": values.data.path}
    output.done(row, f"This machine is {machine} at {server}.")
