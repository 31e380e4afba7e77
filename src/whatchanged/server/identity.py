"""Who a request speaks for. Identity comes from the credential, never from a body."""

from __future__ import annotations

import msgspec

__all__ = ["MachineIdentity", "SenderIdentity"]


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
    enrolled_group: str = ""
    """Group of the ARM id with which it enrolled, if it was moved since."""

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


class SenderIdentity(MachineIdentity, frozen=True, kw_only=True):
    """A program that sends records and is no machine of ours; `machine_id` is its own id, `name` its name.

    Its rows bear that id as SourceComputerId, whatever computers they speak of: they never mix with a machine's.
    """

    rule_id: str
    """Immutable id of the one rule it may send to."""
    rule_name: str

    @property
    def resource_id(self) -> str:
        """Return the ARM id of its rule: what its rows belong to."""
        return (
            f"/subscriptions/{self.workspace_id}/resourceGroups/{self.group}"
            f"/providers/Microsoft.Insights/dataCollectionRules/{self.rule_name}"
        )
