"""Every route of the real application, for everybody, about his own machine group and about another one.

Routes come from the application, what is expected from the access that each handler declares: a new route is met
without a line here. What is asked for a route that needs a body or a name stands in `BODIES` and `_name`.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from unit.server.world import ACTORS, EVERYTHING, HOST, Actor, Side, World, actor, bearer, make
from whatchanged.rules import DEFAULT_RULE
from whatchanged.server.api.access import Access
from whatchanged.server.api.app import create
from whatchanged.server.api.context import Context
from whatchanged.server.api.openapi import document
from whatchanged.server.api.pages import ADDRESSES
from whatchanged.server.control import Role

WRITES = {"POST", "PUT", "DELETE", "PATCH"}
QUESTIONS = {
    "/$batch", "/api/v1/queries/{name}/results", "/api/v1/query/check", "/api/v1/query/completions",
    "/api/v1/query/explanations", "/v1/$batch", "/v1/subscriptions/{rest}",
    "/v1/workspaces/{workspace}/query", "/workspaces/{workspace}/query",
}  # fmt: skip
"""What is posted there asks, and changes nothing."""
OWN = {"/api/v1/session", "/api/v1/session/password", "/api/v1/sessions/{session_id}", "/api/v1/sign-in-links"}
"""What is changed there belongs to whoever asks."""
OPEN = {"/healthz", "/ping", "/api/v1/ca", "/api/v1/sign-in", "/assets/{name}", *ADDRESSES}
NEEDED = {
    Access.READER: Role.READER,
    Access.LOOPBACK: Role.READER,
    Access.CONTRIBUTOR: Role.CONTRIBUTOR,
    Access.CONTRIBUTOR_ALL: Role.CONTRIBUTOR,
    Access.OWNER: Role.OWNER,
}


@dataclass(frozen=True)
class Route:
    """A method of an address."""

    path: str
    method: str
    access: Access | None

    @property
    def turn(self) -> tuple[bool, bool, bool, str]:
        """Order of visits: what takes away what others ask for comes last."""
        ends = self.path.endswith("/revoke")
        return self.path == "/api/v1/session" and self.method == "DELETE", self.method == "DELETE", ends, self.path


def routes(app: Litestar) -> list[Route]:
    found = [
        Route(re.sub(r":\w+\}", "}", route.path_format), str(method), handler.opt.get("access"))
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    ]
    return sorted(found, key=lambda route: route.turn)


QUERIES: dict[tuple[str, str], list[str]] = {
    (path, method.upper()): [
        one["name"] for one in operation.get("parameters", []) if one["in"] == "query" and "string" in json.dumps(one)
    ]
    for path, item in json.loads(document())["paths"].items()
    for method, operation in item.items()
}
"""Names of the texts that a route takes in its address, as its own description says."""


def _name(route: Route, world: World, side: Side) -> str:
    """What stands for `{name}`."""
    for beginning, name in {
        "/api/v1/rules": side.rule,
        "/api/v1/associations": side.association,
        "/api/v1/accounts": side.account,
        "/api/v1/machine-groups": side.group,
        "/api/v1/queries": world.query,
        "/assets": "none.js",
    }.items():
        if route.path.startswith(beginning):
            return name
    return side.computer


def _address(route: Route, world: World, side: Side) -> str:
    """The address about what belongs to `side`; what is not known here is taken for a machine's id."""
    machine = f"providers/Microsoft.HybridCompute/machines/{side.computer}"
    values = {
        "request_id": side.request_id,
        "sender_id": side.sender_id,
        "token_id": side.enrollment_id if "enrollment" in route.path else world.token_id,
        "group": side.group,
        "subscription": world.workspace,
        "rule_id": side.implicit_rule,
        "stream": "CONFIG_CHANGE_BLOB_V2",
        "channel": "whatchanged",
        "region": "anywhere",
        "workspace": "default",
        "rest": f"{world.workspace}/resourceGroups/{side.group}/{machine}/query",
        "kind": "software",
        "table": "Heartbeat",
        "name": _name(route, world, side),
    }
    return re.sub(r"\{(\w+)\}", lambda found: quote(values.get(found[1], side.machine_id), safe="/()"), route.path)


