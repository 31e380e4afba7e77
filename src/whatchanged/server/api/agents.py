"""The interface of machines: enrolment, credentials, configuration with the back channel, ingestion tokens."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from whatchanged.records.times import now_ns, time_text
from whatchanged.server.api.access import INSTANCE_HEADER, Access, AnyRequest, machine_of
from whatchanged.server.api.context import Context, context_of
from whatchanged.server.control import Configuration, MachineFacts
from whatchanged.server.control.refusals import forbidden, not_found
from whatchanged.server.control.tokens import INGESTION_SECONDS
from whatchanged.server.identity import MachineIdentity
from whatchanged.wire.configuration import AgentConfigurations, encode_configurations

__all__ = ["HANDLERS"]

_MACHINE = (
    "/subscriptions/{subscription:str}/resourceGroups/{group:str}"
    "/providers/Microsoft.HybridCompute/machines/{name:str}/agentConfigurations"
)
_PREFIXES = ("/api/v1", "", "/api/v1/locations/{region:str}", "/locations/{region:str}")
_LONGEST_WAIT = 55


def _paths(tail: str = "") -> list[str]:
    return [prefix + _MACHINE + tail for prefix in _PREFIXES]


@get("/api/v1/ca", opt={"access": Access.PUBLIC})
async def authority(request: AnyRequest) -> Response[bytes]:
    """Return the certificate authority; its SHA-256 stands in the enrolment token."""
    pem = context_of(request).authority_pem
    if pem is None:
        raise not_found("CertificateAuthority", "this server has none of its own")
    return Response(pem, media_type="application/x-pem-file")


@post("/api/v1/enroll", status_code=201, opt={"access": Access.ENROLLMENT})
async def enroll(request: AnyRequest, data: JSONBody[MachineFacts]) -> dict[str, str]:
    """Make the caller a machine of this installation."""
    context = context_of(request)
    token = request.headers["authorization"].partition(" ")[2].strip()
    enrolled = await context.call(context.control.machines.enroll, token, data)
    machine = enrolled.identity
    return {
        "machineId": machine.machine_id,
        "credential": enrolled.credential,
        "resourceId": machine.resource_id,
        "workspaceId": machine.workspace_id,
        "machineGroup": machine.group,
        "implicitRuleId": machine.implicit_rule_id,
    }


@post("/api/v1/machine/credential", status_code=201, opt={"access": Access.MACHINE})
async def rotate(request: AnyRequest) -> dict[str, str]:
    """Give the machine a new credential; the old one works until the new one was used."""
    context = context_of(request)
    machine_id = machine_of(request).machine_id
    return {"credential": await context.call(context.control.machines.rotate, machine_id)}


@get(_paths(), opt={"access": Access.MACHINE})
async def agent_configurations(
    request: AnyRequest,
    platform: FromQuery[str] = "linux",
    wait_seconds: Annotated[float, QueryParameter(name="waitSeconds", ge=0, le=600)] = 0,
) -> Response[Any]:
    """Return what the machine is to do; held open while nothing is new."""
    context, machine = context_of(request), machine_of(request)
    known = request.headers.get("if-none-match", "").removeprefix("W/").strip('"')
    base, instance = _base_url(request, context), request.headers.get(INSTANCE_HEADER, "")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(wait_seconds, _LONGEST_WAIT)
    with context.waiting.enter(machine.machine_id, machine.group) as waiter:
        while True:
            found = await context.call(context.control.configuration, machine, platform.lower(), base, instance)
            if found.etag == known:
                context.control.standings.confirm(machine.machine_id, found.configurations)
            else:
                return await _configured(context, machine, found)
            left = deadline - loop.time()
            if left <= 0 or context.waiting.full:
                return Response(None, status_code=304, headers={"ETag": f'"{found.etag}"'})
            if await waiter.wait(left):
                await context.call(context.control.machines.active, machine.machine_id, None)


async def _configured(context: Context, machine: MachineIdentity, found: Configuration) -> Response[Any]:
    if found.requests:
        ids = [request.id for request in found.requests]
        await context.call(context.control.requests.delivered, machine.machine_id, ids)
    document = AgentConfigurations(
        configurations=found.configurations, requests=found.requests, server_time=time_text(now_ns())
    )
    headers = {"ETag": f'"{found.etag}"'}
    return Response(encode_configurations(document), media_type="application/json", headers=headers)


class Answer(msgspec.Struct):
    """A machine's answer to a request."""

    success: bool
    result: dict[str, Any] = {}


@post(_paths("/requests/{request_id:str}"), status_code=204, opt={"access": Access.MACHINE})
async def answer_request(request: AnyRequest, request_id: FromPath[str], data: JSONBody[Answer]) -> None:
    """Take the answer to a request of the back channel."""
    context, machine = context_of(request), machine_of(request)
    raw = msgspec.Raw(msgspec.json.encode(data.result))
    await context.call(context.control.requests.answer, machine.machine_id, request_id, data.success, raw)
    context.control.changed(machine_id=machine.machine_id)


@get(_paths("/{rule_id:str}/channels/{channel:str}/issueIngestionToken"), opt={"access": Access.MACHINE})
async def ingestion_token(request: AnyRequest, rule_id: FromPath[str]) -> Response[dict[str, str]]:
    """Give the machine a token to send the records of one of its rules with."""
    context, machine = context_of(request), machine_of(request)
    await context.call(check_rule, context, machine, rule_id)
    body = {"configurationId": rule_id, "ingestionAuthToken": context.signer.issue(machine.machine_id, rule_id)}
    return Response(body, headers={"Cache-Control": f"private, max-age={INGESTION_SECONDS - 600}"})


def check_rule(context: Context, machine: MachineIdentity, rule_id: str) -> None:
    """Refuse a rule that does not exist, or is not the machine's. Blocking."""
    if rule_id == machine.implicit_rule_id:
        return
    rules = context.control.rules
    if any(rule.immutable_id == rule_id for rule in rules.assigned(machine.machine_id, machine.group)):
        return
    if rules.exists(rule_id) or context.control.machines.has_implicit_rule(rule_id):
        raise forbidden("the rule is not one of this machine's")
    raise not_found("Rule", rule_id)


def _base_url(request: AnyRequest, context: Context) -> str:
    # The Host header is the caller's word: only names that are this server's come back in addresses.
    host = request.headers.get("host", "").lower()
    if host in context.hosts:
        return f"{context.public_url.partition('://')[0]}://{host}"
    return context.public_url


HANDLERS = (authority, enroll, rotate, agent_configurations, answer_request, ingestion_token)
