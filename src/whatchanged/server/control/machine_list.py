"""Pages of the list of machines: filtered, ordered and counted by the database, so that few rows leave it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, false, func, or_, select

from whatchanged.server.control import schema
from whatchanged.server.control.refusals import bad_request

__all__ = ["STATES", "MachineFilter", "Order", "counted", "machine_page", "states"]

STATES = ("Active", "Silent", "Revoked", "Decommissioned")
Order = Literal["computer", "state", "osName", "agentVersion", "lastContact", "machineGroup"]

_table = schema.machines
_STATE: ColumnElement[str] = case(
    (_table.c.status == "revoked", "Revoked"),
    (_table.c.status == "decommissioned", "Decommissioned"),
    (_table.c.silent_since.is_not(None), "Silent"),
    else_="Active",
)
_ORDERS: dict[Order, ColumnElement[Any]] = {
    "computer": _table.c.computer,
    "state": _STATE,
    "osName": _table.c.os_name,
    "agentVersion": _table.c.agent_version,
    "lastContact": _table.c.last_contact,
    "machineGroup": _table.c.machine_group,
}
_SEARCHED = (_table.c.computer, _table.c.name, _table.c.os_name, _table.c.machine_group, _table.c.id)
_cursors = msgspec.json.Decoder(tuple[str | int, str])


class MachineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which machines; an empty field does not restrict."""

    groups: frozenset[str] | None = None
    """Machine groups that the caller may see; None: all."""
    text: str = ""
    """Part of the name, system, group or id; case does not count."""
    states: tuple[str, ...] = ()
    computers: tuple[str, ...] = ()
    other_than: tuple[str, ...] = ()
    """Computers that are left out."""
    ids: tuple[str, ...] | None = None
    """Only these machines; None: all."""


def machine_page(
    connection: Connection, wanted: MachineFilter, order: Order, descending: bool, limit: int, cursor: str
) -> tuple[Sequence[Row[Any]], str]:
    """Return at most `limit` machines, and where to go on (empty: that was all). Raises Refusal for a bad cursor."""
    key = _ORDERS[order]
    query = _where(select(_table, key.label("page_key")), wanted)
    if cursor:
        value, machine_id = _place(cursor, int if order == "lastContact" else str)
        beyond = key < value if descending else key > value
        query = query.where(or_(beyond, and_(key == value, _table.c.id > machine_id)))
    query = query.order_by(key.desc() if descending else key, _table.c.id).limit(limit + 1)
    rows = connection.execute(query).all()
    if len(rows) <= limit:
        return rows, ""
    last = rows[limit - 1]
    place = msgspec.json.encode((last.page_key, last.id))
    return rows[:limit], base64.urlsafe_b64encode(place).decode().rstrip("=")


def counted(connection: Connection, wanted: MachineFilter) -> int:
    """Return how many machines the filter lets through."""
    return int(connection.execute(_where(select(func.count()).select_from(_table), wanted)).scalar_one())


def states(connection: Connection, groups: frozenset[str] | None) -> dict[str, int]:
    """Return how many machines are in each state."""
    counts = cast("Select[Any]", select(_STATE, func.count()).select_from(_table))
    query = _where(counts, MachineFilter(groups=groups)).group_by(_STATE)
    return dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in connection.execute(query)}


def _where(query: Select[Any], wanted: MachineFilter) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.groups is not None:
        conditions.append(_table.c.machine_group.in_(wanted.groups))
    if wanted.text:
        conditions.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in _SEARCHED)))
    if wanted.states:
        conditions.append(_STATE.in_(wanted.states))
    if wanted.computers:
        conditions.append(_table.c.computer.in_(wanted.computers))
    if wanted.other_than:
        conditions.append(_table.c.computer.not_in(wanted.other_than))
    if wanted.ids is not None:
        conditions.append(_table.c.id.in_(wanted.ids) if wanted.ids else false())
    return query.where(*conditions)


def _place(cursor: str, type_: type) -> tuple[str | int, str]:
    try:
        value, machine_id = _cursors.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise bad_request("not a cursor of this list", "cursor") from error
    if not isinstance(value, type_):
        raise bad_request("a cursor of another order", "cursor")
    return value, machine_id
