"""Who may ask for what. One guard stands before every handler and runs before any body is read.

A handler says in `opt={"access": …}` who may call it; one that says nothing is open to nobody. With `"unasked": True`
it says that pages call it by themselves, which keeps no session alive; nor do requests that say so in a header.

A person is known by a bearer token or, in a browser, by the cookie of a session. Browsers send cookies along whoever
makes them ask: with a cookie, what is not a plain read must come from a page of this server (docs/adr/0030).
"""

from __future__ import annotations

import ipaddress
from enum import Enum
from typing import Any, cast
from urllib.parse import urlsplit

from litestar import Request
from litestar.handlers import BaseRouteHandler

from whatchanged.errors import CredentialError
from whatchanged.server.api.context import Connection, Context, context_of
from whatchanged.server.control import Person, Role
from whatchanged.server.control.refusals import Refusal, forbidden
from whatchanged.server.identity import MachineIdentity

__all__ = [
    "INSTANCE_HEADER", "UNASKED_HEADER", "Access", "AnyRequest", "Sender", "authorize", "from_elsewhere", "machine_of",
    "person_of", "sender_of", "session_cookie", "visible_machines",
]  # fmt: skip

AnyRequest = Request[Any, Any, Any]
INSTANCE_HEADER = "x-whatchanged-instance"
UNASKED_HEADER = "x-whatchanged-unasked"
"""A page sends it with what it asks while nobody touches it."""
_READS = frozenset({"GET", "HEAD"})
_UNLIMITED_ONLY = "this token is limited to machine groups and may not change what concerns all of them"


class Access(Enum):
    """Who may call a handler."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    """Anyone on this machine; from elsewhere a Reader."""
    ENROLLMENT = "enrollment"
    MACHINE = "machine"
    INGESTION = "ingestion"
    READER = "Reader"
    CONTRIBUTOR = "Contributor"
    CONTRIBUTOR_ALL = "Contributor of all groups"
    OWNER = "Owner"


class Sender:
    """Who sends records: a machine or a sender, and the rule its token is limited to."""

    __slots__ = ("machine", "rule_id")

    def __init__(self, machine: MachineIdentity, rule_id: str | None) -> None:
        self.machine = machine
        self.rule_id = rule_id


_ROLES = {
    Access.READER: Role.READER,
    Access.CONTRIBUTOR: Role.CONTRIBUTOR,
    Access.CONTRIBUTOR_ALL: Role.CONTRIBUTOR,
    Access.OWNER: Role.OWNER,
}


async def authorize(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let the request pass, with who it speaks for in `scope["user"]`, or raise."""
    access = handler.opt.get("access")
    context = context_of(connection)
    if access is Access.PUBLIC or (access is Access.LOOPBACK and _is_local(connection)):
        connection.scope["user"] = None
    elif access in (Access.MACHINE, Access.INGESTION):
        connection.scope["user"] = await _machine(connection, context, access is Access.INGESTION)
    elif access is Access.ENROLLMENT:
        connection.scope["user"] = await context.call(context.control.machines.check_enrollment, _bearer(connection))
    elif access in _ROLES or access is Access.LOOPBACK:
        unasked = handler.opt.get("unasked", False) or UNASKED_HEADER in connection.headers
        person = await _person(connection, context, noting=not unasked)
        _check_role(person, cast("Access", access))
        connection.scope["user"] = person
    else:
        raise forbidden("nobody may call this")


def person_of(request: AnyRequest) -> Person:
    """Return the person behind an authorised request."""
    return cast("Person", request.scope["user"])


async def visible_machines(request: AnyRequest) -> tuple[str, ...] | None:
    """Return the ids of the machines that the person behind a request may see; None: all."""
    context, groups = context_of(request), person_of(request).groups
    return None if groups is None else tuple(await context.call(context.control.machines.ids_of, groups))


def machine_of(request: AnyRequest) -> MachineIdentity:
    """Return the machine behind an authorised request."""
    return sender_of(request).machine


def sender_of(request: AnyRequest) -> Sender:
    """Return who sends records."""
    return cast("Sender", request.scope["user"])


def session_cookie(context: Context) -> str:
    """Return the name of the session's cookie.

    Cookies of one host are shared by all its ports: two servers on one machine must not take each other's. With TLS
    the prefix keeps other hosts of the domain from setting one (RFC 6265bis).
    """
    return f"{'__Host-' if context.secure else ''}whatchanged-{context.control.workspace_id[:8]}"


def from_elsewhere(connection: Connection) -> bool:
    """Say whether a browser says that a page of another origin makes it ask."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = connection.headers.get("origin")
    return origin is not None and not _is_own(connection, origin)


def _is_own(connection: Connection, origin: str) -> bool:
    return urlsplit(origin).netloc.lower() == connection.headers.get("host", "").lower()


async def _person(connection: Connection, context: Context, *, noting: bool) -> Person:
    session = connection.cookies.get(session_cookie(context))
    if session is None or "authorization" in connection.headers:
        return await context.call(context.control.people.authenticate, _bearer(connection))
    person = await context.call(context.control.sessions.find, session, noting=noting)
    told = {"sec-fetch-site", "origin"} & set(connection.headers.keys())
    if connection.scope.get("method") not in _READS and (not told or from_elsewhere(connection)):
        raise forbidden("the request does not come from a page of this server", "ForeignOrigin")
    return person


def _bearer(connection: Connection) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise CredentialError("there is no bearer token", hint="send Authorization: Bearer <token>")
    return token.strip()


def _check_role(person: Person, access: Access) -> None:
    needed = _ROLES.get(access, Role.READER)
    if person.role < needed:
        raise forbidden(f"this needs the role {needed.label}, the token has {person.role.label}")
    if access is Access.CONTRIBUTOR_ALL and person.groups is not None:
        raise forbidden(_UNLIMITED_ONLY)


async def _machine(connection: Connection, context: Context, ingestion: bool) -> Sender:
    token, instance = _bearer(connection), connection.headers.get(INSTANCE_HEADER)
    machines, rule_id = context.control.machines, None
    if ingestion and token.startswith("wci1."):
        claims = context.signer.read(token)
        rule_id = claims.rule_id
        machine, cloned = await context.call(machines.active, claims.machine_id, instance)
    elif ingestion and token.startswith("wcp1."):
        known = await context.call(context.control.senders.authenticate, token)
        return Sender(known, known.rule_id)
    else:
        machine, cloned = await context.call(machines.authenticate, token, instance)
    if cloned:
        await context.report_clone(machine)
    _check_path(connection, machine)
    return Sender(machine, rule_id)


def _check_path(connection: Connection, machine: MachineIdentity) -> None:
    """Refuse a path that names another machine than the credential does."""
    path = connection.path_params
    if "subscription" not in path:
        return
    named = [path[part].lower() for part in ("subscription", "name")]
    own = [machine.workspace_id.lower(), machine.name.lower()]
    # One that was moved does not know it: it goes on by the group with which it enrolled.
    if named != own or path["group"].lower() not in {machine.group, machine.enrolled_group or machine.group}:
        raise Refusal(403, "AuthorizationFailed", "the credential is of another machine than the path names")


def _is_local(connection: Connection) -> bool:
    # A proxy on this machine speaks for others: what it forwards is not local.
    if connection.client is None or {"forwarded", "x-forwarded-for"} & set(connection.headers.keys()):
        return False
    try:
        return ipaddress.ip_address(connection.client.host).is_loopback
    except ValueError:
        return False
