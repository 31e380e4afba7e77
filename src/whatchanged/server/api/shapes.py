"""Shapes of answers, for the OpenAPI document: what handlers answer with as rows has its type here.

Rows of the tables derive from `records.tables`, as everything about them does.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from whatchanged.records import tables
from whatchanged.records.columns import ColumnType, Table

__all__ = [
    "Associations", "Changes", "Health", "Inventory", "InventoryGroups", "Machine", "MachineStates", "Machines", "Rule",
    "RuleCheck", "RuleTemplates", "RuleVersion", "RuleVersions", "Rules", "Tables", "answers",
]  # fmt: skip

_TYPES: dict[ColumnType, Any] = {
    ColumnType.LONG: int,
    ColumnType.INT: int,
    ColumnType.REAL: float,
    ColumnType.BOOL: bool,
}
"""As JSON has them; everything else is text."""


def _page(name: str, table: Table) -> Any:
    """Return the type of a page of rows of `table`; what a row has nothing of is left out."""
    names = [(column.name, _TYPES.get(column.type, str)) for column in table.columns]
    fields = [(column, type_ | msgspec.UnsetType, msgspec.UNSET) for column, type_ in names]
    row: Any = msgspec.defstruct(table.name, fields, module=__name__)
    cursor = ("nextCursor", str | msgspec.UnsetType, msgspec.UNSET)
    return msgspec.defstruct(name, [("value", list[row]), cursor], module=__name__)


Changes = _page("Changes", tables.CONFIGURATION_CHANGE)
Inventory = _page("Inventory", tables.CONFIGURATION_DATA)
Health = _page("Health", tables.TRACKING_HEALTH)


class InventoryGroup(msgspec.Struct):
    """A name and version of the inventory."""

    name: str
    version: str
    """Of a file its checksum, of a daemon its enablement, of a service its startup type."""
    publisher: str
    details: dict[str, Any]
    machines: int
    """On how many it is."""


class InventoryGroups(msgspec.Struct, rename="camel"):
    """A page of the inventory by name and version."""

    value: list[InventoryGroup]
    total: int
    machines: int
    """How many machines told of anything of the kind."""
    counted_at: str
    cut: bool
    """There are more than were counted: the rarest are missing."""


class Machine(msgspec.Struct, rename="camel"):
    """A machine."""

    id: str
    name: str
    computer: str
    machine_group: str
    resource_id: str
    os_type: str
    os_name: str
    vm_uuid: str
    agent_version: str
    status: str
    """`active`, `revoked` or `decommissioned`."""
    enrolled_at: str
    last_contact: str
    silent_since: str | None
    rules: list[str] | msgspec.UnsetType = msgspec.UNSET
    """Names of the rules in force, in pages of the list."""


class Machines(msgspec.Struct, rename="camel"):
    """The machines, or a page of them."""

    value: list[Machine]
    next_cursor: str | msgspec.UnsetType = msgspec.UNSET
    matching: int | msgspec.UnsetType = msgspec.UNSET
    """How many the filter lets through."""
    total: int | msgspec.UnsetType = msgspec.UNSET
    """How many the caller may see."""


class MachineStates(msgspec.Struct):
    """How many machines there are, by state."""

    value: dict[str, int]


class RuleProblem(msgspec.Struct):
    """Something wrong in a rule; `place` is its JSON path in the document."""

    place: str
    message: str
    severity: str
    """`error` (the part is left out), `warning` or `note`."""


class RuleSource(msgspec.Struct, rename="camel"):
    """A change tracking data source of a rule."""

    name: str
    extension_name: str
    place: str
    """JSON path of its settings in the document."""
    files: int
    """Enabled file items; none where files are not collected."""
    registry: int
    software: bool
    services: bool
    inventory: bool


class Rule(msgspec.Struct, rename="camel"):
    """A data collection rule."""

    name: str
    description: str
    immutable_id: str
    etag: str
    created_at: str
    updated_at: str
    updated_by: str
    sources: list[RuleSource]
    problems: list[RuleProblem]
    document: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """As it was written."""
    machines: int | msgspec.UnsetType = msgspec.UNSET
    """In a list: active machines that it is for."""
    confirmed: int | msgspec.UnsetType = msgspec.UNSET
    """In a list: those of them that hold it as it is now."""


class Rules(msgspec.Struct):
    """The rules."""

    value: list[Rule]


class RuleVersion(msgspec.Struct):
    """What a rule was at a time."""

    id: int
    etag: str
    at: str
    by: str
    document: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class RuleVersions(msgspec.Struct):
    """The versions of a rule."""

    value: list[RuleVersion]


class RuleTemplate(msgspec.Struct):
    """What a new rule may begin with."""

    name: str
    description: str
    document: dict[str, Any]


class RuleTemplates(msgspec.Struct):
    """The templates."""

    value: list[RuleTemplate]


class RuleCheck(msgspec.Struct):
    """What is wrong with a document, and what it would collect."""

    problems: list[RuleProblem]
    sources: list[RuleSource]


class Association(msgspec.Struct):
    """A rule for a machine or a group."""

    name: str
    rule: str
    machine: str | None
    group: str | None


class Associations(msgspec.Struct):
    """The associations."""

    value: list[Association]


class Column(msgspec.Struct):
    """A column of an answer."""

    name: str
    type: str
    """A type of KQL."""


class Result(msgspec.Struct):
    """A table of an answer."""

    name: str
    columns: list[Column]
    rows: list[list[Any]]


class Tables(msgspec.Struct):
    """The answer to a query."""

    tables: list[Result]
    error: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """Why this is not everything."""


def answers(shape: Any) -> dict[int, ResponseSpec]:
    """Return what a handler says of its answer."""
    return {200: ResponseSpec(shape, generate_examples=False, description="Done")}
