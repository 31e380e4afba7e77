"""Windows services as the service control manager tells of them, of the running system.

It knows which services there are, how each is set up and whether it runs, and resolves names that stand in the
resources of a program. What it has no words for (the library of a shared process, the actions on failure) is read
where it keeps them itself, as from a mounted disk: `windows_registry`.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pywintypes
import win32service
import winerror

from whatchanged.collectors.outcome import Failure, Snapshot, Tally
from whatchanged.collectors.registry.environment import system_variables
from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.collectors.registry.source import CURRENT_CONTROL_SET
from whatchanged.collectors.services.service_processes import ServiceProcesses
from whatchanged.collectors.services.windows_registry import service_item
from whatchanged.records.items import ServiceItem
from whatchanged.records.registry_values import name_bytes

if TYPE_CHECKING:
    from _win32typing import PySC_HANDLE

__all__ = ["ServiceManager"]

_STATES = {
    win32service.SERVICE_STOPPED: "Stopped",
    win32service.SERVICE_START_PENDING: "Start Pending",
    win32service.SERVICE_STOP_PENDING: "Stop Pending",
    win32service.SERVICE_RUNNING: "Running",
    win32service.SERVICE_CONTINUE_PENDING: "Continue Pending",
    win32service.SERVICE_PAUSE_PENDING: "Pause Pending",
    win32service.SERVICE_PAUSED: "Paused",
}
"""As Win32_Service spells them."""
_START_TYPES = {
    win32service.SERVICE_BOOT_START: "Boot",
    win32service.SERVICE_SYSTEM_START: "System",
    win32service.SERVICE_AUTO_START: "Auto",
    win32service.SERVICE_DEMAND_START: "Manual",
    win32service.SERVICE_DISABLED: "Disabled",
}
_USER_INSTANCE = 0x80
"""A copy that Windows makes of a per-user service at each sign-in; its template is told of."""
_GONE = (winerror.ERROR_SERVICE_DOES_NOT_EXIST, winerror.ERROR_SERVICE_MARKED_FOR_DELETE)


class ServiceManager:
    """Looks at the services of this machine."""

    name = "services"

    def run(self) -> Snapshot[ServiceItem]:
        """Return all services, by name; one that could not be read is kept as it was."""
        tally = Tally()
        try:
            manager = win32service.OpenSCManager(
                None, None, win32service.SC_MANAGER_CONNECT | win32service.SC_MANAGER_ENUMERATE_SERVICE
            )
            found = win32service.EnumServicesStatusEx(
                manager,
                win32service.SERVICE_WIN32,
                win32service.SERVICE_STATE_ALL,
                None,  # of every group (the types of pywin32 call this argument by another name)
            )
        except pywintypes.error as error:
            tally.broken = True
            tally.deny(b"service control manager", _reason(error))
            return Snapshot(items=(), outcome=tally.outcome())
        variables = system_variables(LiveRegistry())
        processes = ServiceProcesses()
        items: dict[str, ServiceItem] = {}
        unread: set[bytes] = set()
        for status in found:
            name = status["ServiceName"]
            if status["ServiceType"] & _USER_INSTANCE:
                continue
            try:
                items[name] = _item(manager, status, _kept_by_registry(tally, name, variables), processes)
            except pywintypes.error as error:
                if error.winerror not in _GONE:
                    tally.fail(Failure(name_bytes(name), _reason(error)))
                    unread.add(ServiceItem(name=name).key())
            except ValueError as error:
                tally.fail(Failure(name_bytes(name), str(error)))
                unread.add(ServiceItem(name=name).key())
        tally.seen = tally.looked = len(items)
        ordered = tuple(items[name] for name in sorted(items, key=str.casefold))
        return Snapshot(items=ordered, outcome=tally.outcome(), unsettled=frozenset(unread))


def _kept_by_registry(tally: Tally, name: str, variables: Mapping[str, str]) -> ServiceItem:
    """Return what only the registry tells of a service. Raises ValueError."""
    registry = LiveRegistry()  # with a tally of its own: the list of services is the manager's, whatever is closed here
    key = registry.open(rf"{CURRENT_CONTROL_SET}\Services\{name}")
    known = ServiceItem(name=name) if key is None else service_item(key, variables)
    if not registry.tally.failures_total:
        return known
    for failure in registry.tally.outcome().failures:
        tally.fail(failure)
    return ServiceItem(name=name, delayed=None, service_dll=None, failure_actions=None)


def _item(
    manager: PySC_HANDLE, status: Mapping[str, Any], known: ServiceItem, processes: ServiceProcesses
) -> ServiceItem:
    """Return the service with what the manager says of it. Raises pywintypes.error."""
    service = win32service.OpenService(manager, status["ServiceName"], win32service.SERVICE_QUERY_CONFIG)
    _, start, _, path, _, _, _, account, display_name = win32service.QueryServiceConfig(service)
    description = win32service.QueryServiceConfig2(service, win32service.SERVICE_CONFIG_DESCRIPTION)
    return msgspec.structs.replace(
        known,
        name=status["ServiceName"],
        display_name=display_name or status["ServiceName"],
        description=description or "",
        state=_STATES.get(status["CurrentState"], ""),
        start_type=_START_TYPES.get(start, ""),
        account=account or "LocalSystem",
        path=path or "",
        process_id=status["ProcessId"] or None,
        start=processes.start(status["ProcessId"]) if status["ProcessId"] else "",
    )


def _reason(error: pywintypes.error) -> str:
    """Return the error as text; not the system's, which is in the language of the machine."""
    return "access is denied" if error.winerror == winerror.ERROR_ACCESS_DENIED else f"error {error.winerror}"
