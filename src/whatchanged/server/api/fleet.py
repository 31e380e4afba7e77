"""The interface of people, where it changes things: machines, tokens, requests; rules stand in `rules`."""

from __future__ import annotations

import functools
import time
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from whatchanged.server.api.access import Access, AnyRequest, person_of, visible_machines
from whatchanged.server.api.context import context_of
from whatchanged.server.api.moments import moment
from whatchanged.server.api.shapes import Machine, Machines, MachineStates, answers
from whatchanged.server.control import RequestName, Role
from whatchanged.server.control.machine_list import MachineFilter, Order
from whatchanged.server.control.people import SENDER_ROLE
from whatchanged.server.control.refusals import bad_request, forbidden
from whatchanged.server.control.rule_reading import read

__all__ = ["HANDLERS"]

Row = dict[str, Any]
_DAY = 86_400


# Machines


@get("/api/v1/machines", opt={"access": Access.READER}, responses=answers(Machines))
async def list_machines(
    request: AnyRequest,
    text: FromQuery[str] = "",
    states: Annotated[list[str] | None, QueryParameter(name="state")] = None,
    computer: FromQuery[list[str] | None] = None,
    other_than: Annotated[list[str] | None, QueryParameter(name="otherThan")] = None,
    trouble: FromQuery[str | None] = None,
    order: FromQuery[Order] = "computer",
    descending: FromQuery[bool] = False,
    limit: Annotated[int | None, QueryParameter(ge=1, le=1000)] = None,
    cursor: FromQuery[str] = "",
) -> Row:
    """Return the machines that the caller may see: with `limit` page by page, filtered and in an order.

    `text` is part of a name, system, group or id; `state` Active, Silent, Revoked or Decommissioned; `computer` and
    `otherThan` are host names; `trouble` is a reason of TrackingHealth, or empty for any. Without `limit` nothing is
    filtered, and everything is in the answer.
    """
    context, groups = context_of(request), person_of(request).groups
    machines = context.control.machines
    if limit is None:
        return {"value": await context.call(machines.list_all, groups)}
    wanted = MachineFilter(
        groups=groups,
        text=text,
        states=tuple(states or ()),
        computers=tuple(computer or ()),
        other_than=tuple(other_than or ()),
        ids=None if trouble is None else await context.reader.troubled(trouble, await visible_machines(request)),
    )
    page = functools.partial(machines.page, wanted, order=order, descending=descending, limit=limit, cursor=cursor)
    return await context.call(page)


@get("/api/v1/machine-states", opt={"access": Access.READER}, responses=answers(MachineStates))
async def count_machines(request: AnyRequest) -> Row:
    """Return how many of the machines that the caller may see are in each state."""
    context = context_of(request)
    return {"value": await context.call(context.control.machines.states, person_of(request).groups)}


@get("/api/v1/machines/{machine_id:str}", opt={"access": Access.READER}, responses=answers(Machine))
async def get_machine(request: AnyRequest, machine_id: FromPath[str]) -> Row:
    """Return one machine."""
    context = context_of(request)
    return await context.call(context.control.machines.get, machine_id, person_of(request).groups)


@delete("/api/v1/machines/{machine_id:str}", status_code=204, opt={"access": Access.OWNER})
async def decommission(request: AnyRequest, machine_id: FromPath[str], purge: FromQuery[bool] = False) -> None:
    """Take a machine out of service; with `purge` its data goes too."""
    context, person = context_of(request), person_of(request)
    machine = await context.call(context.control.machines.identity, machine_id, person.groups)
    await context.call(context.control.machines.decommission, person.actor, machine.machine_id)
    context.control.changed(machine_id=machine.machine_id)
    if purge:
        await context.call(context.storage.purge, machine.machine_id)
        context.arrivals.arrived()  # what was counted with it is counted anew


