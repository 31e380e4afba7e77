"""What the services are: names, accounts, rights, what happens when they fail. Pure.

No service depends on another. Forwarder and tracker each do without the other, and a dependency would stop the tracker
with the forwarder; the network, RPC and the event log are there long before services that start delayed.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from whatchanged.errors import SettingsError

__all__ = [
    "AGENT_SERVICES",
    "FORWARDER",
    "STOP_SECONDS",
    "SYSTEM",
    "TRACKER",
    "Extra",
    "Service",
    "data_of",
    "image_path",
    "service_sid",
]

SYSTEM = "S-1-5-18"
"""LocalSystem."""
STOP_SECONDS = 30
"""A service that was asked to stop and did not do so by then is ended."""

_RESTART = 1  # SC_ACTION_RESTART
_RESTART_AFTER = (5, 30, 300)
"""Seconds before the restart after the first, the second and every later failure."""
_FORGET_FAILURES = 86_400


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    process: str
    """Command that runs in it: `tracker` or `forwarder`."""
    description: str
    privileges: tuple[str, ...]
    """All that its token keeps; the service control manager takes away the others."""
    system: bool = False
    """Runs as LocalSystem; else as the virtual account of its own name, which nobody else has and no password opens."""
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in the service control manager."""
        return f"whatchanged-{self.process}"

    @property
    def display_name(self) -> str:
        """Name that people see."""
        return f"whatchanged {self.process}"

    @property
    def account(self) -> str:
        """Account it logs on as."""
        return "LocalSystem" if self.system else rf"NT SERVICE\{self.name}"

    @property
    def sid(self) -> str:
        """SID of that account."""
        return SYSTEM if self.system else service_sid(self.name)

    @property
    def extras(self) -> tuple[Extra, ...]:
        """What ChangeServiceConfig2 is told."""
        actions = [(_RESTART, 1000 * seconds) for seconds in _RESTART_AFTER]
        return (
            Extra(1, "description", self.description),
            Extra(
                2,
                "recovery actions",
                {"ResetPeriod": _FORGET_FAILURES, "RebootMsg": None, "Command": None, "Actions": actions},
            ),
            Extra(3, "delayed start", True),
            # A service that stops with an error has failed, too; not only one whose process went away.
            Extra(4, "recovery after an error", True),
            Extra(5, "SID in the token", 1),  # SERVICE_SID_TYPE_UNRESTRICTED
            Extra(6, "required privileges", list(self.privileges)),
            Extra(7, "time to stop before a shutdown", 1000 * (STOP_SECONDS + 5)),
        )


@dataclass(frozen=True, slots=True)
class Extra:
    """One level of ChangeServiceConfig2 (SERVICE_CONFIG_… of winsvc.h), its name for people, and pywin32's value."""

    level: int
    name: str
    value: object


FORWARDER = Service(
    "forwarder",
    "Passes the records of the whatchanged tracker on to its server. Reads nothing but its own folder.",
    # Passing through folders: every token has it, and keeps it only if it is named.
    ("SeChangeNotifyPrivilege",),
    arguments=("--main-instance", "true"),
)
TRACKER = Service(
    "tracker",
    "Tracks changes of files, registry, services and software, and takes their inventory. Uses no network.",
    # To read every file and key, whatever its access list says.
    ("SeBackupPrivilege", "SeChangeNotifyPrivilege"),
    system=True,
)
AGENT_SERVICES = (FORWARDER, TRACKER)


def service_sid(name: str) -> str:
    """Return the SID of a service: the SHA-1 of its name in capitals, UTF-16 ([MS-DTYP] 2.4.2.4, S-1-5-80)."""
    digest = hashlib.sha1(name.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    return "S-1-5-80-" + "-".join(str(part) for part in struct.unpack("<5I", digest))


def image_path(command: Sequence[str], data: str) -> str:
    r"""Return the ImagePath of a service: `command`, working on the folder `data`.

    The program stands in quotes, always: of `C:\Program Files\x.exe` without them Windows would first try
    `C:\Program.exe`, which may be somebody else's (CWE-428). Raises SettingsError for what a path must not hold.
    """
    for part in (*command, data):
        # The value is REG_EXPAND_SZ: %NAME% would become something else.
        if re.search(r'[%"\x00-\x1f]|\\\Z', part):
            raise SettingsError(f"{part!r} cannot stand in the path of a service", hint="use a plain folder, without %")
    program, *arguments = command
    return f'"{program}" {subprocess.list2cmdline([*arguments, "--data", data])}'


def data_of(path: str) -> str | None:
    """Return the data folder that a service works on, of its ImagePath; None if it names none."""
    found = re.search(r' --data (?:"([^"]+)"|([^ \t]+))', path)
    return found and (found[1] or found[2])
