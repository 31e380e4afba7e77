"""Two groups of machines with data of each, made by the server's own interfaces, and everybody who may ask."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import httpx

from whatchanged.records.carrier import new_epoch
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.api.access import session_cookie
from whatchanged.server.api.context import Context
from whatchanged.server.control import Role, schema

HOST = "http://server"
EVERYTHING = "union ConfigurationChange, ConfigurationData, TrackingHealth, Heartbeat | take 5000"
_NUMBERS = itertools.count()
_PASSWORD = "correct horse battery"
_TAKING = b'{"properties":{"dataFlows":[{"streams":["Microsoft-ConfigurationData"]}]}}'


@dataclass
class Side:
    """What belongs to one machine group."""

    group: str
    rule: str
    machine_id: str = ""
    computer: str = ""
    credential: str = ""
    implicit_rule: str = ""
    rule_id: str = ""
    sender_id: str = ""
    sender_token: str = ""
    enrollment_id: str = ""
    enrollment_token: str = ""
    request_id: str = ""
    association: str = ""
    account: str = ""
    change: str = ""
    software: str = ""
    health: str = ""

    @property
    def data(self) -> set[str]:
        """What a Reader of the group sees."""
        return {self.machine_id, self.computer, self.change, self.software, self.health, self.group, self.association}

    @property
    def marks(self) -> set[str]:
        """What nobody without the group may see."""
        return self.data | {self.request_id, self.sender_id, self.enrollment_id, self.account}


@dataclass
class World:
    """Everything that one test needs; nothing of it is shared."""

    context: Context
    own: Side
    foreign: Side
    workspace: str
    owner: dict[str, str]
    query: str
    token_id: str


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def make(context: Context, client: httpx.AsyncClient) -> World:
    """Build a world; every change of it goes through the real interface."""
    number = next(_NUMBERS)
    _, owner = context.control.people.create("test", "world", Role.OWNER)
    token_id, _ = context.control.people.create("test", "removable", Role.READER)
    headers = bearer(owner)
    rule = f"taking-{number}"
    put = await client.put(f"/api/v1/rules/{rule}", content=_TAKING, headers=headers)
    assert put.status_code == 201, put.text
    own = await _side(context, client, f"own-{number}", rule, headers)
    foreign = await _side(context, client, f"foreign-{number}", rule, headers)
    query = f"everything-{number}"
    saved = await client.put(f"/api/v1/queries/{query}", json={"query": EVERYTHING}, headers=headers)
    assert saved.status_code == 201, saved.text
    return World(context, own, foreign, context.control.workspace_id, headers, query, token_id)


async def _side(context: Context, client: httpx.AsyncClient, name: str, rule: str, owner: dict[str, str]) -> Side:
    side = Side(f"group-{name}", rule, change=f"/etc/change-{name}", software=f"software-{name}", health=f"says-{name}")

    async def post(path: str, body: Any, headers: dict[str, str], status: int = 201) -> Any:
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        return answer.json() if answer.content else None

    grant = await post("/api/v1/enrollment-tokens", {"machineGroup": side.group, "uses": 2}, owner)
    side.enrollment_id, side.enrollment_token = grant["id"], grant["token"]
    side.computer = f"machine-{name}"
    machine = await post("/api/v1/enroll", {"computer": side.computer}, bearer(side.enrollment_token))
    side.machine_id, side.credential = machine["machineId"], machine["credential"]
    side.implicit_rule = machine["implicitRuleId"]
    change = {
        "_Stream": "CONFIG_CHANGE_BLOB_V2",
        "_Epoch": new_epoch(),
        "_Sequence": 1,
        "TimeGenerated": time_text(now_ns()),
        "Computer": side.computer,
        "ConfigChangeType": "Files",
        "ChangeCategory": "Added",
        "FileSystemPath": side.change,
    }
    streams = f"/dataCollectionRules/{side.implicit_rule}/streams"
    await post(f"{streams}/CONFIG_CHANGE_BLOB_V2", [change], bearer(side.credential), 204)
    sender = {"name": f"sender-{name}", "role": "Sender", "rule": rule, "machineGroups": [side.group]}
    side.sender_token = (await post("/api/v1/tokens", sender, owner))["token"]
    side.rule_id = (await client.get(f"/api/v1/rules/{rule}", headers=owner)).json()["immutableId"]
    item = {
        "TimeGenerated": time_text(now_ns()),
        "Computer": side.computer,
        "ConfigDataType": "Software",
        "SoftwareName": side.software,
        "CurrentVersion": "1",
    }
    inventory = f"/dataCollectionRules/{side.rule_id}/streams/Microsoft-ConfigurationData"
    await post(inventory, [item], bearer(side.sender_token), 204)
    senders = (await client.get("/api/v1/senders", headers=owner)).json()["value"]
    (side.sender_id,) = [row["id"] for row in senders if row["name"] == sender["name"]]
    record = HealthRecord(
        component=Component.SERVER, status=HealthStatus.ERROR, reason=HealthReason.SILENT, time_ns=now_ns(),
        detail=side.health,
    )  # fmt: skip
    await context.write_health([(context.control.machines.identity(side.machine_id), record)])
    side.request_id = (await post(f"/api/v1/machines/{side.machine_id}/requests", {"request": "scan"}, owner, 202))[
        "id"
    ]
    side.association = f"association-{name}"
    body = {"rule": rule, "machine": side.machine_id}
    answer = await client.put(f"/api/v1/associations/{side.association}", json=body, headers=owner)
    assert answer.status_code == 201, answer.text
    side.account = f"account-{name}"
    context.control.accounts.create("test", side.account, _PASSWORD, Role.READER, [side.group])
    return side


@dataclass(frozen=True)
class Actor:
    """Somebody who asks."""

    name: str
    headers: dict[str, str]
    role: Role | None = None
    limited: bool = False
    """To the own group."""
    elsewhere: bool = False
    """A page of another origin makes the browser ask."""


def cookie(context: Context, secret: str, **headers: str) -> dict[str, str]:
    return {"cookie": f"{session_cookie(context)}={secret}", **headers}


def actor(world: World, name: str) -> Actor:
    """Return somebody, with a new credential."""
    context, own = world.context, world.own
    people, sessions = context.control.people, context.control.sessions

    def token(role: Role, *, limited: bool = False) -> str:
        return people.create("test", name, role, [own.group] if limited else None)[1]

    def session(role: Role) -> str:
        return sessions.open(people.authenticate(token(role))).secret

    if name in ("Reader", "Contributor", "Owner"):
        return Actor(name, bearer(token(Role.of(name))), Role.of(name))
    if name.endswith(" of a group"):
        role = Role.of(name.partition(" ")[0])
        return Actor(name, bearer(token(role, limited=True)), role, limited=True)
    if name == "session":
        return Actor(name, cookie(context, session(Role.OWNER), origin=HOST), Role.OWNER)
    if name == "session elsewhere":
        headers = cookie(context, session(Role.OWNER), origin="https://elsewhere.example")
        return Actor(name, headers, Role.OWNER, elsewhere=True)
    if name == "session that is over":
        secret = session(Role.OWNER)
        with context.control.database.write() as connection:
            ended = schema.sessions.update().where(schema.sessions.c.id == secret.split(".")[1])
            connection.execute(ended.values(expires_at=now_ns() - 1))
        return Actor(name, cookie(context, secret, origin=HOST))
    credentials = {
        "nobody": "",
        "nonsense": "nonsense",
        "sender": own.sender_token,
        "machine": own.credential,
        "ingestion token": context.signer.issue(own.machine_id, own.implicit_rule),
        "enrolment token": own.enrollment_token,
    }
    return Actor(name, bearer(credentials[name]) if credentials[name] else {})


ACTORS = (
    "nobody", "nonsense", "Reader", "Contributor", "Owner", "Reader of a group", "Contributor of a group", "session",
    "session elsewhere", "session that is over", "sender", "machine", "ingestion token", "enrolment token",
)  # fmt: skip