def _body(route: Route, world: World, side: Side) -> Any:
    bodies: dict[str, Any] = {
        "/api/v1/associations/{name}": {"rule": side.rule, "machine": side.machine_id},
        "/api/v1/machines/{machine_id}/requests": {"request": "scan"},
        "/api/v1/machines/{machine_id}/group": {"group": side.group},
        "/api/v1/accounts/{name}": {"role": "Reader", "machineGroups": [side.group]},
    }
    if route.path.endswith("$batch"):
        return {"requests": [{"id": "1", "workspace": "default", "body": {"query": EVERYTHING}}]}
    if route.path.endswith("/query") or route.path == "/v1/subscriptions/{rest}":
        return {"query": EVERYTHING}
    return bodies.get(route.path, {})


@dataclass(frozen=True)
class Visit:
    """One request."""

    route: Route
    address: str
    body: str | None = None
    side: Side = field(kw_only=True, compare=False)


def visits(world: World, route: Route, side: Side) -> list[Visit]:
    """What is asked of a route about one side: plainly, and with each text of its address naming the side's machine."""
    plain = _address(route, world, side)
    body = json.dumps(_body(route, world, side)) if route.method in WRITES else None
    found = [Visit(route, plain, body, side=side)]
    for name in QUERIES.get((route.path, route.method), []):
        texts = [EVERYTHING] if name == "query" else [side.machine_id, side.computer]
        found += [Visit(route, f"{plain}?{name}={quote(text)}", body, side=side) for text in texts]
    return found


PERMITTED = "permitted"


def expected(who: Actor, visit: Visit, world: World) -> set[int] | str:
    """What must be answered, by the handler's declared access alone."""
    route, foreign = visit.route, visit.side is world.foreign
    access = route.access
    if access is Access.PUBLIC:
        return {403} if who.elsewhere and route.path == "/api/v1/sign-in" else PERMITTED
    if access in NEEDED:
        if who.role is None:
            return {403} if who.name == "sender" else {401}
        if who.elsewhere and route.method in WRITES:
            return {403}
        if who.role < NEEDED[access] or (access is Access.CONTRIBUTOR_ALL and who.limited):
            return {403}
        named = {"machine_id", "sender_id"} & set(re.findall(r"\{(\w+)\}", route.path))
        if foreign and who.limited and (named or route.path == "/api/v1/associations/{name}"):
            return {403, 404}
        return PERMITTED
    if access is Access.ENROLLMENT:
        return PERMITTED if who.name == "enrolment token" else {401}
    if access is Access.MACHINE:
        if who.name != "machine":
            return {401}
        return {403} if foreign and "{subscription}" in route.path else PERMITTED
    assert access is Access.INGESTION
    if who.name in ("machine", "ingestion token"):
        return {403} if foreign and "{rule_id}" in route.path else PERMITTED
    if who.name == "sender":  # the rule of the address is a machine's
        return {403} if "{rule_id}" in route.path else PERMITTED
    return {403} if who.role is not None and "cookie" not in who.headers else {401}


def check(who: Actor, visit: Visit, world: World, answer: httpx.Response) -> None:
    said = (who.name, visit.route.method, visit.address, answer.status_code, answer.text[:300])
    right = expected(who, visit, world)
    if isinstance(right, str):
        assert answer.status_code not in (401, 403), said
        assert answer.status_code < 500 or visit.route.path in OPEN, said
    else:
        assert answer.status_code in right, said
    if answer.status_code >= 400 and visit.route.path not in ADDRESSES:
        error = answer.json()["error"]
        assert {"code", "message"} <= set(error), said
        assert answer.headers["x-ms-request-id"]
        assert "retry-after" not in answer.headers
        if who.elsewhere and visit.route.method in WRITES and right == {403}:
            assert error["code"] == "ForeignOrigin", said
    if who.role is None or who.limited:
        asked = visit.address + (visit.body or "")
        shown = {mark for mark in world.foreign.marks if mark in answer.text and mark not in asked}
        assert shown == set(), (shown, *said)


