"""The heartbeat: one row a minute that says the forwarder is alive, and what the machine is."""

from __future__ import annotations

import platform
import socket
from typing import Any

from whatchanged import __version__
from whatchanged.firmware import vm_uuid
from whatchanged.forwarder.store import Store
from whatchanged.records.carrier import Position
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, time_text
from whatchanged.wire.forward import pack_record

__all__ = ["beat", "machine_facts"]


def machine_facts() -> dict[str, str]:
    """Return the fields of an enrolment request."""
    return {
        "computer": socket.gethostname(),
        "osType": platform.system() or "Linux",
        "osName": _os_release().get("PRETTY_NAME", platform.platform()),
        "vmUuid": vm_uuid(),
        "agentVersion": __version__,
    }


def beat(store: Store, computer: str, tracker_contact: int | None) -> None:
    """Store one heartbeat of `computer`, whose tracker last spoke at `tracker_contact` (ns since 1970; None: not yet).

    Raises StorageFull, StateError.
    """
    release = _os_release()
    depth = store.depth().values()
    major, _, minor = release.get("VERSION_ID", "").partition(".")
    row: dict[str, Any] = {
        "TimeGenerated": time_text(now_ns()),
        "Computer": computer,
        "Category": "Direct Agent",
        "ComputerEnvironment": "Non-Azure",
        "ComputerPrivateIPs": private_addresses(),
        "IsGatewayInstalled": False,
        "OSMajorVersion": major,
        "OSMinorVersion": minor,
        "OSName": release.get("NAME", platform.system()),
        "OSType": "Windows" if platform.system() == "Windows" else "Linux",
        "SCAgentChannel": "Direct",
        "Solutions": "changeTracking",
        "SourceSystem": "OpsManager" if platform.system() == "Windows" else "Linux",
        "Version": __version__,
        "VMUUID": vm_uuid(),
        "QueuedRecords": sum(rows for rows, _ in depth),
        "QueuedBytes": sum(size for _, size in depth),
        "TrackerContact": "" if tracker_contact is None else time_text(tracker_contact),
    }

    def make(epoch: str, sequence: int) -> bytes:
        position = Position(DataType.HEALTH_ASSESSMENT, epoch, sequence)
        return pack_record({**{k: v for k, v in row.items() if v != ""}, **position.carrier()})

    store.append_own(DataType.HEALTH_ASSESSMENT.value, make)


def private_addresses() -> list[str]:
    """Return the addresses from which this machine would reach others; nothing is sent."""
    found: list[str] = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))  # UDP: only a route is looked up (RFC 5737 and 3849 addresses)
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue  # no route in that family
    return found


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
