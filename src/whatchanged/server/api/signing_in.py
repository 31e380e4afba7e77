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
from whatchanged.server.api.shapes import answers
from whatchanged.server.control import Person
from whatchanged.server.control.passwords import MOST_CHARACTERS
from whatchanged.server.control.refusals import bad_request, forbidden
from whatchanged.server.control.sessions import LONGEST_SECONDS, Opened, id_of

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
        opened = await _opened(context, data, address)
    except CredentialError:
        context.attempts.failed(name, address)
        by = "link" if data.link else "token" if data.token else "password"
        await context.call(context.control.failed_sign_ins.note, name if by == "password" else "", address, by)
        raise
    context.attempts.succeeded(name)
    former = request.cookies.get(session_cookie(context))
    if former is not None:
        with contextlib.suppress(CredentialError):  # a cookie that is none of ours
            await context.call(context.control.sessions.close, former)
    cookie = _cookie(context, opened.secret, LONGEST_SECONDS)
    return Response(_shown(context, opened.person), cookies=[cookie])


async def _opened(context: Context, data: SignIn, address: str) -> Opened:
    if data.link:
        return await context.call(context.control.sessions.follow, data.link, address)
    if data.token:
        person = await context.call(context.control.people.authenticate, data.token.strip())
    elif data.name and data.password:
        async with context.passwords:
            person = await context.call(context.control.accounts.check, data.name, data.password)
    else:
        raise bad_request("sign in with name and password, a link, or a token")
    return await context.call(context.control.sessions.open, person, address)


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


class OwnSession(msgspec.Struct, rename="camel"):
    """A session of the caller's."""

    id: str
    address: str
    """Where it was opened from; empty: not known."""
    opened_at: str
    last_seen: str
    """Within a minute."""
    ends_at: str
    current: bool
    """Whether it is the one that asks."""


class OwnSessions(msgspec.Struct):
    """The caller's sessions."""

    value: list[OwnSession]


@get("/api/v1/sessions", opt={"access": Access.READER}, responses=answers(OwnSessions))
async def list_sessions(request: AnyRequest) -> dict[str, Any]:
    """Return the caller's own sessions, the newest first."""
    context = context_of(request)
    cookie = request.cookies.get(session_cookie(context))
    own = "" if cookie is None or "authorization" in request.headers else id_of(cookie)
    found = await context.call(context.control.sessions.of, person_of(request))
    return {"value": [{**row, "current": row["id"] == own} for row in found]}


@delete("/api/v1/sessions/{session_id:str}", status_code=204, opt={"access": Access.READER})
async def end_session(request: AnyRequest, session_id: FromPath[str]) -> None:
    """End a session of the caller's own."""
    context = context_of(request)
    await context.call(context.control.sessions.end, person_of(request), session_id)


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
            await context.call(context.control.failed_sign_ins.note, person.account, address, "own password")
            raise forbidden("the current password is wrong") from error
        await context.call(context.control.accounts.set_password, person.actor, person.account, data.password)


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
    list_sessions,
    end_session,
)