def asking(context: Context, work: Any) -> None:
    async def run() -> None:
        app: Any = create(context)
        transport = httpx.ASGITransport(app=app, client=("198.51.100.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            await work(app.litestar, client)

    asyncio.run(run())


@pytest.mark.parametrize("name", ACTORS)
def test_everybody_gets_what_his_access_says_and_nothing_of_others(context: Context, name: str) -> None:
    async def work(app: Litestar, client: httpx.AsyncClient) -> None:
        world = await make(context, client)
        who, heard = actor(world, name), []
        found = routes(app)
        assert len(found) > 70
        for route in found:
            # What names neither is asked once.
            for visit in dict.fromkeys(visits(world, route, world.own) + visits(world, route, world.foreign)):
                headers = {**who.headers, "content-type": "application/json"}
                answer = await client.request(route.method, visit.address, content=visit.body, headers=headers)
                check(who, visit, world, answer)
                heard.append(answer.text)
        if who.role is not None:  # or nothing would be shown of others because nothing is shown
            everything = "".join(heard)
            assert {mark for mark in world.own.data if mark not in everything} == set()

    asking(context, work)


def test_open_routes_and_those_that_write_are_known(context: Context) -> None:
    found = routes(create(context).litestar)
    assert {route.path for route in found if route.access is Access.PUBLIC} == OPEN
    for route in found:
        assert route.access is not None, route
        if route.method in WRITES and route.access in NEEDED:
            assert NEEDED[route.access] > Role.READER or route.path in QUESTIONS | OWN, route


def test_a_machine_that_was_moved_goes_on_and_is_seen_by_its_new_group_alone(context: Context) -> None:
    async def work(_app: Litestar, client: httpx.AsyncClient) -> None:
        context.waiting.open()  # as the application does while it serves
        context.control.on_change(context.waiting.wake)
        world = await make(context, client)
        own, foreign = world.own, world.foreign
        reader = actor(world, "Reader of a group").headers
        machine = bearer(foreign.credential) | {"x-whatchanged-instance": "one"}
        before = (await client.get(f"/api/v1/machines/{foreign.machine_id}", headers=world.owner)).json()["resourceId"]
        watching = f"watching-{own.group}"
        await client.put(f"/api/v1/rules/{watching}", json=DEFAULT_RULE, headers=world.owner)
        by_group = {"rule": watching, "group": own.group}
        given = await client.put(f"/api/v1/associations/{watching}", json=by_group, headers=world.owner)
        assert given.status_code == 201, given.text
        told = f"/api/v1{before}/agentConfigurations?platform=linux"
        former = (await client.get(told, headers=machine)).headers["etag"]
        held = asyncio.create_task(
            client.get(f"{told}&waitSeconds=30", headers={**machine, "if-none-match": former}, timeout=40)
        )
        while not context.waiting.count:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0)
        moved = await client.put(
            f"/api/v1/machines/{foreign.machine_id}/group", json={"group": own.group}, headers=world.owner
        )
        assert moved.status_code == 200, moved.text
        assert moved.json()["machineGroup"] == own.group
        assert (await client.get(f"/api/v1/machines/{foreign.machine_id}", headers=reader)).status_code == 200
        assert foreign.change in (await client.get("/api/v1/changes", headers=reader)).text
        # By the address with which it enrolled, and by its new one; by no other.
        async with asyncio.timeout(20):
            assert len((await held).json()["configurations"]) == 1
        assert (await client.get(told, headers=machine)).status_code == 200
        after = moved.json()["resourceId"]
        assert (await client.get(f"/api/v1{after}/agentConfigurations", headers=machine)).status_code == 200
        third = after.replace(own.group, "another")
        assert (await client.get(f"/api/v1{third}/agentConfigurations", headers=machine)).status_code == 403
        [entry] = (await client.get("/api/v1/audit?action=machine.move&limit=1", headers=world.owner)).json()["value"]
        assert entry["target"] == foreign.machine_id
        assert entry["detail"] == {"computer": foreign.computer, "former": foreign.group, "group": own.group}

    asking(context, work)