@post("/api/v1/machines/{machine_id:str}/revoke", status_code=204, opt={"access": Access.OWNER})
async def revoke(request: AnyRequest, machine_id: FromPath[str]) -> None:
    """Refuse a machine from now on."""
    context, person = context_of(request), person_of(request)
    machine = await context.call(context.control.machines.identity, machine_id, person.groups)
    await context.call(context.control.machines.revoke, person.actor, machine.machine_id)
    context.control.changed(machine_id=machine.machine_id)


class NewRequest(msgspec.Struct):
    """A request for a machine."""

    request: RequestName
    kind: str = ""
    rule: str = ""
    document: dict[str, Any] | None = None
    """Of a preview: a rule that is not saved yet."""


@post("/api/v1/machines/{machine_id:str}/requests", status_code=202, opt={"access": Access.CONTRIBUTOR})
async def ask_machine(request: AnyRequest, machine_id: FromPath[str], data: JSONBody[NewRequest]) -> Row:
    """Ask a machine to scan, to send its inventory anew, or to say what a rule would take."""
    context, person = context_of(request), person_of(request)
    if data.request is RequestName.NEW_EPOCH:
        raise bad_request("only the server asks for a new epoch", "request")
    machine = await context.call(context.control.machines.identity, machine_id, person.groups)
    document = None
    if data.document is not None:
        # It reads any path of the machine as a saved rule would, so whoever may save one may ask.
        if person.groups is not None:
            raise forbidden("only who may save a rule may preview one that is not saved")
        text = msgspec.json.encode(data.document)
        document = (await context.call(read, text)).text
    elif data.rule:
        document = await context.call(context.control.rules.document, data.rule)
    asked = await context.call(
        context.control.ask, person.actor, machine.machine_id, data.request, data.kind, data.rule, document
    )
    return {"id": asked}


@get("/api/v1/machines/{machine_id:str}/requests/{request_id:str}", opt={"access": Access.READER})
async def get_request(request: AnyRequest, machine_id: FromPath[str], request_id: FromPath[str]) -> Row:
    """Return a request and its answer."""
    context = context_of(request)
    machine = await context.call(context.control.machines.identity, machine_id, person_of(request).groups)
    return await context.call(context.control.requests.get, machine.machine_id, request_id)


# Enrolment tokens and people's tokens


class NewEnrollmentToken(msgspec.Struct, rename="camel"):
    """An enrolment token to make."""

    machine_group: str = "default"
    rules: list[str] = []
    uses: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    expires_in_seconds: Annotated[int, msgspec.Meta(ge=60, le=366 * _DAY)] = _DAY


class EnrollmentToken(msgspec.Struct, rename="camel"):
    """An enrolment token."""

    id: str
    machine_group: str
    rules: list[str]
    uses_left: int
    expires_at: str
    created_at: str
    created_by: str


class EnrollmentTokens(msgspec.Struct):
    """The enrolment tokens."""

    value: list[EnrollmentToken]


@get("/api/v1/enrollment-tokens", opt={"access": Access.OWNER}, responses=answers(EnrollmentTokens))
async def list_enrollment_tokens(request: AnyRequest) -> Row:
    """Return the enrolment tokens, without their secrets."""
    context = context_of(request)
    return {"value": await context.call(context.control.machines.enrollment_tokens)}


@post("/api/v1/enrollment-tokens", status_code=201, opt={"access": Access.OWNER})
async def create_enrollment_token(request: AnyRequest, data: JSONBody[NewEnrollmentToken]) -> Row:
    """Make an enrolment token; the answer is the only place where it is shown."""
    context = context_of(request)
    token_id, token = await context.call(
        context.control.machines.create_enrollment_token,
        person_of(request).actor,
        data.machine_group,
        data.rules,
        data.uses,
        (int(time.time()) + data.expires_in_seconds) * 10**9,
        context.authority_digest,
    )
    return {"id": token_id, "token": token}


@delete("/api/v1/enrollment-tokens/{token_id:str}", status_code=204, opt={"access": Access.OWNER})
async def remove_enrollment_token(request: AnyRequest, token_id: FromPath[str]) -> None:
    """Make an enrolment token invalid."""
    context = context_of(request)
    await context.call(context.control.machines.remove_enrollment_token, person_of(request).actor, token_id)


