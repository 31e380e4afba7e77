"""What `install` and `uninstall` do on Windows.

Idempotent: run again after an upgrade it sets the services anew and restarts them; state and identity stay.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import argparse

import win32security

from whatchanged.cli.install import NOT_ENROLLED, enrol, require_lasting_settings
from whatchanged.cli.options import SETTINGS_FOLDER, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.program import command_line
from whatchanged.cli.uninstall import NOTHING, purge
from whatchanged.cli.windows_services import event_log
from whatchanged.cli.windows_services.access import ADMINISTRATORS, folder_lists, outer_list
from whatchanged.cli.windows_services.definition import (
    AGENT_SERVICES,
    FORWARDER,
    TRACKER,
    Service,
    data_of,
    image_path,
)
from whatchanged.cli.windows_services.folders import make_folders, make_settings_folder, require_safe_program
from whatchanged.cli.windows_services.manager import Manager
from whatchanged.errors import SettingsError
from whatchanged.settings import DataFolder

__all__ = ["data_of_services", "install", "path_of", "uninstall"]

_ACCOUNTS = (TRACKER.sid, FORWARDER.sid)


def install(arguments: argparse.Namespace, output: Output) -> int:
    """Register the services and start them."""
    _require_administrator()
    if arguments.with_server:
        raise SettingsError("there is no server on Windows", hint="its database runs on Linux and macOS only")
    require_safe_program()
    # Before anything is read from it: it may be a trap (folders.py).
    make_settings_folder(SETTINGS_FOLDER, outer_list(FORWARDER.sid), _ACCOUNTS)
    values = load_values(arguments)
    with Manager(change=True) as manager:
        require_lasting_settings(arguments, values, data_of_services(manager))
        paths = {service: path_of(service, values.data) for service in AGENT_SERVICES}
        # What runs would change the folders under our hands, and hold its files open.
        ran = [service for service in reversed(AGENT_SERVICES) if manager.stop(service.name)]
        start = list(reversed(ran))
        try:
            make_folders(folder_lists(values.data, *_ACCOUNTS), _ACCOUNTS)
            event_log.register()
            enrolled = enrol(arguments, values, None)
            rows, unknown = [], {}
            for service, path in paths.items():
                result, missing = manager.register(service, path)
                unknown.update(dict.fromkeys(missing))
                rows.append({"Service": service.name, "Account": service.account, "Result": result})
            # Agents without an identity have nothing to do yet; they start at the next boot or after `enroll`.
            if enrolled and not arguments.no_start:
                start = list(AGENT_SERVICES)
        finally:
            for service in start:
                manager.start(service.name)
    output.rows(rows)
    if unknown:
        output.message(f"not known to this Windows: {', '.join(unknown)}")
    if not enrolled:
        output.message(NOT_ENROLLED)
    return 0


def uninstall(arguments: argparse.Namespace, output: Output) -> int:
    """Stop and delete the services, and the source of their events; the data stays unless it shall go."""
    _require_administrator()
    rows = []
    with Manager() as manager:
        # The tracker first: it has nobody to send to without the forwarder.
        for service in reversed(AGENT_SERVICES):
            manager.stop(service.name)
            if manager.delete(service.name):
                rows.append({"Service": service.name, "Account": service.account, "Result": "removed"})
    event_log.unregister()
    if arguments.purge:
        rows += [
            {"Service": folder, "Account": "", "Result": "deleted"} for folder in purge(load_values(arguments).data)
        ]
    output.rows(rows, empty=NOTHING)
    return 0


def path_of(service: Service, data: DataFolder) -> str:
    """Return the ImagePath that a service has on this machine."""
    return image_path(command_line(["service", service.process, *service.arguments], isolated=True), data.path)


def data_of_services(manager: Manager) -> dict[str, str]:
    """Return service → data folder that it works on."""
    found = {service.name: manager.configuration(service.name) for service in AGENT_SERVICES}
    folders = {name: data_of(configuration[0]) for name, configuration in found.items() if configuration}
    return {name: folder for name, folder in folders.items() if folder}


def _require_administrator() -> None:
    administrators = win32security.ConvertStringSidToSid(ADMINISTRATORS)
    if not win32security.CheckTokenMembership(None, administrators):  # type: ignore[arg-type] # None: our own
        raise SettingsError("services are installed by an administrator", hint="run it as administrator")
