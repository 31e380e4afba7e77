"""The interface of people, where they sign in: by name and password, by a token, or by a link that works once."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.datastructures import Cookie
from litestar.params import FromPath, JSONBody

from whatchanged.errors import CredentialError
from whatchanged.server.api.access import Access, AnyRequest, from_elsewhere, person_of, session_cookie
from whatchanged.server.api.context import Context, context_of
from whatchanged.server.control import Person, Role
from whatchanged.server.control.passwords import MOST_CHARACTERS
from whatchanged.server.control.refusals import bad_request, forbidden
from whatchanged.server.control.sessions import LONGEST_SECONDS, Opened

__all__ = ["HANDLERS"]

Name = Annotated[str, msgspec.Meta(max_length=128)]
Secret = Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]


class SignIn(msgspec.Struct):
    """Name and password; or what stands in a sign-in link; or an API token."""

    name: Name = ""
    password: Secret = ""
    link: Secret = ""
    token: Secret = ""


class Session(msgspec.Struct, rename="camel"):
    """Who is signed in."""

    name: str
    role: str
    machine_groups: list[str] | None
    """None: all."""
    account: bool
    """Whether he has an account, and a password that he may change."""
    workspace_id: str


class Link(msgspec.Struct):
    """What signs a browser in, once: `<address>/sign-in#<link>`."""

    link: str


class NewAccount(msgspec.Struct, rename="camel"):
    """An account to make."""

    name: Name
    password: Secret
    role: str = "Reader"
    machine_groups: list[str] | None = None


class NewPassword(msgspec.Struct):
    """Another password."""

    password: Secret


class OwnPassword(msgspec.Struct):
    """Another password for oneself."""

    current: Secret
    password: Secret


@post("/api/v1/sign-in", status_code=200, opt={"access": Access.PUBLIC})
async def sign_in(request: AnyRequest, data: JSONBody[SignIn]) -> Response[Session]:
    """Open a session; its cookie comes with the answer."""
    if from_elsewhere(request):  # or a stranger's page could make a browser work under the stranger's name
        raise forbidden("the request does not come from a page of this server", "ForeignOrigin")
    context, address = context_of(request), "" if request.client is None else request.client.host
    name = data.name.lower()
    context.attempts.check(name, address)
    try:
        opened = await _opened(context, data)
    except CredentialError:
        context.attempts.failed(name, address)
        raise
    context.attempts.succeeded(name)
    former = request.cookies.get(session_cookie(context))
    if former is not None:
        with contextlib.suppress(CredentialError):  # a cookie that is none of ours
            await context.call(context.control.sessions.close, former)
    cookie = _cookie(context, opened.secret, LONGEST_SECONDS)
    return Response(_shown(context, opened.person), cookies=[cookie])


async def _opened(context: Context, data: SignIn) -> Opened:
    if data.link:
        return await context.call(context.control.sessions.follow, data.link)
    if data.token:
        person = await context.call(context.control.people.authenticate, data.token.strip())
    elif data.name and data.password:
        async with context.passwords:
            person = await context.call(context.control.accounts.check, data.name, data.password)
    else:
        raise bad_request("sign in with name and password, a link, or a token")
    return await context.call(context.control.sessions.open, person)


@get("/api/v1/session", opt={"access": Access.READER})
async def session(request: AnyRequest) -> Session:
    """Return who is signed in."""
    return _shown(context_of(request), person_of(request))


@delete("/api/v1/session", status_code=200, opt={"access": Access.READER})
async def sign_out(request: AnyRequest) -> Response[dict[str, str]]:
    """End the session."""
    context = context_of(request)
    secret = request.cookies.get(session_cookie(context))
    if secret is not None:
        await context.call(context.control.sessions.close, secret)
    return Response({"status": "signed out"}, cookies=[_cookie(context, "", 0)])


@post("/api/v1/sign-in-links", status_code=201, opt={"access": Access.READER})
async def create_link(request: AnyRequest) -> Link:
    """Make a link that signs a browser in as whoever asks."""
    context = context_of(request)
    return Link(await context.call(context.control.sessions.link, person_of(request)))


@put("/api/v1/session/password", status_code=204, opt={"access": Access.READER})
async def change_own_password(request: AnyRequest, data: JSONBody[OwnPassword]) -> None:
    """Change one's own password; every session of the account ends."""
    context, person = context_of(request), person_of(request)
    if not person.account:
        raise bad_request("a token signed in here; it has no password")
    address = "" if request.client is None else request.client.host
    context.attempts.check(person.account, address)
    async with context.passwords:
        try:
            await context.call(context.control.accounts.check, person.account, data.current)
        except CredentialError as error:
            context.attempts.failed(person.account, address)
            raise forbidden("the current password is wrong") from error
        await context.call(context.control.accounts.set_password, person.actor, person.account, data.password)


@get("/api/v1/accounts", opt={"access": Access.OWNER})
async def list_accounts(request: AnyRequest) -> dict[str, Any]:
    """Return the accounts."""
    context = context_of(request)
    return {"value": await context.call(context.control.accounts.list_all)}


@post("/api/v1/accounts", status_code=201, opt={"access": Access.OWNER})
async def create_account(request: AnyRequest, data: JSONBody[NewAccount]) -> dict[str, Any]:
    """Make an account."""
    context, actor = context_of(request), person_of(request).actor
    role = Role.of(data.role)
    async with context.passwords:
        return await context.call(
            context.control.accounts.create, actor, data.name, data.password, role, data.machine_groups
        )


@put("/api/v1/accounts/{name:str}/password", status_code=204, opt={"access": Access.OWNER})
async def set_password(request: AnyRequest, name: FromPath[str], data: JSONBody[NewPassword]) -> None:
    """Give an account another password; its sessions end."""
    context, actor = context_of(request), person_of(request).actor
    async with context.passwords:
        await context.call(context.control.accounts.set_password, actor, name, data.password)


@delete("/api/v1/accounts/{name:str}", status_code=204, opt={"access": Access.OWNER})
async def remove_account(request: AnyRequest, name: FromPath[str]) -> None:
    """Remove an account; its sessions end."""
    context = context_of(request)
    await context.call(context.control.accounts.remove, person_of(request).actor, name)


def _shown(context: Context, person: Person) -> Session:
    return Session(
        name=person.name,
        role=person.role.label,
        machine_groups=None if person.groups is None else sorted(person.groups),
        account=bool(person.account),
        workspace_id=context.control.workspace_id,
    )


def _cookie(context: Context, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=session_cookie(context),
        value=value,
        path="/",
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=context.secure,
    )


HANDLERS = (
    sign_in,
    session,
    sign_out,
    create_link,
    change_own_password,
    list_accounts,
    create_account,
    set_password,
    remove_account,
)
