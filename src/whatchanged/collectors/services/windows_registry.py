r"""Windows services as the registry defines them: `SYSTEM\CurrentControlSet\Services`, of whatever source.

Drivers are no services; nor are the copies that Windows makes of a per-user service at each sign-in, whose template is
told of. Whether a service runs is nothing that the registry knows, so State is empty.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from whatchanged.collectors.outcome import Failure, Outcome, Snapshot
from whatchanged.collectors.registry.environment import expanded, system_variables
from whatchanged.collectors.registry.source import (
    CURRENT_CONTROL_SET,
    RegistryKey,
    RegistrySource,
    clean_text,
    number_at,
    text_at,
)
from whatchanged.records.items import ServiceItem
from whatchanged.records.registry_values import name_bytes, name_of
from whatchanged.rules.registry_scope import folded

__all__ = ["RegistryServices", "failure_actions_text", "is_service", "service_item"]

_SERVICES = rf"{CURRENT_CONTROL_SET}\Services"
_OWN_OR_SHARED_PROCESS = 0x30
_USER_INSTANCE = 0x80
_START_TYPES = {0: "Boot", 1: "System", 2: "Auto", 3: "Manual", 4: "Disabled"}
_ACTIONS = {0: "none", 1: "restart", 2: "reboot", 3: "run the command"}
_ACTIONS_HEADER = struct.Struct("<IIIII")
_ACTION = struct.Struct("<II")
_NEVER = 0xFFFFFFFF


class RegistryServices:
    """Looks at the services that a registry defines."""

    name = "services"

    def __init__(self, source: RegistrySource) -> None:
        self._source = source

    def run(self) -> Snapshot[ServiceItem]:
        """Return all services, by name."""
        tally = self._source.tally
        services = self._source.open(_SERVICES)
        if services is None:
            tally.broken = True
            tally.deny(name_bytes(_SERVICES), "there is no such key")
            return Snapshot(items=(), outcome=tally.outcome())
        variables = system_variables(self._source)
        items: dict[str, ServiceItem] = {}
        for key in services.subkeys():
            if is_service(key):
                try:
                    items[key.name] = service_item(key, variables)
                except ValueError as error:
                    tally.fail(Failure(name_bytes(key.path), str(error)))
        tally.seen = tally.looked = len(items)
        outcome = tally.outcome()
        return Snapshot(
            items=tuple(items[name] for name in sorted(items, key=str.casefold)),
            outcome=outcome,
            kept=_not_read(outcome),
        )


def _not_read(outcome: Outcome) -> tuple[bytes, ...]:
    """Return the services of which something could not be read: what was known of them is kept.

    None where that is so of the list itself, for then nobody knows which they are.
    """
    begin = folded(f"{_SERVICES}\\")
    paths = [name_of(path) for path in (*outcome.denied, *(failure.path for failure in outcome.failures))]
    if any(begin.startswith(folded(f"{path}\\")) for path in paths):
        return ()
    names = {path[len(begin) :].partition("\\")[0] for path in paths if folded(path).startswith(begin)}
    return tuple(sorted(ServiceItem(name=clean_text(name)).key() for name in names))


def is_service(key: RegistryKey) -> bool:
    """Whether the key defines a service, and no driver or passing copy of one."""
    kind = number_at(key, "Type") or 0
    return bool(kind & _OWN_OR_SHARED_PROCESS) and not kind & _USER_INSTANCE


def service_item(key: RegistryKey, variables: Mapping[str, str]) -> ServiceItem:
    """Return the service that a key defines. Raises ValueError for failure actions that are none."""
    parameters = key.subkey("Parameters")
    library = text_at(parameters, "ServiceDll") or text_at(key, "ServiceDll")
    name = clean_text(key.name)
    actions = key.value("FailureActions")
    return ServiceItem(
        name=name,
        display_name=_readable(text_at(key, "DisplayName")) or name,
        description=_readable(text_at(key, "Description")),
        start_type=_START_TYPES.get(number_at(key, "Start") or 0, "") if key.value("Start") is not None else "",
        delayed=bool(number_at(key, "DelayedAutostart")),
        account=text_at(key, "ObjectName") or "LocalSystem",
        path=expanded(text_at(key, "ImagePath"), variables),
        service_dll=expanded(library, variables),
        failure_actions=""
        if actions is None
        else failure_actions_text(
            actions.data,
            command=text_at(key, "FailureCommand"),
            always=bool(number_at(key, "FailureActionsOnNonCrashFailures")),
        ),
    )


def _readable(text: str) -> str:
    """Return a text of the registry: of `@file,-id;text`, which names a resource, the text that stands in for it."""
    return text.partition(";")[2] or text if text.startswith("@") else text


def failure_actions_text(data: bytes, *, command: str = "", always: bool = False) -> str:
    """Return the failure actions of a service (SERVICE_FAILURE_ACTIONS, as the registry keeps it) as people say them.

    `always`: also when the service stops by itself with an error. Raises ValueError.
    """
    if len(data) < _ACTIONS_HEADER.size:
        raise ValueError(f"FailureActions: {len(data)} bytes are too few")
    reset, _, _, count, _ = _ACTIONS_HEADER.unpack_from(data)
    end = _ACTIONS_HEADER.size + count * _ACTION.size
    if end > len(data):
        raise ValueError(f"FailureActions: {count} actions in {len(data)} bytes")
    said = [_action(kind, delay) for kind, delay in _ACTION.iter_unpack(data[_ACTIONS_HEADER.size : end])]
    if not said:
        return ""
    parts = [", ".join(said), "never reset" if reset == _NEVER else f"reset after {reset} s"]
    parts += [f"command {command}"] if command else []
    return "; ".join([*parts, "also after an error"] if always else parts)


def _action(kind: int, delay: int) -> str:
    name = _ACTIONS.get(kind, f"action {kind}")
    if kind == 0:
        return name
    return f"{name} after {delay} ms" if delay % 1000 else f"{name} after {delay // 1000} s"
