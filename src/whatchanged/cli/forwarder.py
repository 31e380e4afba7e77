"""`whatchanged forwarder`: the process that talks to the server and can read nothing else."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.processes import run_process
from whatchanged.cli.tracker import owner_of
from whatchanged.ipc import AccountId

if TYPE_CHECKING:
    from whatchanged.forwarder.settings import ForwarderSettings

NAME = "forwarder"
SUMMARY = "Run the forwarder: unprivileged, passes records on to the server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(
        parser, ("store_quota", "proxy", "foreign_uids", "tracker_uid", "main_instance", "instance", "computer")
    )
    # For `up`, whose server may listen on another port than last time.
    parser.add_argument("--moved-to", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--moved-machine", metavar="ID", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run until stopped."""
    values = load_values(arguments)

    def load() -> Callable[[threading.Event], int]:
        from whatchanged.forwarder.identity import move
        from whatchanged.forwarder.process import run as run_forwarder

        settings = forwarder_settings(values)
        if arguments.moved_to and arguments.moved_machine:
            # Here, because the file belongs to the forwarder's account.
            move(values.data, arguments.moved_machine, arguments.moved_to)
        return lambda stop: run_forwarder(settings, stop)

    return run_process(values, load, getattr(arguments, "host", None))


def forwarder_settings(values: Values) -> ForwarderSettings:
    """Return the forwarder's own form of the settings."""
    from whatchanged.forwarder.settings import ForwarderSettings

    uid = values["tracker_uid"]
    tracker_uid = owner_of(values.data.tracker) if uid is None else uid
    return ForwarderSettings(
        data=values.data,
        tracker_uid=tracker_uid,
        computer=values["computer"] or socket.gethostname(),
        instance=values["instance"],
        main_instance=values["main_instance"],
        foreign_uids=values["foreign_uids"],
        pipe_group=_pipe_group(tracker_uid),
        quota_bytes=values["store_quota"],
        proxy=values["proxy"],
        ca_file=values["ca"],
    )


def _pipe_group(tracker_uid: AccountId) -> int | None:
    """Return the group that the socket is open to: a tracker of another account comes in by our group."""
    if sys.platform == "win32" or tracker_uid == os.geteuid():
        return None
    else:  # noqa: RET505 - mypy follows sys.platform only in a branch of its own
        return os.getegid()
