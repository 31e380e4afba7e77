"""Signing in: accounts, sessions, links, and what a stranger's page must not be able to do with them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from whatchanged.errors import CredentialError
from whatchanged.records.times import now_ns
from whatchanged.server.api.app import create
from whatchanged.server.api.attempts import Attempts
from whatchanged.server.api.context import Context
from whatchanged.server.control import Control, Refusal, Role, passwords, schema, sessions
from whatchanged.server.control.people import LOCAL_TOKEN_ID

PASSWORD = "correct horse battery"
HOST = "https://server:8350"
OWN = {"origin": HOST}
NUMBERS = itertools.count()


def new_name() -> str:
    return f"Ada{next(NUMBERS)}"


@pytest.fixture
def account(context: Context) -> str:
    name = new_name()
    context.control.accounts.create("test", name, PASSWORD, Role.CONTRIBUTOR)
    return name


def asking(context: Context, work: Callable[[httpx.AsyncClient], Awaitable[None]], url: str = HOST) -> None:
    """Run `work` with a browser's client: it keeps cookies."""

    async def run() -> None:
        app: Any = create(context)
        transport = httpx.ASGITransport(app=app, client=(f"198.51.100.{next(NUMBERS) % 250}", 1))
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            await work(client)

    asyncio.run(run())


async def sign_in(client: httpx.AsyncClient, **body: str) -> httpx.Response:
    return await client.post("/api/v1/sign-in", json=body, headers={"origin": str(client.base_url).rstrip("/")})


