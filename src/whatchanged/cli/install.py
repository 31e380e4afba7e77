"""`whatchanged install`: tracker and forwarder (and server) as services of this machine.

Idempotent: run again after an upgrade it writes the units anew and restarts what changed; state and identity stay.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from whatchanged.cli.account import ACCOUNT_NAME, make_folders, service_account
from whatchanged.cli.enroll import TOKEN_VARIABLE
from whatchanged.cli.options import Values, load_values, read_secret
from whatchanged.cli.output import Output
from whatchanged.cli.privileges import first_closed
from whatchanged.cli.server import require_server_packages
from whatchanged.cli.supervise import Account, child_environment
from whatchanged.cli.units import AGENT_UNITS, SERVER_UNIT, UNITS, render
from whatchanged.errors import OperationError, SettingsError

NAME = "install"
SUMMARY = "Install tracker and forwarder as systemd services, and enrol this machine"

UNIT_FOLDER = "/etc/systemd/system"
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
    require_root_and_systemd()
    if arguments.with_server:
        require_server_packages()
    values = load_values(arguments)
    _require_reachable_program()
    _make_account()
    account = service_account()
    make_folders(values.data, account, server=arguments.with_server)
    enrolled = _enrol(arguments, values, account)
    units = (*AGENT_UNITS, SERVER_UNIT) if arguments.with_server else AGENT_UNITS
    rows = [{"Unit": unit, "Result": _write(unit, values)} for unit in units]
    systemctl("daemon-reload")
    # Agents without an identity have nothing to do yet; they start at the next boot or after `enroll`.
    started = [unit for unit in units if enrolled or unit == SERVER_UNIT]
    systemctl("enable", *units)
    if not arguments.no_start and started:
        systemctl("restart", *started)
    output.rows(rows)
    if not enrolled:
        output.message("not enrolled: run `whatchanged install --server URL --token-file FILE` to do it")
    return 0


def require_root_and_systemd() -> None:
    """Raise SettingsError where services cannot be installed."""
    if sys.platform == "win32" or os.geteuid() != 0:
        raise SettingsError("services are installed by root", hint="use sudo")
    # sd_booted(3)
    if not os.path.isdir("/run/systemd/system"):
        raise SettingsError("this machine was not booted by systemd", hint="run `whatchanged up` instead")


def _require_reachable_program() -> None:
    places = [sys.executable, *(os.path.realpath(place) for place in sys.path if os.path.isdir(place))]
    for place in places:
        closed = first_closed(os.path.dirname(os.path.realpath(place)))
        if closed is not None or place.startswith(_HIDDEN_HOMES):
            raise SettingsError(
                f"the account {ACCOUNT_NAME} could not run this program: {closed or place} is closed to it",
                hint="install it into /opt/whatchanged: python3 -m venv /opt/whatchanged && "
                "/opt/whatchanged/bin/pip install whatchanged",
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


def _enrol(arguments: argparse.Namespace, values: Values, account: Account | None) -> bool:
    """Enrol if asked to; return whether this machine has an identity."""
    identity = os.path.join(values.data.forwarder, "identity.json")
    if arguments.server is None or os.path.exists(identity):
        return os.path.exists(identity)
    token = read_secret(arguments.token_file, TOKEN_VARIABLE)
    command = [sys.executable, "-I", "-m", "whatchanged", "enroll", "--data", values.data.path]
    command += ["--server", arguments.server, "--token-file", "-"]
    if arguments.config:
        command += ["--config", os.path.abspath(arguments.config)]
    _command(*command, account=account, given=token)
    return True


def _write(unit: str, values: Values) -> str:
    path = os.path.join(UNIT_FOLDER, unit)
    text = render(unit, python=sys.executable, data=values.data.path, account=ACCOUNT_NAME)
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


def installed_units() -> list[str]:
    """Return the units of ours that are installed."""
    return [unit for unit in UNITS if os.path.exists(os.path.join(UNIT_FOLDER, unit))]
