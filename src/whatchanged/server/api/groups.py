"""The interface of people, where it concerns machine groups: which there are, and which machine belongs to which."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, delete, get, put
from litestar.params import FromPath, JSONBody

from whatchanged.server.api.access import Access, AnyRequest, person_of
from whatchanged.server.api.context import context_of
from whatchanged.server.api.shapes import Machine, answers

__all__ = ["HANDLERS"]


class MachineGroup(msgspec.Struct, rename="camel"):
    """A machine group."""

    name: str
    created_at: str
    machines: int
    senders: int
    enrollment_tokens: int
    rules: list[str]
    """Associated with the group."""


class MachineGroups(msgspec.Struct):
    """The machine groups."""

    value: list[MachineGroup]


class NewGroup(msgspec.Struct):
    """Where a machine belongs from now on."""

    group: str


@get("/api/v1/machine-groups", opt={"access": Access.READER}, responses=answers(MachineGroups))
async def list_groups(request: AnyRequest) -> dict[str, Any]:
    """Return the machine groups that the caller may see."""
    context = context_of(request)
    return {"value": await context.call(context.control.groups.list_all, person_of(request).groups)}


@put("/api/v1/machine-groups/{name:str}", opt={"access": Access.OWNER})
async def create_group(request: AnyRequest, name: FromPath[str]) -> Response[dict[str, str]]:
    """Make a machine group."""
    context = context_of(request)
    created = await context.call(context.control.groups.create, person_of(request).actor, name)
    return Response({"name": name.lower()}, status_code=201 if created else 200)


@delete("/api/v1/machine-groups/{name:str}", status_code=204, opt={"access": Access.OWNER})
async def remove_group(request: AnyRequest, name: FromPath[str]) -> None:
    """Remove a machine group that nothing belongs to."""
    context = context_of(request)
    await context.call(context.control.groups.remove, person_of(request).actor, name)


@put("/api/v1/machines/{machine_id:str}/group", opt={"access": Access.OWNER}, responses=answers(Machine))
async def move_machine(request: AnyRequest, machine_id: FromPath[str], data: JSONBody[NewGroup]) -> dict[str, Any]:
    """Put a machine into another group; the rules of that group count at once."""
    context, person = context_of(request), person_of(request)
    machine = await context.call(context.control.machines.identity, machine_id, person.groups)
    if await context.call(context.control.machines.move, person.actor, machine.machine_id, data.group):
        context.control.changed(machine_id=machine.machine_id)
    return await context.call(context.control.machines.get, machine.machine_id, person.groups)


HANDLERS = (list_groups, create_group, remove_group, move_machine)
