"""The interface of people, where Owners say who they are: accounts, and the groups of machines they are limited to."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath, JSONBody

from whatchanged.server.api.access import Access, AnyRequest, person_of
from whatchanged.server.api.context import context_of
from whatchanged.server.api.shapes import answers
from whatchanged.server.control import Role
from whatchanged.server.control.passwords import MOST_CHARACTERS

__all__ = ["HANDLERS"]

Name = Annotated[str, msgspec.Meta(max_length=128)]
Secret = Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]


class NewAccount(msgspec.Struct, rename="camel"):
    """An account to make."""

    name: Name
    password: Secret
    role: str = "Reader"
    machine_groups: list[str] | None = None


class ChangedAccount(msgspec.Struct, rename="camel"):
    """What an account may do from now on."""

    role: str
    machine_groups: list[str] | None
    """None: all. It must be said: left out by mistake it would open everything."""


class NewPassword(msgspec.Struct):
    """Another password."""

    password: Secret


class Account(msgspec.Struct, rename="camel"):
    """An account."""

    name: str
    role: str
    machine_groups: list[str] | None
    """None: all."""
    created_at: str
    created_by: str
    last_sign_in: str | None
    sessions: int
    """Open ones."""


class Accounts(msgspec.Struct):
    """The accounts."""

    value: list[Account]


@get("/api/v1/accounts", opt={"access": Access.OWNER}, responses=answers(Accounts))
async def list_accounts(request: AnyRequest) -> dict[str, Any]:
    """Return the accounts."""
    context = context_of(request)
    opened = await context.call(context.control.sessions.counts)
    rows = await context.call(context.control.accounts.list_all)
    return {"value": [{**row, "sessions": opened.get(row["name"].lower(), 0)} for row in rows]}


@post("/api/v1/accounts", status_code=201, opt={"access": Access.OWNER})
async def create_account(request: AnyRequest, data: JSONBody[NewAccount]) -> dict[str, Any]:
    """Make an account."""
    context, actor = context_of(request), person_of(request).actor
    role = Role.of(data.role)
    async with context.passwords:
        return await context.call(
            context.control.accounts.create, actor, data.name, data.password, role, data.machine_groups
        )


@put("/api/v1/accounts/{name:str}", opt={"access": Access.OWNER})
async def change_account(request: AnyRequest, name: FromPath[str], data: JSONBody[ChangedAccount]) -> dict[str, Any]:
    """Give an account another role and other groups; the last Owner stays one."""
    context, actor = context_of(request), person_of(request).actor
    role = Role.of(data.role)
    return await context.call(context.control.accounts.change, actor, name, role, data.machine_groups)


@put("/api/v1/accounts/{name:str}/password", status_code=204, opt={"access": Access.OWNER})
async def set_password(request: AnyRequest, name: FromPath[str], data: JSONBody[NewPassword]) -> None:
    """Give an account another password; its sessions end."""
    context, actor = context_of(request), person_of(request).actor
    async with context.passwords:
        await context.call(context.control.accounts.set_password, actor, name, data.password)


@delete("/api/v1/accounts/{name:str}/sessions", status_code=204, opt={"access": Access.OWNER})
async def end_sessions(request: AnyRequest, name: FromPath[str]) -> None:
    """End every session of an account."""
    context = context_of(request)
    await context.call(context.control.accounts.end_sessions, person_of(request).actor, name)


@delete("/api/v1/accounts/{name:str}", status_code=204, opt={"access": Access.OWNER})
async def remove_account(request: AnyRequest, name: FromPath[str]) -> None:
    """Remove an account; its sessions end. The last Owner stays."""
    context = context_of(request)
    await context.call(context.control.accounts.remove, person_of(request).actor, name)


HANDLERS = (list_accounts, create_account, change_account, set_password, end_sessions, remove_account)
