"""The control plane: rules, associations, machines, credentials, people, the back channel, audit; in SQL."""

from __future__ import annotations

from whatchanged.server.control.backchannel import RequestName
from whatchanged.server.control.conditions import Condition
from whatchanged.server.control.control import Configuration, Control
from whatchanged.server.control.machines import MachineFacts, MachineStatus
from whatchanged.server.control.people import Person, Role
from whatchanged.server.control.refusals import Refusal
from whatchanged.server.control.saved_queries import QueryContent

__all__ = [
    "Condition", "Configuration", "Control", "MachineFacts", "MachineStatus", "Person", "QueryContent", "Refusal",
    "RequestName", "Role",
]  # fmt: skip
