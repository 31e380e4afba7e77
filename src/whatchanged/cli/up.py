"""`whatchanged up`: server, forwarder and tracker on this machine, until Ctrl-C.

Three child processes under one supervisor. Started as root, server and forwarder give their rights up
(`privileges`); the tracker keeps them, because it must read everything.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import whatchanged
from whatchanged.cli.account import make_folders, service_account
from whatchanged.cli.connection import Connection, connect, local_address
from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.privileges import first_closed
from whatchanged.cli.program import command_line
from whatchanged.cli.rules import association_name, read_document
from whatchanged.cli.server import require_server_packages
from whatchanged.cli.signals import stop_on
from whatchanged.cli.supervise import Account, Child, Supervisor, child_environment
from whatchanged.cli.tracker_control import ask
from whatchanged.errors import OperationError, SettingsError

NAME = "up"
SUMMARY = "Run server, forwarder and tracker on this machine"

_READY_SECONDS = 120.0
_ENROL_SECONDS = 60.0
_PROGRESS_SECONDS = 2.0
_GROUP = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("port", "root", "policy", "computer"))
    parser.add_argument(
        "--rule", metavar="FILE", help="rule to associate at the first start (default: our default rule)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Start the three, enrol this machine, and watch until a signal comes."""
    require_server_packages()
    values = load_values(arguments)
    document = read_document(arguments.rule) if arguments.rule else None
    stop = threading.Event()
    if sys.platform == "win32":
        stop_on((signal.SIGTERM, signal.SIGINT), stop)
    else:
        stop_on((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), stop)
    account = _account(values, output)
    make_folders(values.data, account, server=True)
    with _only_one(values):
        supervisor = Supervisor(output.message)
        try:
            _Start(arguments, values, account, supervisor, output, stop).begin(document)
            supervisor.run(stop, _Progress(values, output).tick)
        except _Stopped:
            pass
        finally:
            output.message("stopping")
            supervisor.stop()
    output.message("stopped")
    return 0


class _Stopped(Exception):
    """A signal came while starting."""