class NewToken(msgspec.Struct, rename="camel"):
    """A token of a person or program to make; a `Sender` names the rule that it may send records to."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    role: str
    machine_groups: list[str] | None = None
    expires_at: str | None = None
    rule: str | None = None


class Token(msgspec.Struct, rename="camel"):
    """A token of a person or program."""

    id: str
    name: str
    role: str
    machine_groups: list[str] | None
    created_at: str
    created_by: str
    expires_at: str | None
    sender: str | None
    rule: str | None
    """Of a Sender: the one that it may send to."""
    last_used: str | None


class Tokens(msgspec.Struct):
    """The tokens."""

    value: list[Token]


@get("/api/v1/tokens", opt={"access": Access.OWNER}, responses=answers(Tokens))
async def list_tokens(request: AnyRequest) -> Row:
    """Return the tokens of people and programs, without their secrets."""
    context = context_of(request)
    return {"value": await context.call(context.control.people.list_all)}


@post("/api/v1/tokens", status_code=201, opt={"access": Access.OWNER})
async def create_token(request: AnyRequest, data: JSONBody[NewToken]) -> Row:
    """Make a token; the answer is the only place where it is shown."""
    control, actor = context_of(request).control, person_of(request).actor
    expires = None if data.expires_at is None else moment(data.expires_at, "expiresAt")
    groups = data.machine_groups
    if data.role.lower() == SENDER_ROLE.lower():
        if data.rule is None:
            raise bad_request("a Sender names the one rule that it may send to", "rule")
        if groups is not None and len(groups) != 1:
            raise bad_request("a Sender belongs to one machine group", "machineGroups")
        group = "default" if groups is None else groups[0]
        create = functools.partial(control.senders.create_token, actor, data.name, data.rule, group, expires)
    elif data.rule is not None:
        raise bad_request("only a Sender names a rule", "rule")
    else:
        create = functools.partial(control.people.create, actor, data.name, Role.of(data.role), groups, expires)
    token_id, token = await context_of(request).call(create)
    return {"id": token_id, "token": token}


@delete("/api/v1/tokens/{token_id:str}", status_code=204, opt={"access": Access.OWNER})
async def remove_token(request: AnyRequest, token_id: FromPath[str]) -> None:
    """Make a token invalid."""
    context = context_of(request)
    await context.call(context.control.people.remove, person_of(request).actor, token_id)


class KnownSender(msgspec.Struct, rename="camel"):
    """A program that may send, or could once."""

    id: str
    name: str
    rule: str | None
    machine_group: str
    created_at: str
    tokens: int
    """Good ones."""


class Senders(msgspec.Struct):
    """The senders."""

    value: list[KnownSender]


@get("/api/v1/senders", opt={"access": Access.OWNER}, responses=answers(Senders))
async def list_senders(request: AnyRequest) -> Row:
    """Return the programs that may send, or could once and whose rows are here."""
    context = context_of(request)
    return {"value": await context.call(context.control.senders.list_all)}


@delete("/api/v1/senders/{sender_id:str}", status_code=204, opt={"access": Access.OWNER})
async def purge_sender(request: AnyRequest, sender_id: FromPath[str]) -> None:
    """Make a sender's tokens invalid, delete its data, and forget it. What was cut short can be asked for again."""
    context, actor = context_of(request), person_of(request).actor
    await context.call(context.control.senders.silence, actor, sender_id)
    await context.call(context.storage.purge, sender_id)
    context.arrivals.arrived()
    await context.call(context.control.senders.remove, actor, sender_id)


HANDLERS = (
    list_machines,
    count_machines,
    get_machine,
    decommission,
    revoke,
    ask_machine,
    get_request,
    list_enrollment_tokens,
    create_enrollment_token,
    remove_enrollment_token,
    list_tokens,
    create_token,
    remove_token,
    list_senders,
    purge_sender,
)
