"""Services of a registry of which a part cannot be read: what was known of them is kept."""

from __future__ import annotations

from unit.tracker.registry_in_memory import MemoryRegistry
from whatchanged.collectors.registry.source import CURRENT_CONTROL_SET
from whatchanged.collectors.services.windows_registry import RegistryServices

SERVICES = rf"{CURRENT_CONTROL_SET}\Services"
OWN_PROCESS = (4, b"\x10\0\0\0")
KEYS = {rf"{SERVICES}\{name}": {"Type": OWN_PROCESS} for name in ("Closed", "Half", "Open")} | {
    rf"{SERVICES}\Half\Parameters": {"x": OWN_PROCESS}
}


def looked(*denied: str) -> tuple[list[str], tuple[bytes, ...], tuple[bytes, ...]]:
    found = RegistryServices(MemoryRegistry(KEYS, frozenset(denied))).run()
    return [item.name for item in found.items], found.kept, found.outcome.denied


def test_everything_is_read() -> None:
    assert looked() == (["Closed", "Half", "Open"], (), ())


def test_a_service_whose_key_is_closed_is_kept() -> None:
    names, kept, denied = looked(rf"{SERVICES}\Closed", rf"{SERVICES}\Half\Parameters")
    assert names == ["Half", "Open"]
    assert [name.upper() for name in kept] == [b"CLOSED", b"HALF"]
    assert len(denied) == 2


def test_where_the_list_is_closed_nobody_is_named() -> None:
    names, kept, denied = looked(SERVICES)
    assert (names, kept) == ([], ())
    assert denied
