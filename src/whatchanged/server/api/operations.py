"""The interface of operators: is it alive, is it ready, what does it count, back it up."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import JSONBody

from whatchanged.errors import OperationError
from whatchanged.server.api.access import Access, AnyRequest, person_of
from whatchanged.server.api.context import context_of
from whatchanged.server.api.metrics import Sample, render
from whatchanged.server.backup import back_up

__all__ = ["HANDLERS"]

_LOG = logging.getLogger(__name__)


_INGESTION = {
    "rows": "Rows stored",
    "bodies": "Bodies stored",
    "duplicates": "Records that were stored already",
    "gaps": "Gap records written",
    "lost_records": "Records that gap records speak of",
    "forks": "Records that came again with other content",
    "resyncs": "Inventories asked for anew",
    "refused": "Bodies of a wrong shape",
    "commits": "Group commits",
    "queue_depth": "Bodies that wait for a group commit",
}


@get("/healthz", opt={"access": Access.PUBLIC})
async def alive() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@get("/ping", opt={"access": Access.PUBLIC}, media_type="text/plain")
async def ping() -> str:
    """Say what upstream's handler says."""
    return "Healthy"


@get("/readyz", opt={"access": Access.LOOPBACK})
async def ready(request: AnyRequest) -> Response[dict[str, Any]]:
    """Say whether the databases answer and have room."""
    context = context_of(request)
    checks = {"control": "ok", "storage": await context.call(context.storage.trouble) or "ok"}
    try:
        await context.call(context.control.database.check)
    except OperationError as error:
        _LOG.warning("the control plane is not ready: %s", error)
        checks["control"] = error.message
    good = set(checks.values()) == {"ok"}
    body = {"status": "ok" if good else "unavailable", "checks": checks}
    if good:
        return Response(body)
    failed = {"error": {"code": "NotReady", "message": "; ".join(f"{k}: {v}" for k, v in checks.items())}}
    return Response({**failed, **body}, status_code=503)


@get("/metrics", opt={"access": Access.LOOPBACK})
async def metrics(request: AnyRequest) -> Response[str]:
    """Return the counters."""
    context = context_of(request)
    counts = await context.call(context.control.machines.counts)
    more: list[Sample] = [
        ("whatchanged_waiting_machines", "gauge", "Held requests", [({}, float(context.waiting.count))]),
        ("whatchanged_machines", "gauge", "Machines", [({"status": s}, float(n)) for s, n in counts.items()]),
    ]
    for name, value in context.ingestor.metrics().items():
        kind, suffix = ("gauge", "") if name == "queue_depth" else ("counter", "_total")
        more.append((f"whatchanged_ingestion_{name}{suffix}", kind, _INGESTION[name], [({}, float(value))]))
    turns = context.questions.turns
    more += [
        ("whatchanged_queries_running", "gauge", "Queries that run", [({}, float(turns.running))]),
        ("whatchanged_queries_waiting", "gauge", "Queries that wait for their turn", [({}, float(turns.waiting))]),
        (
            "whatchanged_queries_refused_total",
            "counter",
            "Queries refused for what their asker asks already",
            [({"reason": reason}, float(turns.refused[reason])) for reason in ("rate", "waiting", "turn")],
        ),
    ]
    text = render([*context.metrics.samples(), *more])
    return Response(text, media_type="text/plain; version=0.0.4")


class BackupOrder(msgspec.Struct):
    """Where to: a name below the configured backup folder, or a path inside it; empty: the time."""

    path: str = ""


@post("/api/v1/backup", status_code=201, opt={"access": Access.OWNER})
async def backup(request: AnyRequest, data: JSONBody[BackupOrder]) -> dict[str, str]:
    """Write a backup of everything the server holds."""
    context = context_of(request)
    path = await context.call(
        back_up,
        context.control,
        context.storage,
        context.server_folder,
        context.backups,
        data.path,
        person_of(request).actor,
    )
    return {"path": path}


HANDLERS = (alive, ping, ready, metrics, backup)
