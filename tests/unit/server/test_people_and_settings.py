"""People and settings over the real interface: who decides what, what is remembered, and what is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from unit.server.world import HOST, actor, bearer, cookie, make
from whatchanged.errors import CredentialError
from whatchanged.records.times import now_ns
from whatchanged.server.api.app import create
from whatchanged.server.api.context import Context
from whatchanged.server.control import Control, MachineFacts, Refusal, Role
from whatchanged.server.control.audit import AuditFilter
from whatchanged.server.control.failed_sign_ins import FailedSignIns
from whatchanged.server.settings_in_force import SettingsInForce, ShownSetting

PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    sqlite = request.param == "sqlite"
    plane = Control(str(tmp_path / "control.db") if sqlite else request.getfixturevalue("postgresql")())
    yield plane
    plane.close()


def asking(context: Context, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        app: Any = create(context)
        transport = httpx.ASGITransport(app=app, client=("198.51.100.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            await work(client)

    asyncio.run(run())


def owner(context: Context) -> dict[str, str]:
    return bearer(context.control.people.create("test", "owner", Role.OWNER)[1])


def test_the_last_owner_is_neither_removed_nor_demoted(control: Control) -> None:
    accounts = control.accounts
    accounts.create("test", "Ada", PASSWORD, Role.OWNER)
    accounts.create("test", "bob", PASSWORD, Role.READER, ["web"])
    for attempt in (
        lambda: accounts.remove("test", "ADA"),
        lambda: accounts.change("test", "ada", Role.CONTRIBUTOR, None),
    ):
        with pytest.raises(Refusal, match="Ada is the last account") as caught:
            attempt()
        assert (caught.value.status, caught.value.code) == (409, "LastOwner")
    assert accounts.change("test", "ada", Role.OWNER, None)["role"] == "Owner"
    with pytest.raises(Refusal, match="limited"):
        accounts.change("test", "bob", Role.OWNER, ["web"])
    assert accounts.change("test", "bob", Role.OWNER, None)["machineGroups"] is None
    accounts.change("test", "ada", Role.READER, ["Web"])
    assert accounts.check("ada", PASSWORD).groups == frozenset({"web"})
    accounts.remove("test", "ada")
    with pytest.raises(Refusal, match="no Account"):
        accounts.change("test", "ada", Role.READER, None)


def test_sessions_are_listed_and_ended_by_their_own_person(control: Control) -> None:
    control.accounts.create("test", "ada", PASSWORD, Role.READER)
    control.accounts.create("test", "bob", PASSWORD, Role.READER)
    ada, bob = (control.accounts.check(name, PASSWORD) for name in ("ada", "bob"))
    first = control.sessions.open(ada, "192.0.2.1")
    second = control.sessions.follow(control.sessions.link(ada), "192.0.2.2")
    listed = control.sessions.of(ada)
    assert {row["address"] for row in listed} == {"192.0.2.1", "192.0.2.2"}
    assert control.sessions.of(bob) == []
    assert control.sessions.counts() == {"ada": 2}
    assert {row["name"]: row["lastSignIn"] is not None for row in control.accounts.list_all()} == {
        "ada": True,
        "bob": False,
    }
    [mine] = [row["id"] for row in listed if row["address"] == "192.0.2.1"]
    with pytest.raises(Refusal):
        control.sessions.end(bob, mine)
    control.sessions.end(ada, mine)
    with pytest.raises(CredentialError):
        control.sessions.find(first.secret)
    assert control.sessions.find(second.secret) == ada
    control.accounts.end_sessions("test", "Ada")
    assert control.sessions.counts() == {}


def test_the_last_use_of_a_token_outlives_the_process(control: Control) -> None:
    token_id, token = control.people.create("test", "x", Role.READER)

    def last() -> str | None:
        [used] = [row["lastUsed"] for row in control.people.list_all() if row["id"] == token_id]
        return None if used is None else str(used)

    assert last() is None
    with pytest.raises(CredentialError):
        control.people.authenticate(token + "x")
    assert last() is None
    control.people.authenticate(token)
    used = last()
    assert used is not None
    control.last_use.flush()
    assert last() == used


def test_failed_sign_ins_count_and_do_not_fill_the_log(control: Control) -> None:
    now = 0.0
    failures = FailedSignIns(control.database, lambda: now)
    for number in range(1000):
        failures.note(f"name{number % 500}", "192.0.2.1", "password")
    failures.note("\0\u202e" + "x" * 1000, "192.0.2.1", "password")
    wanted = AuditFilter(action="signIn.failed")
    found = control.audit.latest(10_000, wanted)
    assert len(found) == 201
    assert sum(row["detail"]["count"] for row in found) == 1001
    assert [row["detail"]["count"] for row in found if row["target"] == "*"] == [601]
    assert {row["detail"]["count"] for row in found if row["target"] != "*"} == {2}
    now = 3600.0
    failures.note("\0\u202e" + "x" * 1000, "y" * 1000, "password")
    newest = control.audit.latest(1, wanted)[0]
    assert newest["target"].startswith(r"\x00\u202exxx")
    assert len(newest["target"]) == 128
    assert newest["actor"] == "address:" + "y" * 64


def test_a_failed_sign_in_is_in_the_log_and_no_secret_is(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        tried = [
            {"name": "<b>nobody</b>", "password": "secret-that-was-tried"},
            {"token": "wcp1.a.secret-that-was-tried"},
            {"link": "wcl1.a.secret-that-was-tried"},
        ]
        for body in tried * 2:
            assert (await client.post("/api/v1/sign-in", json=body)).status_code == 401
        answer = await client.get("/api/v1/audit?action=signIn.failed&actor=198.51.100.7", headers=owner(context))
        # By link and by token nothing was given as a name: they count together.
        assert [(row["target"], row["detail"]["count"]) for row in answer.json()["value"]] == [
            ("", 4),
            ("<b>nobody</b>", 2),
        ]
        assert "secret-that-was-tried" not in answer.text

    asking(context, work)


def test_the_audit_log_is_filtered_and_paged(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        headers = owner(context)
        names = [f"paged_{number}%" for number in range(5)]
        for name in names:
            context.control.note("test%er", "paging.done", name)
        context.control.note("test%er", "pagingX", "paged_other")

        async def get(*, status: int = 200, **query: Any) -> Any:
            answer = await client.get("/api/v1/audit", params=query, headers=headers)
            assert answer.status_code == status, answer.text
            return answer.json()

        found, cursor = [], ""
        while True:
            after: dict[str, Any] = {"cursor": cursor} if cursor else {}
            page = await get(action="PAGING.", limit=2, **after)
            found += [row["target"] for row in page["value"]]
            if (cursor := page.get("nextCursor", "")) == "":
                break
        assert found == names[::-1]
        # What means something in a pattern of the database means itself.
        assert [row["target"] for row in (await get(target="D_0%"))["value"]] == ["paged_0%"]
        assert (await get(actor="t_st"))["value"] == []
        assert len((await get(actor="TEST%", action="paging"))["value"]) == 6
        [last] = (await get(target="paged_other"))["value"]
        assert "paged_other" not in str(await get(actor="test%er", to=last["time"]))
        assert [row["target"] for row in (await get(actor="test%er", **{"from": last["time"]}))["value"]] == [
            "paged_other"
        ]
        refused: tuple[dict[str, Any], ...] = (
            {"cursor": "x"},
            {"from": "soon"},
            {"limit": 0},
            {"limit": 10_001},
            {"actor": "a" * 129},
        )
        for bad in refused:
            await get(status=400, **bad)

    asking(context, work)


def test_groups_are_made_and_removed_when_they_are_empty(control: Control) -> None:
    assert control.groups.create("test", "Web")
    assert not control.groups.create("test", "web")
    _, token = control.machines.create_enrollment_token("test", "web", (), 2, now_ns() + 10**12, "-")
    machine = control.machines.enroll(token, MachineFacts(computer="a")).identity
    twin = control.machines.enroll(token, MachineFacts(computer="a")).identity
    with pytest.raises(Refusal, match="machines that belong to it: 2"):
        control.groups.remove("test", "web")
    assert control.machines.move("test", machine.machine_id, "Shops")
    assert not control.machines.move("test", machine.machine_id, "shops")
    again = control.machines.identity(machine.machine_id)
    assert (again.group, again.enrolled_group, again.name) == ("shops", "web", "a")
    control.machines.move("test", machine.machine_id, "third")
    assert control.machines.identity(machine.machine_id).enrolled_group == "web"
    # An ARM id names one machine.
    _, token = control.machines.create_enrollment_token("test", "fourth", (), 1, now_ns() + 10**12, "-")
    namesake = control.machines.enroll(token, MachineFacts(computer="A")).identity
    with pytest.raises(Refusal, match="already"):
        control.machines.move("test", namesake.machine_id, "third")
    assert control.machines.identity(twin.machine_id).name.startswith("a-")
    assert [row["machines"] for row in control.groups.list_all(frozenset({"third"}))] == [1]
    control.groups.create("test", "empty")
    control.groups.remove("test", "EMPTY")
    with pytest.raises(Refusal, match="no MachineGroup"):
        control.groups.remove("test", "empty")


def test_retention_says_first_what_it_would_delete(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        world = await make(context, client)
        headers = world.owner
        shown = (await client.get("/api/v1/settings", headers=headers)).json()
        rows = {row["table"]: row for row in shown["retention"]}
        today = datetime.now(UTC).date().isoformat()
        assert rows["ConfigurationChange"]["rows"] >= 2
        assert rows["ConfigurationData"]["rows"] >= 2
        assert rows["TrackingHealth"]["oldest"] <= today
        path = "/api/v1/settings/retention"
        nothing = await client.get(f"{path}/ConfigurationChange/removal?days=1", headers=headers)
        assert nothing.json()["rows"] < rows["ConfigurationChange"]["rows"]
        for days, status in ((0, 400), (36_501, 400), (36_500, 200)):
            answer = await client.put(path, json={"days": {"Heartbeat": days}}, headers=headers)
            assert answer.status_code == status, answer.text
        for table in ("Nothing", "Watermark"):
            assert (await client.put(path, json={"days": {table: 9}}, headers=headers)).status_code == 400
            assert (await client.get(f"{path}/{table}/removal?days=9", headers=headers)).status_code == 404
        await client.put(path, json={"days": {"Heartbeat": None}}, headers=headers)
        [entry, *_] = context.control.audit.latest(1, AuditFilter(action="settings.retention"))
        assert (entry["target"], entry["detail"]) == ("Heartbeat", {"days": None})

    asking(context, work)


def test_what_is_old_is_counted_by_whole_days(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await make(context, client)

    asking(context, work)
    storage, later = context.storage, datetime.now(UTC) + timedelta(days=400)
    for table in ("TrackingHealth", "ConfigurationChange"):
        everything = storage.held(table)
        assert everything[0] > 0
        assert storage.held(table, beyond_days=398, now=later) == everything
        assert storage.held(table, beyond_days=402, now=later) == (0, None)
    # What is current in the inventory is never counted.
    assert storage.held("ConfigurationData", beyond_days=398, now=later)[0] < storage.held("ConfigurationData")[0]


def test_what_the_start_says_counts_and_is_not_set_here(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ShownSetting(
        "retention_health", 9, None, "days", "kept", "/etc/config.toml", "WHATCHANGED_RETENTION_HEALTH"
    )
    fixed = SettingsInForce((given,), {"TrackingHealth": 9}, {"TrackingHealth": "retention_health"})
    monkeypatch.setattr(context, "settings", fixed)

    async def work(client: httpx.AsyncClient) -> None:
        headers = owner(context)
        path = "/api/v1/settings/retention"
        refused = await client.put(path, json={"days": {"TrackingHealth": 3, "Heartbeat": 3}}, headers=headers)
        assert refused.status_code == 409
        assert "retention_health" in refused.json()["error"]["message"]
        set_ = await client.put(path, json={"days": {"Heartbeat": 3}}, headers=headers)
        rows = {row["table"]: (row["days"], row["source"]) for row in set_.json()["retention"]}
        assert rows["TrackingHealth"] == (9, "/etc/config.toml")
        assert rows["Heartbeat"] == (3, "portal")
        assert rows["ConfigurationChange"] == (None, "default")

    asking(context, work)
    assert fixed.retention(context.control, now_ns() + 3600 * 10**9) == {"Heartbeat": 3, "TrackingHealth": 9}
    context.control.settings.set_retention("test", {"Heartbeat": None})


def test_the_own_session_is_known(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        world = await make(context, client)
        headers = actor(world, "session").headers
        [mine] = (await client.get("/api/v1/sessions", headers=headers)).json()["value"]
        assert mine["current"] is True
        assert "wcs1" not in str(mine)
        person = context.control.sessions.find(headers["cookie"].partition("=")[2])
        other = context.control.sessions.open(person)
        listed = (await client.get("/api/v1/sessions", headers=headers)).json()["value"]
        [another] = [row["id"] for row in listed if not row["current"]]
        assert (await client.delete(f"/api/v1/sessions/{another}", headers=headers)).status_code == 204
        gone = cookie(context, other.secret)
        assert (await client.get("/api/v1/session", headers=gone)).status_code == 401

    asking(context, work)
