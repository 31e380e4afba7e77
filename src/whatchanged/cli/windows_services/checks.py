"""What `doctor` looks at on Windows: the services, what they run, who could change it, and their folders."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import os
from collections.abc import Callable, Iterator

import win32service

from whatchanged.cli.finding import Finding, Subject
from whatchanged.cli.windows_services import event_log
from whatchanged.cli.windows_services.access import ANY
from whatchanged.cli.windows_services.definition import AGENT_SERVICES, FORWARDER, TRACKER, Service
from whatchanged.cli.windows_services.folders import require_safe_program, strangers_at
from whatchanged.cli.windows_services.manager import STATES, Manager
from whatchanged.cli.windows_services.setup import path_of
from whatchanged.errors import OperationError

__all__ = ["MACHINE_CHECKS"]

_AGAIN = "`whatchanged install` sets it right"
_WHY = f"the event log says why: Application, source {event_log.SOURCE}"


def _services(subject: Subject) -> Iterator[Finding]:
    with Manager() as manager:
        found = {service: manager.configuration(service.name) for service in AGENT_SERVICES}
        if not any(found.values()):
            return  # somebody runs them in another way
        for service, configuration in found.items():
            if configuration is None:
                yield Finding(service.name, "Error", "there is no such service", _AGAIN)
                continue
            status = manager.status(service.name)
            state = "gone" if status is None else STATES.get(status["CurrentState"], "paused")
            yield Finding(service.name, *(("Ok", state, "") if state == "running" else ("Error", state, _WHY)))
            yield from _set_up(service, configuration, subject)
    if not event_log.is_registered():
        yield Finding("event log", "Warning", f"there is no source {event_log.SOURCE}", _AGAIN)


def _set_up(service: Service, configuration: tuple[str, str, int], subject: Subject) -> Iterator[Finding]:
    path, account, start = configuration
    if not path.startswith('"'):
        yield Finding(service.name, "Error", f"its path has no quotes: {path}", _AGAIN)
    elif path != path_of(service, subject.values.data):
        yield Finding(service.name, "Warning", f"it is another installation: {path}", _AGAIN)
    if account.casefold() != service.account.casefold():
        yield Finding(service.name, "Error", f"it runs as {account}, not as {service.account}", _AGAIN)
    if start != win32service.SERVICE_AUTO_START:
        yield Finding(service.name, "Warning", "it does not start with the machine", _AGAIN)


def _folders(subject: Subject) -> Iterator[Finding]:
    data = subject.values.data
    for folder in (data.path, data.tracker, data.forwarder):
        if os.path.isdir(folder) and (names := strangers_at(folder, ANY, (TRACKER.sid, FORWARDER.sid))):
            yield Finding("data folder", "Error", f"{folder} is open to {', '.join(names)}", _AGAIN)


def _program(subject: Subject) -> Iterator[Finding]:
    try:
        require_safe_program()
    except OperationError as error:
        yield Finding("program", "Warning", error.message, error.hint)
    else:
        yield Finding("program", "Ok", f"{sys.executable} is closed to others")


MACHINE_CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (_services, _folders, _program)
