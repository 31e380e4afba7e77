"""The back channel: requests that wait for a machine, from a closed list. No commands, ever."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.refusals import Refusal, bad_request, not_found
from whatchanged.server.control.tokens import new_id

__all__ = ["BackChannel", "Pending", "RequestName"]

_MOST_PENDING = 32
_KEPT_ANSWERS = 100
_LONGEST_RESULT = 256 * 1024
_LONGEST_DOCUMENT = 2**20
_MOST_PREVIEWS = 4
"""Previews that wait for one machine: all of them travel with every answer to it."""
_PREVIEW_NS = 3600 * 10**9
"""Who asked for a preview has gone by then; a machine that comes back need not count for nobody."""


class RequestName(StrEnum):
    """What may be asked of a machine."""

    RESYNC = "resync"
    NEW_EPOCH = "newEpoch"
    SCAN = "scan"
    PREVIEW = "preview"


class Pending(msgspec.Struct, frozen=True):
    """A request that waits."""

    id: str
    request: RequestName
    kind: str = ""
    rule: str = ""
    document: str = ""


class BackChannel:
    """Requests of every machine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(
        self,
        actor: str,
        machine_id: str,
        request: RequestName,
        kind: str = "",
        rule: str = "",
        document: str | None = None,
    ) -> str:
        """Ask a machine; returns the request's id. The same question still unanswered is the same request.

        `document` is what a preview is of; `rule` is then only its name, if it has one.
        """
        _check(request, kind, document)
        table = schema.requests
        open_ones = (table.c.machine_id == machine_id) & (table.c.state != "answered")
        with self._database.write() as connection:
            _forget_old_previews(connection, machine_id)
            same = (table.c.request == request) & (table.c.kind == kind) & (table.c.rule == rule)
            same &= table.c.document.is_(None) if document is None else table.c.document == document
            known = connection.execute(select(table.c.id).where(open_ones & same)).scalars().first()
            if known is not None:
                return str(known)
            if connection.execute(select(func.count()).where(open_ones)).scalar_one() >= _MOST_PENDING:
                raise Refusal(429, "TooManyRequests", f"{_MOST_PENDING} requests wait for this machine already")
            if document is not None:
                previews = select(func.count()).where(open_ones & (table.c.request == RequestName.PREVIEW))
                if connection.execute(previews).scalar_one() >= _MOST_PREVIEWS:
                    raise Refusal(429, "TooManyRequests", f"{_MOST_PREVIEWS} previews wait for this machine already")
            request_id = new_id()
            connection.execute(
                insert(table).values(
                    id=request_id,
                    machine_id=machine_id,
                    request=request,
                    kind=kind,
                    rule=rule,
                    document=document,
                    state="pending",
                    created_at=now_ns(),
                    created_by=actor,
                )
            )
            said = {"id": request_id, "request": request, "kind": kind, "rule": rule}
            if document is not None:
                said["document"] = hashlib.sha256(document.encode()).hexdigest()[:32]
            note(connection, actor, "request.create", machine_id, **said)
        return request_id

    def pending(self, machine_id: str) -> list[Pending]:
        """Return what waits for the machine, oldest first; a request is delivered until it is answered."""
        table = schema.requests
        query = select(table.c.id, table.c.request, table.c.kind, table.c.rule, table.c.document).where(
            table.c.machine_id == machine_id, table.c.state != "answered", ~_old_preview()
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created_at, table.c.id)).all()
        return [Pending(row.id, RequestName(row.request), row.kind, row.rule, row.document or "") for row in rows]

    def delivered(self, machine_id: str, ids: list[str]) -> None:
        """Note that the machine was sent these requests."""
        table = schema.requests
        with self._database.write() as connection:
            connection.execute(
                update(table)
                .where(table.c.machine_id == machine_id, table.c.id.in_(ids), table.c.state == "pending")
                .values(state="delivered", delivered_at=now_ns())
            )

    def answer(self, machine_id: str, request_id: str, success: bool, result: msgspec.Raw) -> None:
        """Take the machine's answer; a second answer changes nothing. Refuses unknown requests."""
        if len(bytes(result)) > _LONGEST_RESULT:
            raise Refusal(413, "RequestEntityTooLarge", f"an answer has at most {_LONGEST_RESULT} bytes")
        table = schema.requests
        mine = (table.c.machine_id == machine_id) & (table.c.id == request_id)
        with self._database.write() as connection:
            row = connection.execute(select(table.c.state).where(mine)).one_or_none()
            if row is None:
                raise not_found("Request", request_id)
            if row.state == "answered":
                return
            connection.execute(
                update(table)
                .where(mine)
                .values(
                    state="answered",
                    answered_at=now_ns(),
                    success=success,
                    result=bytes(result).decode("utf-8"),
                    document=None,
                )
            )
            _forget_old_answers(connection, machine_id)
            note(connection, f"machine:{machine_id}", "request.answer", machine_id, id=request_id, success=success)

    def get(self, machine_id: str, request_id: str) -> dict[str, Any]:
        """Return a request and, once it is there, its answer."""
        table = schema.requests
        with self._database.read() as connection:
            row = connection.execute(
                select(table).where(table.c.machine_id == machine_id, table.c.id == request_id)
            ).one_or_none()
        if row is None:
            raise not_found("Request", request_id)
        return _described(row)


def _old_preview() -> Any:
    table = schema.requests
    return (table.c.request == RequestName.PREVIEW) & (table.c.created_at < now_ns() - _PREVIEW_NS)


def _forget_old_previews(connection: Connection, machine_id: str) -> None:
    table = schema.requests
    waiting = (table.c.machine_id == machine_id) & (table.c.state != "answered")
    connection.execute(delete(table).where(waiting & _old_preview()))


def _check(request: RequestName, kind: str, document: str | None) -> None:
    if kind and kind not in set(Kind):
        raise bad_request(f"kind is one of {', '.join(Kind)}", "kind")
    if request is RequestName.RESYNC and not kind:
        raise bad_request("resync names a kind", "kind")
    if (request is RequestName.PREVIEW) != (document is not None):
        raise bad_request("a preview, and nothing else, has a rule or a document", "rule")
    if document is not None and len(document.encode()) > _LONGEST_DOCUMENT:
        raise Refusal(413, "RequestEntityTooLarge", f"a rule to be previewed has at most {_LONGEST_DOCUMENT} bytes")


def _forget_old_answers(connection: Connection, machine_id: str) -> None:
    table = schema.requests
    answered = (table.c.machine_id == machine_id) & (table.c.state == "answered")
    query = select(table.c.answered_at).where(answered).order_by(table.c.answered_at.desc())
    oldest = connection.execute(query.offset(_KEPT_ANSWERS).limit(1)).scalar_one_or_none()
    if oldest is not None:
        connection.execute(delete(table).where(answered & (table.c.answered_at <= oldest)))


def _described(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "request": row.request,
        "kind": row.kind,
        "rule": row.rule,
        "state": row.state,
        "createdAt": time_text(row.created_at),
        "createdBy": row.created_by,
        "deliveredAt": None if row.delivered_at is None else time_text(row.delivered_at),
        "answeredAt": None if row.answered_at is None else time_text(row.answered_at),
        "success": row.success,
        "result": None if row.result is None else msgspec.json.decode(row.result),
    }
