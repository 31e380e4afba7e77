"""Every route of the real application, met without a credential and with the wrong role."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from whatchanged.server.api.access import Access
from whatchanged.server.api.app import create
from whatchanged.server.api.context import Context
from whatchanged.server.api.pages import ADDRESSES
from whatchanged.server.control import Role

WRITES = {"POST", "PUT", "DELETE", "PATCH"}
QUESTIONS = {
    "/$batch", "/api/v1/queries/name/results", "/api/v1/query/check", "/api/v1/query/completions",
    "/api/v1/query/explanations", "/v1/$batch", "/v1/subscriptions/rest",
    "/v1/workspaces/workspace/query", "/workspaces/workspace/query",
}  # fmt: skip
"""What is posted there asks, and changes nothing."""
OWN = {"/api/v1/session", "/api/v1/session/password", "/api/v1/sign-in-links"}
"""What is changed there belongs to whoever asks."""
OPEN = {"/healthz", "/ping", "/api/v1/ca", "/api/v1/sign-in", "/assets/name", *ADDRESSES}


def routes(app: Litestar) -> list[tuple[str, str, Access | None]]:
    return sorted(
        (
            (
                re.sub(r"\{(\w+):\w+\}", r"\1", route.path_format.replace("}", ":str}")),
                method,
                handler.opt.get("access"),
            )
            for route in app.routes
            if isinstance(route, HTTPRoute)
            for handler in route.route_handlers
            for method in handler.http_methods
            if method != "OPTIONS"
        ),
        key=lambda found: found[:2],
    )


async def visit(app: Any, method: str, path: str, token: str | None) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, client=("198.51.100.1", 1))
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client:
        return await client.request(method, path)


def assert_shape(answer: httpx.Response) -> None:
    assert {"code", "message"} <= set(answer.json()["error"])
    assert answer.headers["x-ms-request-id"]
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("token", [None, "wcp1.a.b", "wcm1.a.b", "wci1.a.b", "wce1.a.b.c", "nonsense"])
def test_without_a_good_credential_every_route_answers_401(context: Context, token: str | None) -> None:
    app = create(context)
    found = routes(app.litestar)
    assert len(found) > 40

    async def everyone() -> None:
        for path, method, access in found:
            answer = await visit(app, method, path, token)
            if path in OPEN:
                assert access is Access.PUBLIC
                continue
            assert answer.status_code == 401, (method, path, answer.text)
            assert_shape(answer)

    asyncio.run(everyone())


@pytest.mark.parametrize("role", list(Role))
def test_every_write_needs_its_role(context: Context, role: Role) -> None:
    app = create(context)
    _, token = context.control.people.create("test", role.label, role)
    needed = {
        Access.READER: Role.READER,
        Access.LOOPBACK: Role.READER,
        Access.CONTRIBUTOR: Role.CONTRIBUTOR,
        Access.CONTRIBUTOR_ALL: Role.CONTRIBUTOR,
        Access.OWNER: Role.OWNER,
    }

    async def everyone() -> None:
        for path, method, access in routes(app.litestar):
            if access not in needed:
                continue
            assert method not in WRITES or needed[access] > Role.READER or path in QUESTIONS | OWN, (method, path)
            answer = await visit(app, method, path, token)
            assert (answer.status_code == 403) == (role < needed[access]), (method, path, answer.text)
            if answer.status_code >= 400:
                assert_shape(answer)

    asyncio.run(everyone())


def test_a_person_is_no_machine(context: Context) -> None:
    app = create(context)
    _, token = context.control.people.create("test", "owner", Role.OWNER)

    async def everyone() -> None:
        for path, method, access in routes(app.litestar):
            if access in (Access.MACHINE, Access.INGESTION, Access.ENROLLMENT):
                answer = await visit(app, method, path, token)
                # Where records are taken it is known, and told that this is not for it.
                expected = 403 if access is Access.INGESTION else 401
                assert answer.status_code == expected, (method, path, answer.text)

    asyncio.run(everyone())


def test_a_sender_may_do_nothing_but_send(context: Context) -> None:
    app = create(context)
    flows = b'{"properties":{"dataFlows":[{"streams":["Microsoft-ConfigurationData"]}]}}'
    context.control.rules.put("test", "taking", flows)
    _, token = context.control.senders.create_token("test", "cmdb", "taking")

    async def everyone() -> None:
        for path, method, access in routes(app.litestar):
            if access is Access.PUBLIC:
                continue
            answer = await visit(app, method, path, token)
            expected = {Access.INGESTION: (400, 404), Access.MACHINE: (401,), Access.ENROLLMENT: (401,)}
            assert answer.status_code in expected.get(access, (403,)), (method, path, answer.text)  # type: ignore[arg-type]
            assert_shape(answer)

    asyncio.run(everyone())