class _Start:
    """The steps from nothing to three running processes."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        values: Values,
        account: Account | None,
        supervisor: Supervisor,
        output: Output,
        stop: threading.Event,
    ) -> None:
        self._arguments = arguments
        self._values = values
        self._account = account
        self._supervisor = supervisor
        self._output = output
        self._stop = stop

    def begin(self, document: bytes | None) -> None:
        """Start, enrol, associate, and say where everything is."""
        url = self._start_server()
        with connect(self._local()) as server:
            self._enrol(server)
            _associate(server, document)
            moved = self._moved(server)
            link = server.post("/api/v1/sign-in-links", {})["link"]
        self._start_agents(moved)
        self._output.message(f"whatchanged is up on {url}")
        self._output.message(f"sign in, once within ten minutes: {url}/sign-in#{link}")
        self._output.message("(later: whatchanged users link, or an account made by whatchanged users create NAME)")
        self._output.message("Ctrl-C stops it. In another terminal: whatchanged status, changes, inventory software")

    def _local(self) -> Values:
        # Whatever server the settings name for questions: `up` is about the one it started.
        return Values({**self._values.by_name, "url": None, "token": None, "ca": None})

    def _common(self) -> list[str]:
        flags = ["--data", self._values.data.path, "--log-level", self._level()]
        return [*flags, *(["--config", self._arguments.config] if self._arguments.config else [])]

    def _level(self) -> str:
        given = self._arguments.log_level or os.environ.get("WHATCHANGED_LOG_LEVEL")
        # The screen belongs to progress; the children speak up only when something is wrong.
        return str(given or "WARNING")

    def _start_server(self) -> str:
        address = os.path.join(self._values.data.server, "address.json")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        port = str(self._values["port"])
        arguments = ["server", *self._common(), "--address", "127.0.0.1", "--port", port, "--tls", "false"]
        child = Child("server", arguments, self._account)
        self._supervisor.start(child)
        self._wait_for(lambda: os.path.exists(address), child)
        return local_address(self._values.data.server)

    def _wait_for(self, there: Callable[[], bool], child: Child) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not there():
            if self._stop.wait(0.1):
                raise _Stopped
            if child.process is not None and (child.process.poll() or 0) > 0:
                raise OperationError("the server did not start", hint="what it said stands above")
            self._supervisor.watch()
            if time.monotonic() > deadline:
                raise OperationError(f"the server is not ready after {_READY_SECONDS:g} s")

    def _enrol(self, server: Connection) -> None:
        if os.path.exists(os.path.join(self._values.data.forwarder, "identity.json")):
            return
        body = {"machineGroup": _GROUP, "uses": 1, "expiresInSeconds": 3600}
        token = server.post("/api/v1/enrollment-tokens", body)["token"]
        arguments = ["enroll", *self._common(), "--server", server.url, "--token-file", "-"]
        if self._values["computer"]:
            arguments += ["--computer", self._values["computer"]]
        # In a process of its own, because the identity must belong to the forwarder's account.
        try:
            done = subprocess.run(  # noqa: S603 - our own program, arguments made by us
                command_line(arguments),
                input=token.encode(),
                env=dict(child_environment(self._account)),
                timeout=_ENROL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OperationError("enrolling this machine took too long") from error
        if self._stop.is_set():
            raise _Stopped
        if done.returncode:
            raise OperationError("this machine could not be enrolled", hint="what it said stands above")

    def _moved(self, server: Connection) -> list[str]:
        """Return what tells the forwarder that its server listens elsewhere than when this machine enrolled."""
        from whatchanged.forwarder.identity import load

        identity = load(self._values.data)
        if identity is None or identity.server == server.url:
            return []
        if not any(row.get("id") == identity.machine_id for row in server.rows("/api/v1/machines")):
            self._output.message(f"warning: this machine is enrolled at {identity.server}, and its records go there")
            return []
        return ["--moved-to", server.url, "--moved-machine", identity.machine_id]

    def _start_agents(self, moved: list[str]) -> None:
        named = ["--computer", self._values["computer"]] if self._values["computer"] else []
        self._supervisor.start(Child("forwarder", ["forwarder", *self._common(), *named, *moved], self._account))
        uid = self._account.uid if self._account else _own_uid()
        arguments = ["tracker", *self._common(), "--root", self._values["root"], "--policy", self._values["policy"]]
        arguments += named
        if uid:
            arguments += ["--forwarder-uid", str(uid)]
        self._supervisor.start(Child("tracker", arguments))


def _associate(server: Connection, document: bytes | None) -> None:
    """Associate the rule with the group of this machine; without `--rule` only if no rule is associated at all."""
    if document is None:
        if server.rows("/api/v1/associations"):
            return
        from whatchanged.rules.default import DEFAULT_RULE

        name = _rule_name(DEFAULT_RULE.get("name"), "default")
        server.put(f"/api/v1/rules/{quote(name, safe='')}", DEFAULT_RULE)
    else:
        name = "up"
        server.put_document(f"/api/v1/rules/{name}", document)
    association = association_name(name, _GROUP)
    server.put(f"/api/v1/associations/{quote(association, safe='')}", {"rule": name, "group": _GROUP})


def _rule_name(found: Any, otherwise: str) -> str:
    return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,100}", found) else otherwise


def _account(values: Values, output: Output) -> Account | None:
    """Return the account for server and forwarder; None when they keep ours."""
    account = service_account()
    if account is None:
        return None
    closed = first_closed(os.path.dirname(values.data.path), account.uid, account.gid) or _closed_program()
    if closed is None:
        return account
    output.message(
        f"warning: server and forwarder keep running as root, because {closed} is closed to other accounts; "
        "a data folder and a program that everybody can reach let them run without rights"
    )
    return None


def _closed_program() -> str | None:
    """Return a folder of modules that is closed itself; closed folders above it do not matter (`privileges`)."""
    for folder in (*sys.path, *whatchanged.__path__):
        if os.path.isdir(folder) and os.stat(folder).st_mode & 0o005 != 0o005:
            return folder
    return None


@contextlib.contextmanager
def _only_one(values: Values) -> Iterator[None]:
    """Refuse to run beside another `up` on the same folder; the kernel forgets the lock with the process."""
    if sys.platform == "win32":
        raise SettingsError("the server runs on Linux only")
    else:
        import fcntl

        path = os.path.join(values.data.path, "up.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                hint = "stop it, or choose another folder with --data"
                raise OperationError(f"another `up` runs on {values.data.path}", hint=hint) from error
            yield
        finally:
            os.close(descriptor)


class _Progress:
    """Says how the first look at everything goes: counters that move, then a line when it has ended."""

    def __init__(self, values: Values, output: Output) -> None:
        self._values = values
        self._output = output
        self._next = time.monotonic() + _PROGRESS_SECONDS
        self._running: dict[str, int] = {}
        self._ended: set[str] = set()

    def tick(self) -> None:
        """Ask the tracker, every now and then."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PROGRESS_SECONDS
        try:
            status = ask(self._values, "status", timeout=5.0)
        except OperationError:
            # It is starting or being started again; the supervisor says so when it died.
            return
        for run in status.get("runs", ()):
            self._say(run, status.get("items", {}).get(run.get("Kind"), 0))

    def _say(self, run: dict[str, Any], known: int) -> None:
        kind, state, seen = str(run.get("Kind")), str(run.get("Status")), int(run.get("ItemsSeen") or 0)
        key = f"{kind}:{run.get('Job')}"
        if key in self._ended:
            return
        if state != "Running":
            self._ended.add(key)
            self._output.message(f"{kind}: {state}, {seen} items seen in {run.get('DurationMs')} ms")
        elif seen != self._running.get(key, 0):
            self._running[key] = seen
            share = f" of about {known} ({100 * seen // known}%)" if known > seen else ""
            self._output.progress(f"{kind}: {seen} items seen so far{share}")


def _own_uid() -> int:
    if sys.platform == "win32":
        return 0
    else:  # noqa: RET505 - mypy follows sys.platform only in a branch of its own
        return os.geteuid()
