"""`whatchanged tracker`: the process that looks at the machine and has no network."""

from __future__ import annotations

import argparse
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.processes import run_process
from whatchanged.errors import SettingsError
from whatchanged.ipc import AccountId, folder_owner, own_account

if TYPE_CHECKING:
    from whatchanged.tracker.settings import TrackerSettings

NAME = "tracker"
SUMMARY = "Run the tracker: privileged, looks at the machine, has no network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, (
        "root", "policy", "outbox_quota", "core_share", "bytes_per_second", "computer", "instance", "forwarder_uid",
    ))  # fmt: skip


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run until stopped."""
    values = load_values(arguments)

    def load() -> Callable[[threading.Event], int]:
        from whatchanged.tracker.process import run as run_tracker

        settings = tracker_settings(values)
        return lambda stop: run_tracker(settings, stop)

    return run_process(values, load, getattr(arguments, "host", None))


def tracker_settings(values: Values) -> TrackerSettings:
    """Return the tracker's own form of the settings."""
    from whatchanged.tracker.settings import TrackerSettings

    uid = values["forwarder_uid"]
    return TrackerSettings(
        data=values.data,
        root=values["root"],
        forwarder_uid=owner_of(values.data.pipe_folder) if uid is None else uid,
        policy=values["policy"],
        computer=values["computer"] or socket.gethostname(),
        outbox_quota_bytes=values["outbox_quota"],
        core_share=values["core_share"],
        bytes_per_second=values["bytes_per_second"],
    )


def owner_of(folder: str) -> AccountId:
    """Return who owns a folder of the installation: only that account works in it. Ours, while there is none."""
    try:
        return folder_owner(folder)
    except FileNotFoundError:
        return own_account()
    except OSError as error:
        raise SettingsError(f"cannot look at {folder}: {error}") from error
