"""`whatchanged install`: tracker and forwarder (and server) as services of this machine.

Idempotent: run again after an upgrade it writes the units anew and restarts what changed; state and identity stay.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping

from whatchanged.cli.account import ACCOUNT_NAME, make_folders, service_account
from whatchanged.cli.connection import connect
from whatchanged.cli.enroll import TOKEN_VARIABLE
from whatchanged.cli.options import DEFAULT_FILE, Values, load_values, read_secret
from whatchanged.cli.output import Output
from whatchanged.cli.privileges import first_closed
from whatchanged.cli.program import command_line
from whatchanged.cli.server import require_server_packages
from whatchanged.cli.supervise import Account, child_environment
from whatchanged.cli.units import AGENT_UNITS, SERVER_UNIT, UNITS, render
from whatchanged.errors import OperationError, SettingsError
from whatchanged.rules import Policy

NAME = "install"
SUMMARY = "Install tracker and forwarder as services of systemd or Windows, and enrol this machine"

UNIT_FOLDER = "/etc/systemd/system"
NOT_ENROLLED = "not enrolled: run `whatchanged install --server URL --token-file FILE` to do it"
_HIDDEN_HOMES = ("/home/", "/root/", "/run/user/")
_COMMAND_SECONDS = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--server", metavar="URL", help="server to enrol at; not needed when already enrolled")
    parser.add_argument(
        "--token-file", metavar="FILE|-", help=f"file with the enrolment token, - for standard input [{TOKEN_VARIABLE}]"
    )
    parser.add_argument("--with-server", action="store_true", help="install the server on this machine too")
    parser.add_argument("--no-start", action="store_true", help="enable the services, but do not start them now")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Install."""
    if sys.platform == "win32":
        from whatchanged.cli.windows_services.setup import install

        return install(arguments, output)
    require_root_and_systemd()
    if arguments.with_server:
        require_server_packages()
    values = load_values(arguments)
    require_lasting_settings(arguments, values, data_of_units())
    _require_reachable_program()
    audit = Policy.load(values["policy"]).audit
    _make_account()
    account = service_account()
    make_folders(values.data, account, server=arguments.with_server)
    enrolled = enrol(arguments, values, account)
    # An upgrade of a machine that has the server brings its server along.
    with_server = arguments.with_server or SERVER_UNIT in installed_units()
    units = (*AGENT_UNITS, SERVER_UNIT) if with_server else AGENT_UNITS
    rows = [{"Unit": unit, "Result": _write(unit, values, audit=audit)} for unit in units]
    systemctl("daemon-reload")
    # Agents without an identity have nothing to do yet; they start at the next boot or after `enroll`.
    started = [unit for unit in units if enrolled or unit == SERVER_UNIT]
    systemctl("enable", *units)
    if not arguments.no_start and started:
        systemctl("restart", *started)
        if with_server:
            _await_server(values)
    output.rows(rows)
    if not enrolled:
        output.message(NOT_ENROLLED)
    return 0


def require_root_and_systemd() -> None:
    """Raise SettingsError where services cannot be installed."""
    if sys.platform == "win32" or os.geteuid() != 0:
        raise SettingsError("services are installed by root", hint="use sudo")
    # sd_booted(3)
    if not os.path.isdir("/run/systemd/system"):
        raise SettingsError("this machine was not booted by systemd", hint="run `whatchanged up` instead")


def _await_server(values: Values) -> None:
    """Wait until the server answers: the next command may be a question to it. Raises OperationError."""
    local = Values({**values.by_name, "url": None, "token": None, "ca": None})
    deadline = time.monotonic() + _COMMAND_SECONDS
    while True:
        try:
            with connect(local) as server:
                server.date()
                return
        except OperationError as error:
            if time.monotonic() > deadline:
                raise OperationError(
                    f"the server does not answer: {error.message}", hint=f"journalctl -u {SERVER_UNIT}"
                ) from error
            time.sleep(0.5)