def test_a_session_speaks_for_its_account(context: Context, account: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/session")).status_code == 401
        answer = await sign_in(client, name=account.upper(), password=PASSWORD)
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"] == account
        assert answer.json()["role"] == "Contributor"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "max-age=86400" in cookie
        assert (await client.get("/api/v1/machines")).status_code == 200
        assert (await client.get("/api/v1/tokens")).status_code == 403
        assert (await client.delete("/api/v1/session", headers=OWN)).status_code == 200
        assert (await client.get("/api/v1/session")).status_code == 401

    asking(context, work)
    actions = {(row["actor"], row["action"]) for row in context.control.audit.latest(1000)}
    assert {(f"account:{account.lower()}", f"session.{what}") for what in ("open", "close")} <= actions


def test_a_signed_out_cookie_is_of_no_use(context: Context, account: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await sign_in(client, name=account, password=PASSWORD)
        kept = {"cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
        await client.delete("/api/v1/session", headers=OWN)
        client.cookies.clear()
        assert (await client.get("/api/v1/session", headers=kept)).status_code == 401

    asking(context, work)


def test_who_signs_in_again_ends_the_session_before(context: Context, account: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await sign_in(client, name=account, password=PASSWORD)
        (name, former), *_ = client.cookies.items()
        await sign_in(client, name=account, password=PASSWORD)
        assert client.cookies[name] != former
        assert (await client.get("/api/v1/session")).status_code == 200
        with pytest.raises(CredentialError):
            context.control.sessions.find(former)
        client.cookies.clear()
        client.cookies.set(name, "nonsense")
        assert (await sign_in(client, name=account, password=PASSWORD)).status_code == 200

    asking(context, work)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://server:9999"}, 403),
        ({"origin": HOST, "sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": HOST}, 201),
        ({"sec-fetch-site": "same-origin"}, 201),
    ],
)
def test_only_pages_of_this_server_write_with_a_cookie(
    context: Context, account: str, headers: dict[str, str], status: int
) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await sign_in(client, name=account, password=PASSWORD)
        for method, path in (("POST", "/api/v1/sign-in-links"),):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == status, answer.text
        assert (await client.get("/api/v1/machines", headers=headers)).status_code == 200

    asking(context, work)


def owner(context: Context) -> str:
    return context.control.people.create("test", "owner", Role.OWNER)[1]


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_nobody_is_signed_in_by_a_strangers_page(context: Context, account: str, headers: dict[str, str]) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        body = {"name": account, "password": PASSWORD}
        answer = await client.post("/api/v1/sign-in", json=body, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    asking(context, work)


def test_a_bearer_token_needs_no_origin(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        headers = {"authorization": f"Bearer {owner(context)}"}
        assert (await client.post("/api/v1/sign-in-links", headers=headers)).status_code == 201

    asking(context, work)


def test_a_link_signs_in_once(context: Context) -> None:
    token_id, token = context.control.people.create("test", "reader of logs", Role.READER)
    link = context.control.sessions.link(context.control.people.authenticate(token))

    async def work(client: httpx.AsyncClient) -> None:
        answer = await sign_in(client, link=link)
        assert answer.status_code == 200, answer.text
        assert answer.json() | {"workspaceId": ""} == {
            "name": "reader of logs", "role": "Reader", "machineGroups": None, "account": False, "workspaceId": "",
        }  # fmt: skip
        assert (await sign_in(client, link=link)).status_code == 401
        assert (await client.get("/api/v1/session")).status_code == 200
        context.control.people.remove("test", token_id)
        assert (await client.get("/api/v1/session")).status_code == 401

    asking(context, work)


def test_a_link_and_a_session_have_an_end(context: Context, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    person = context.control.accounts.check(account, PASSWORD)
    link, opened = context.control.sessions.link(person), context.control.sessions.open(person)
    now = now_ns()

    def later(seconds: int) -> None:
        monkeypatch.setattr("whatchanged.server.control.sessions.now_ns", lambda: now + seconds * 10**9)

    later(sessions.LINK_SECONDS + 1)
    with pytest.raises(CredentialError):
        context.control.sessions.follow(link)
    # What a page asks by itself keeps no session alive.
    later(sessions.IDLE_SECONDS - 1)
    assert context.control.sessions.find(opened.secret, noting=False) == person
    later(sessions.IDLE_SECONDS + 1)
    with pytest.raises(CredentialError, match="over"):
        context.control.sessions.find(opened.secret)
    # What its person asks does, but not for ever.
    moments = range(0, sessions.LONGEST_SECONDS - 60, sessions.IDLE_SECONDS // 2)
    for moment in moments:
        later(moment)
        assert context.control.sessions.find(opened.secret) == person
    later(sessions.LONGEST_SECONDS)
    with pytest.raises(CredentialError, match="over"):
        context.control.sessions.find(opened.secret)


def test_what_a_page_asks_by_itself_is_no_sign_of_life(
    context: Context, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[bool] = []
    find = context.control.sessions.find

    def finding(text: str, *, noting: bool = True) -> Any:
        noted.append(noting)
        return find(text, noting=noting)

    monkeypatch.setattr(context.control.sessions, "find", finding)

    async def work(client: httpx.AsyncClient) -> None:
        await sign_in(client, name=account, password=PASSWORD)
        await client.get("/api/v1/machines")
        await client.get("/api/v1/machines", headers={"x-whatchanged-unasked": "1"})
        await client.get("/api/v1/arrivals")

    asking(context, work)
    assert noted == [True, False, False]


def test_another_password_ends_the_sessions(context: Context, account: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await sign_in(client, name=account, password=PASSWORD)
        wrong = {"current": "not this one at all", "password": "another long password"}
        assert (await client.put("/api/v1/session/password", json=wrong, headers=OWN)).status_code == 403
        right = {**wrong, "current": PASSWORD}
        assert (await client.put("/api/v1/session/password", json=right, headers=OWN)).status_code == 204
        assert (await client.get("/api/v1/session")).status_code == 401
        assert (await sign_in(client, name=account, password=PASSWORD)).status_code == 401
        assert (await sign_in(client, name=account, password=right["password"])).status_code == 200

    asking(context, work)


def test_who_fails_too_often_waits(context: Context, account: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        # By a link, which is no work for the processor.
        for _ in range(30):
            assert (await sign_in(client, link="wcl1.a.b")).status_code == 401
        answer = await sign_in(client, name=account, password=PASSWORD)
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "TooManyRequests"

    asking(context, work)


def test_failures_are_forgotten_after_ten_minutes_and_by_success() -> None:
    now = 0.0
    attempts = Attempts(lambda: now)
    for address in range(10):
        attempts.check("ada", str(address))
        attempts.failed("ada", str(address))
    with pytest.raises(Refusal):
        attempts.check("ada", "elsewhere")
    attempts.check("bob", "elsewhere")
    now = 601.0
    attempts.check("ada", "elsewhere")
    for _ in range(9):
        attempts.failed("ada", "here")
    attempts.succeeded("ada")
    attempts.failed("ada", "here")
    attempts.check("ada", "here")


@pytest.mark.parametrize(
    ("name", "password"), [("nobody", PASSWORD), ("", PASSWORD), ("ada\0", PASSWORD), ("nobody", "x" * 2000)]
)
def test_a_wrong_name_is_refused_like_a_wrong_password(context: Context, name: str, password: str) -> None:
    with pytest.raises(CredentialError, match="the name or the password is wrong"):
        context.control.accounts.check(name, password)


def test_names_and_passwords_are_bounded(context: Context, account: str) -> None:
    accounts = context.control.accounts
    for name in ("", "-x", "a" * 65, "a b", "a\n", "<b>"):
        with pytest.raises(Refusal):
            accounts.create("test", name, PASSWORD, Role.READER)
    with pytest.raises(Refusal, match="12"):
        accounts.create("test", new_name(), "short", Role.READER)
    with pytest.raises(Refusal, match="already"):
        accounts.create("test", account.lower(), PASSWORD, Role.READER)
    with pytest.raises(Refusal):
        accounts.create("test", new_name(), PASSWORD, Role.OWNER, ["web"])


def test_an_owner_makes_and_removes_accounts(context: Context) -> None:
    name = new_name()

    async def work(client: httpx.AsyncClient) -> None:
        headers = {"authorization": f"Bearer {owner(context)}"}
        body = {"name": name, "password": PASSWORD, "machineGroups": ["Web"]}
        made = await client.post("/api/v1/accounts", json=body, headers=headers)
        assert made.status_code == 201, made.text
        assert made.json()["machineGroups"] == ["web"]
        listed = (await client.get("/api/v1/accounts", headers=headers)).json()["value"]
        assert name in [row["name"] for row in listed]
        assert PASSWORD not in str(listed)
        await sign_in(client, name=name, password=PASSWORD)
        assert (await client.get("/api/v1/session")).json()["machineGroups"] == ["web"]
        assert (await client.delete(f"/api/v1/accounts/{name}", headers=headers)).status_code == 204
        assert (await client.get("/api/v1/session")).status_code == 401
        assert (await client.delete(f"/api/v1/accounts/{name}", headers=headers)).status_code == 404

    asking(context, work)


def test_a_new_local_token_ends_the_sessions_of_the_old_one(context: Context) -> None:
    people = context.control.people
    people.ensure_local(f"wcp1.{LOCAL_TOKEN_ID}.one")
    opened = context.control.sessions.open(people.authenticate(f"wcp1.{LOCAL_TOKEN_ID}.one"))
    people.ensure_local(f"wcp1.{LOCAL_TOKEN_ID}.one")
    context.control.sessions.find(opened.secret)
    people.ensure_local(f"wcp1.{LOCAL_TOKEN_ID}.two")
    with pytest.raises(CredentialError):
        context.control.sessions.find(opened.secret)


def test_no_password_and_no_session_is_in_the_database(context: Context, account: str) -> None:
    person = context.control.accounts.check(account, PASSWORD)
    secrets = [context.control.sessions.open(person).secret, context.control.sessions.link(person)]
    with context.control.database.read() as connection:
        dump = "".join(repr(connection.execute(table.select()).all()) for table in schema.METADATA.sorted_tables)
    assert PASSWORD not in dump
    for secret in secrets:
        assert secret.rpartition(".")[2] not in dump


@pytest.mark.postgresql
def test_sessions_in_postgresql(postgresql: Callable[[], str]) -> None:
    control = Control(postgresql())
    try:
        control.accounts.create("test", "ada", PASSWORD, Role.READER, ["web"])
        person = control.accounts.check("Ada", PASSWORD)
        opened = control.sessions.follow(control.sessions.link(person))
        assert control.sessions.find(opened.secret) == person
        control.sessions.close(opened.secret)
        with pytest.raises(CredentialError):
            control.sessions.find(opened.secret)
    finally:
        control.close()


def test_a_salt_a_password() -> None:
    first, second = passwords.kept(PASSWORD), passwords.kept(PASSWORD)
    assert first != second
    assert len(first) < 256
    assert passwords.matches(PASSWORD, first)
    assert not passwords.matches(PASSWORD + " ", first)
    assert passwords.matches("\ud800", passwords.kept("\ud800"))


@pytest.mark.parametrize(
    ("url", "named"), [("https://a.example", "__Host-whatchanged-"), ("http://127.0.0.1:1", "whatchanged-")]
)
def test_the_cookie_is_secure_with_tls(
    context: Context, account: str, url: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "public_url", url)

    async def work(client: httpx.AsyncClient) -> None:
        cookie = (await sign_in(client, name=account, password=PASSWORD)).headers["set-cookie"]
        assert cookie.startswith(named)
        assert ("Secure" in cookie) == url.startswith("https")

    asking(context, work, url)


def test_arrivals_are_heard_at_once(context: Context) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        headers = {"authorization": f"Bearer {owner(context)}"}

        async def ask(**query: Any) -> str:
            return str((await client.get("/api/v1/arrivals", params=query, headers=headers)).json()["mark"])

        context.arrivals.open()
        mark = await ask()
        assert await ask(known=mark) == mark
        assert await ask(known="another", waitSeconds=30) == mark
        held = asyncio.create_task(ask(known=mark, waitSeconds=30))
        await asyncio.sleep(0)
        await asyncio.to_thread(context.arrivals.arrived)
        async with asyncio.timeout(5):
            assert await held != mark

    asking(context, work)
