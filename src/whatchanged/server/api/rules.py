"""The interface of people for data collection rules: documents, versions, checks, and associations."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody

from whatchanged.rules import DEFAULT_RULE, EMPTY_RULE, UPSTREAM_RULE
from whatchanged.server.api.access import Access, AnyRequest, person_of
from whatchanged.server.api.conditions import condition_of
from whatchanged.server.api.context import context_of
from whatchanged.server.api.shapes import (
    Associations,
    Rule,
    RuleCheck,
    Rules,
    RuleTemplates,
    RuleVersion,
    RuleVersions,
    answers,
)
from whatchanged.server.control.refusals import forbidden
from whatchanged.server.control.rule_reading import read
from whatchanged.server.control.standing import Standing

__all__ = ["HANDLERS"]

Row = dict[str, Any]
_TEMPLATES = [
    {
        "name": "Recommended",
        "description": "Accounts, sudo, ssh, scheduled jobs, units, boot and more on Linux; where programs start by "
        "themselves on Windows; software and services.",
        "document": DEFAULT_RULE,
    },
    {
        "name": "As in Azure",
        "description": "/etc/*.conf on Linux, Azure's list of registry keys (not enabled) on Windows; software and "
        "services.",
        "document": UPSTREAM_RULE,
    },
    {"name": "Empty", "description": "Software and services; no file and no key yet.", "document": EMPTY_RULE},
]


@get("/api/v1/rules", opt={"access": Access.READER}, responses=answers(Rules))
async def list_rules(request: AnyRequest, documents: FromQuery[bool] = True) -> Row:
    """Return every rule, and how far it is in force on the machines that the caller may see."""
    context = context_of(request)
    found = await context.call(context.control.rules.list_all, documents=documents)
    standings = await context.call(context.control.standings.of_rules, person_of(request).groups)
    for rule in found:
        standing = standings.get(rule["name"].lower(), Standing())
        rule |= {"machines": standing.machines, "confirmed": standing.confirmed}
    return {"value": found}


@get("/api/v1/rules/{name:str}", opt={"access": Access.READER}, responses=answers(Rule))
async def get_rule(request: AnyRequest, name: FromPath[str]) -> Response[Row]:
    """Return one rule, its document as it was written, and what is wrong with it."""
    context = context_of(request)
    rule = await context.call(context.control.rules.get, name)
    return Response(rule, headers={"ETag": f'"{rule["etag"]}"'})


@get("/api/v1/rules/{name:str}/versions", opt={"access": Access.READER}, responses=answers(RuleVersions))
async def list_versions(request: AnyRequest, name: FromPath[str]) -> Row:
    """Return what a rule was and is, the newest first, without the documents."""
    context = context_of(request)
    return {"value": await context.call(context.control.rules.versions, name)}


@get("/api/v1/rules/{name:str}/versions/{number:str}", opt={"access": Access.READER}, responses=answers(RuleVersion))
async def get_version(request: AnyRequest, name: FromPath[str], number: FromPath[str]) -> Row:
    """Return one version of a rule with its document."""
    context = context_of(request)
    return await context.call(context.control.rules.version, name, number)


@get("/api/v1/rule-templates", opt={"access": Access.READER}, responses=answers(RuleTemplates))
async def list_templates(request: AnyRequest) -> Row:
    """Return what a new rule may begin with."""
    return {"value": _TEMPLATES}


@post("/api/v1/rule-checks", status_code=200, opt={"access": Access.CONTRIBUTOR}, responses=answers(RuleCheck))
async def check_rule(request: AnyRequest) -> Row:
    """Return what is wrong with a rule's document, and what it would collect; nothing is kept."""
    reading = await context_of(request).call(read, await request.body())
    return {"problems": reading.problems, "sources": reading.sources}


@put("/api/v1/rules/{name:str}", opt={"access": Access.CONTRIBUTOR_ALL})
async def put_rule(request: AnyRequest, name: FromPath[str]) -> Response[Row]:
    """Create or replace a rule; the body is the ARM document, kept as it is. If-Match names the one to be replaced."""
    context = context_of(request)
    body = await request.body()
    rule, created = await context.call(
        context.control.rules.put, person_of(request).actor, name, body, condition_of(request)
    )
    context.control.changed()
    return Response(rule, status_code=201 if created else 200, headers={"ETag": f'"{rule["etag"]}"'})


@delete("/api/v1/rules/{name:str}", status_code=204, opt={"access": Access.CONTRIBUTOR_ALL})
async def remove_rule(request: AnyRequest, name: FromPath[str]) -> None:
    """Remove a rule that is not associated."""
    context = context_of(request)
    await context.call(context.control.rules.remove, person_of(request).actor, name, condition_of(request))


class NewAssociation(msgspec.Struct):
    """A rule for a machine or a group."""

    rule: str
    machine: str | None = None
    group: str | None = None


@get("/api/v1/associations", opt={"access": Access.READER}, responses=answers(Associations))
async def list_associations(request: AnyRequest) -> Row:
    """Return the associations that concern what the caller may see."""
    context, person = context_of(request), person_of(request)
    found = await context.call(context.control.rules.associations)
    if person.groups is not None:
        mine = set(await context.call(context.control.machines.ids_of, person.groups))
        found = [row for row in found if row["group"] in person.groups or row["machine"] in mine]
    return {"value": found}


@put("/api/v1/associations/{name:str}", opt={"access": Access.CONTRIBUTOR})
async def put_association(request: AnyRequest, name: FromPath[str], data: JSONBody[NewAssociation]) -> Response[Row]:
    """Give a rule to a machine or a group."""
    context, person = context_of(request), person_of(request)
    await _check_replaced(request, name)
    machine_id = None
    if data.machine is not None:
        machine = await context.call(context.control.machines.identity, data.machine, person.groups)
        machine_id = machine.machine_id
    if data.group is not None and not person.may_see(data.group.lower()):
        raise forbidden("the token is limited to other machine groups")
    row, created = await context.call(
        context.control.rules.associate, person.actor, name, data.rule, machine_id=machine_id, group=data.group
    )
    context.control.changed()
    return Response(row, status_code=201 if created else 200)


@delete("/api/v1/associations/{name:str}", status_code=204, opt={"access": Access.CONTRIBUTOR})
async def remove_association(request: AnyRequest, name: FromPath[str]) -> None:
    """Take a rule from a machine or a group."""
    context, person = context_of(request), person_of(request)
    await _check_replaced(request, name)
    await context.call(context.control.rules.dissociate, person.actor, name)
    context.control.changed()


async def _check_replaced(request: AnyRequest, name: str) -> None:
    """Refuse to touch an association of machines that the caller may not see."""
    context, person = context_of(request), person_of(request)
    if person.groups is None:
        return
    known = [
        row for row in await context.call(context.control.rules.associations) if row["name"].lower() == name.lower()
    ]
    for row in known:
        group = row["group"]
        if group is None:
            group = (await context.call(context.control.machines.identity, row["machine"])).group
        if not person.may_see(group):
            raise forbidden("the association concerns other machine groups")


HANDLERS = (
    list_rules,
    get_rule,
    list_versions,
    get_version,
    list_templates,
    check_rule,
    put_rule,
    remove_rule,
    list_associations,
    put_association,
    remove_association,
)
