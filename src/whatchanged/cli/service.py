"""`whatchanged service`: the command in the path of our Windows services (`install` registers them)."""

from __future__ import annotations

import argparse
import os
import sys

from whatchanged.cli import forwarder, tracker
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError

NAME = "service"
SUMMARY = "Run tracker or forwarder as a service of Windows; only its service control manager starts this"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: those of the process."""
    processes = parser.add_subparsers(dest="process", metavar="PROCESS", required=True)
    for process in (forwarder, tracker):
        sub = processes.add_parser(process.NAME, help=process.SUMMARY, description=process.SUMMARY)
        process.add_arguments(sub)
        sub.set_defaults(run_process=process.run)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run until stopped."""
    if sys.platform != "win32":
        raise SettingsError("there are services of this kind on Windows only", hint="`whatchanged install`")
    else:  # noqa: RET506 - mypy follows sys.platform only in a branch of its own
        from whatchanged.cli.windows_services.definition import AGENT_SERVICES
        from whatchanged.cli.windows_services.host import Host

        if sys.stdout is None or sys.stderr is None:  # as the service control manager starts programs
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

        def work(host: Host) -> int:
            arguments.host = host
            code: int = arguments.run_process(arguments, output)
            return code

        (service,) = (service for service in AGENT_SERVICES if service.process == arguments.process)
        return Host(service, work).run()
