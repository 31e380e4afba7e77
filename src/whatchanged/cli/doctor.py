"""`whatchanged doctor`: looks at what usually goes wrong, and says what to do."""

from __future__ import annotations

import argparse
import email.utils
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from whatchanged.cli import local_forwarder
from whatchanged.cli.connection import connect
from whatchanged.cli.finding import Finding, Subject
from whatchanged.cli.install import installed_units
from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.tracker_control import ask
from whatchanged.errors import OperationError, SettingsError

NAME = "doctor"
SUMMARY = "Look at what usually goes wrong, and say what to do"

_FREE_WARNING = 1024**3
_FREE_ERROR = 100 * 1024**2
_SKEW_SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca", "policy"))


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run every check; fails when one found an error."""
    values = load_values(arguments)
    subject = _subject(values)
    findings = [finding for check in _checks(values) for finding in check(subject)]
    rows = [{"Check": f.check, "Status": f.status, "Detail": f.detail, "Advice": f.advice} for f in findings]
    output.rows(rows, ("Check", "Status", "Detail", "Advice"))
    return 1 if any(f.status == "Error" for f in findings) else 0


def _subject(values: Values) -> Subject:
    if values["url"]:
        return Subject(values, None)
    try:
        return Subject(values, ask(values, "status"))
    except OperationError as error:
        return Subject(values, None, error)


def _checks(values: Values) -> Sequence[Callable[[Subject], Iterator[Finding]]]:
    """Return the checks; those of the machine itself only where its own agents are meant."""
    checks = CHECKS
    if not values["url"]:
        if sys.platform == "win32":
            from whatchanged.cli.windows_services.checks import MACHINE_CHECKS
        else:
            from whatchanged.cli.machine_checks import MACHINE_CHECKS

        checks = (*CHECKS, *MACHINE_CHECKS)
    return checks


def _data_folder(subject: Subject) -> Iterator[Finding]:
    data = subject.values.data
    if not os.path.isdir(data.path):
        yield Finding(
            "data folder", "Error", f"{data.path} does not exist", "`whatchanged up` makes it; or name --data"
        )
        return
    if sys.platform != "win32":
        for folder in (data.tracker, data.forwarder, data.server):
            mode = os.stat(folder).st_mode & 0o777 if os.path.isdir(folder) else 0o700
            if mode & 0o077:
                yield Finding("data folder", "Error", f"{folder} is open to others ({mode:o})", f"chmod 700 {folder}")
    yield Finding("data folder", "Ok", data.path)


def _disk(subject: Subject) -> Iterator[Finding]:
    values = subject.values
    if not os.path.isdir(values.data.path):
        return
    free = shutil.disk_usage(values.data.path).free
    status = "Error" if free < _FREE_ERROR else "Warning" if free < _FREE_WARNING else "Ok"
    advice = "" if status == "Ok" else "make room: without space nothing new is recorded"
    yield Finding("disk space", status, f"{free // 1024**2} MiB free", advice)


def _tracker(subject: Subject) -> Iterator[Finding]:
    if subject.trouble is not None:
        yield Finding("tracker", "Error", subject.trouble.message, subject.trouble.hint)
    if (status := subject.tracker) is None:
        return
    yield Finding("tracker", "Ok", f"version {status.get('version')}, items {status.get('items')}")
    outbox = status.get("outbox", {})
    if outbox.get("full"):
        yield Finding("outbox", "Error", "full: the state stands still", "look at the forwarder and the server")
    if outbox.get("error"):
        yield Finding("outbox", "Warning", str(outbox["error"]), "is the forwarder running?")
    if not status.get("configuration", {}).get("kinds"):
        yield Finding("rules", "Warning", "no rule asks for anything here", "`whatchanged rules associate`")


def _forwarder(subject: Subject) -> Iterator[Finding]:
    values = subject.values
    if values["url"]:
        return
    if trouble := local_forwarder.listens(values):
        yield Finding("forwarder", "Error", trouble, "is the forwarder running, and may you enter its folder?")
    try:
        said = local_forwarder.status(values)
    except SettingsError as error:
        yield Finding("forwarder", "Warning", error.message, error.hint)
        return
    if said is None:
        return
    waiting = sum(stream.get("rows", 0) for stream in said.get("streams", {}).values())
    where = f"{said.get('server')}, {waiting} records wait"
    if said.get("refused"):
        refused = f"the server refuses this machine for good ({said['refused']})"
        yield Finding("forwarder", "Error", refused, "enrol it anew: `whatchanged enroll`")
    elif not said.get("enrolled"):
        detail = said.get("lastError") or "this machine is not enrolled"
        yield Finding("forwarder", "Error", str(detail), "`whatchanged enroll --server URL --token-file FILE`")
    elif not said.get("connected"):
        yield Finding("forwarder", "Error", f"{where}: {said.get('lastError')}", "look at the network and the server")
    elif not trouble:
        yield Finding("forwarder", "Ok", where)


def _units(subject: Subject) -> Iterator[Finding]:
    if sys.platform == "win32":
        return
    for unit in installed_units():
        try:
            done = subprocess.run(  # noqa: S603 - an absolute program and names of ours
                ["/usr/bin/systemctl", "is-active", unit], capture_output=True, text=True, timeout=10, check=False
            )
            state = done.stdout.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            state = f"unknown: {error}"
        advice = "" if state == "active" else f"journalctl -u {unit}"
        yield Finding(unit, "Ok" if state == "active" else "Error", state, advice)


def _server(subject: Subject) -> Iterator[Finding]:
    values = subject.values
    if local_forwarder.is_agent_only(values):
        return
    try:
        with connect(values) as server:
            began = time.time()
            date = server.date()
            skew = None if date is None else email.utils.parsedate_to_datetime(date).timestamp() - began
            yield Finding("server", "Ok", server.url)
    except OperationError as error:
        yield Finding("server", "Error", str(error), error.hint)
        return
    if skew is not None:
        far = abs(skew) > _SKEW_SECONDS
        detail = f"{skew:+.0f} s against the server"
        yield Finding("clock", "Warning" if far else "Ok", detail, "synchronise the clocks (NTP)" if far else "")


CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    _data_folder,
    _disk,
    _units,
    _forwarder,
    _tracker,
    _server,
)