def require_lasting_settings(arguments: argparse.Namespace, values: Values, installed: Mapping[str, str]) -> None:
    """Refuse what would hold for this command but not for the services, or move them away from their data.

    `installed`: service → data folder that it works on.
    """
    if arguments.config and not _same(os.path.realpath(arguments.config), DEFAULT_FILE):
        raise SettingsError(
            f"the services read {DEFAULT_FILE}, not {arguments.config}", hint=f"put the settings into {DEFAULT_FILE}"
        )
    for service, folder in installed.items():
        if not _same(folder, values.data.path):
            raise SettingsError(
                f"{service} works on {folder}, not on {values.data.path}",
                hint=f"give --data {folder}, or `whatchanged uninstall` first",
            )


def _same(path: str, other: str) -> bool:
    return os.path.normcase(path) == os.path.normcase(other)


def _require_reachable_program() -> None:
    places = [sys.executable, *(os.path.realpath(place) for place in sys.path if os.path.isdir(place))]
    for place in places:
        closed = first_closed(os.path.dirname(os.path.realpath(place)))
        if closed is not None or place.startswith(_HIDDEN_HOMES):
            raise SettingsError(
                f"the account {ACCOUNT_NAME} could not run this program: {closed or place} is closed to it",
                hint="install it into /opt/whatchanged: python3 -m venv /opt/whatchanged && "
                "/opt/whatchanged/bin/pip install . (in the checkout)",
            )


def _make_account() -> None:
    if sys.platform == "win32":
        return
    import pwd

    try:
        pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        flags = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
        _command("/usr/sbin/useradd", *flags, "--shell", "/usr/sbin/nologin", ACCOUNT_NAME)


def enrol(arguments: argparse.Namespace, values: Values, account: Account | None) -> bool:
    """Enrol if asked to; return whether this machine has an identity."""
    identity = os.path.join(values.data.forwarder, "identity.json")
    if arguments.server is None or os.path.exists(identity):
        return os.path.exists(identity)
    token = read_secret(arguments.token_file, TOKEN_VARIABLE)
    asked = ["enroll", "--data", values.data.path, "--server", arguments.server, "--token-file", "-"]
    _command(*command_line(asked, isolated=True), account=account, given=token)
    return True


def _write(unit: str, values: Values, *, audit: bool) -> str:
    path = os.path.join(UNIT_FOLDER, unit)
    text = render(unit, python=sys.executable, data=values.data.path, account=ACCOUNT_NAME, audit=audit)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            if stream.read() == text:
                return "unchanged"
    draft = path + ".new"
    with open(draft, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(draft, 0o644)
    os.replace(draft, path)
    return "written"


def systemctl(*arguments: str) -> None:
    """Run systemctl; raises OperationError with what it said."""
    _command("/usr/bin/systemctl", *arguments)


def _command(*command: str, account: Account | None = None, given: str = "") -> None:
    try:
        done = subprocess.run(  # noqa: S603 - absolute programs, arguments made by us, no shell
            command,
            input=given,
            text=True,
            capture_output=True,
            env=dict(child_environment(account)),
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperationError(f"{os.path.basename(command[0])} failed: {error}") from error
    if done.returncode:
        raise OperationError(f"{os.path.basename(command[0])} failed: {done.stderr.strip() or done.returncode}")


def data_of_units() -> dict[str, str]:
    """Return unit → data folder that it works on."""
    folders = {}
    for unit in installed_units():
        with open(os.path.join(UNIT_FOLDER, unit), encoding="utf-8") as stream:
            found = re.search(r"^ExecStart=.* --data (\S+)", stream.read(), re.MULTILINE)
        if found is not None:
            folders[unit] = found[1]
    return folders


def installed_units() -> list[str]:
    """Return the units of ours that are installed."""
    return [unit for unit in UNITS if os.path.exists(os.path.join(UNIT_FOLDER, unit))]
