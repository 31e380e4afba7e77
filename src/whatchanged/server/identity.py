"""Who a request speaks for. Identity comes from the credential, never from a body."""

from __future__ import annotations

import msgspec

__all__ = ["MachineIdentity"]


class MachineIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, as its credential names it."""

    machine_id: str
    """GUID, lower case: SourceComputerId."""
    workspace_id: str
    """GUID: TenantId and _SubscriptionId."""
    group: str
    """Machine group: the resource group in the ARM id."""
    name: str
    """Machine name in the ARM id."""

    @property
    def resource_id(self) -> str:
        """Return the ARM id: `_ResourceId`."""
        return (
            f"/subscriptions/{self.workspace_id}/resourceGroups/{self.group}"
            f"/providers/Microsoft.HybridCompute/machines/{self.name}"
        )

    @property
    def implicit_rule_id(self) -> str:
        """Return the immutable id of the machine's implicit rule (Heartbeat, TrackingHealth)."""
        return "dcr-" + self.machine_id.replace("-", "")
