"""The Logs Query interface, as Azure's client libraries speak it.

A workspace, or a resource, is asked in KQL; the answer is `{"tables": [{"name", "columns", "rows"}]}`, with statistics
and the hints of `render` where the `Prefer` header asks for them. Errors of a query are `BadArgumentError` with the
place of the mistake; an answer that was cut is 200 with an `error` of code `PartialError`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from whatchanged.errors import LimitExceeded, OperationError, RecordError
from whatchanged.kql.editor import built_in_functions
from whatchanged.kql.errors import KqlError
from whatchanged.records.kql_schema import kql_schema
from whatchanged.records.times import now_ns
from whatchanged.server.api.access import Access, AnyRequest, person_of, visible_machines
from whatchanged.server.api.context import Context, context_of
from whatchanged.server.api.failures import failure, on_ours
from whatchanged.server.api.shapes import Tables, answers
from whatchanged.server.control.refusals import Refusal
from whatchanged.server.query import MOST_BYTES, Answer, Busy, Timeout, View, window

__all__ = ["HANDLERS", "Asked", "answered", "mistake", "wrong"]

_MOST_BYTES = 1 << 20
_MOST_REQUESTS = 100
"""Requests of one batch; upstream's limit."""
_WAIT = 180.0
"""Seconds that a question may take unless its asker says otherwise; upstream's limit."""
_PREFER = re.compile(r"\s*([\w-]+)\s*(?:=\s*(\w+))?\s*", re.ASCII)
_WHOLE = msgspec.json.Decoder(dict[str, Any])
_RESOURCE = re.compile(r"/?(subscriptions/[^?]*?)/query/?\Z", re.IGNORECASE)


class Asked(msgspec.Struct):
    """The body of a question."""

    query: str
    timespan: str | None = None
    workspaces: list[str] | None = None
    parameters: dict[str, str] | None = None


class Batched(msgspec.Struct):
    """One request of a batch."""

    id: str
    body: Asked
    headers: dict[str, Any] | None = None
    workspace: str = ""
    path: str = "/query"
    method: str = "POST"
    resource: str = ""


class Batch(msgspec.Struct):
    """The body of a batch."""

    requests: list[Batched]


_read_asked = msgspec.json.Decoder(Asked).decode
_read_batch = msgspec.json.Decoder(Batch).decode


@get("/api/v1/workspace", opt={"access": Access.READER})
async def workspace_facts(request: AnyRequest) -> dict[str, Any]:
    """Return what a client of this interface needs to know: the workspace's id, its tables and functions."""
    context = context_of(request)
    return {
        "workspaceId": context.control.workspace_id,
        "endpoint": context.public_url,
        "tables": kql_schema(),
        "functions": [msgspec.to_builtins(one) for one in context.questions.functions()],
        "builtInFunctions": built_in_functions(),
    }


@post(
    ["/v1/workspaces/{workspace:str}/query", "/workspaces/{workspace:str}/query"],
    status_code=200,
    request_max_body_size=_MOST_BYTES,
    opt={"access": Access.READER},
    responses=answers(Tables),
)
async def ask_workspace(request: AnyRequest, workspace: FromPath[str]) -> Response[dict[str, Any]]:
    """Answer a question about a workspace."""
    response, _ = await answered(request, _read(_read_asked, await request.body()), workspace=workspace)
    return response


@get(["/v1/workspaces/{workspace:str}/query", "/workspaces/{workspace:str}/query"], opt={"access": Access.READER})
async def get_workspace(
    request: AnyRequest,
    workspace: FromPath[str],
    text: Annotated[str, QueryParameter(name="query")],  # `query` is the framework's name for all of them
    timespan: FromQuery[str | None] = None,
) -> Response[dict[str, Any]]:
    """Answer a question that stands in the address."""
    response, _ = await answered(request, Asked(text, timespan), workspace=workspace)
    return response


@post(
    "/v1/subscriptions/{rest:path}",
    status_code=200,
    request_max_body_size=_MOST_BYTES,
    opt={"access": Access.READER},
)
async def ask_resource(request: AnyRequest, rest: FromPath[str]) -> Response[dict[str, Any]]:
    """Answer a question about a resource: a machine, a group, a subscription."""
    response, _ = await answered(request, _read(_read_asked, await request.body()), resource=_resource(rest))
    return response


@post(["/v1/$batch", "/$batch"], status_code=200, request_max_body_size=_MOST_BYTES, opt={"access": Access.READER})
async def ask_batch(request: AnyRequest) -> Response[dict[str, Any]]:
    """Answer several questions; every id gets its answer."""
    asked = _read(_read_batch, await request.body())
    if len(asked.requests) > _MOST_REQUESTS:
        raise Refusal(400, "BadArgumentError", f"a batch has at most {_MOST_REQUESTS} requests")
    responses, room = [], MOST_BYTES
    for part in asked.requests:
        response, size = await _one_of_batch(request, part, room)
        responses.append(response)
        room -= size
    return Response({"responses": responses}, media_type="application/json")


async def _one_of_batch(request: AnyRequest, part: Batched, room: int) -> tuple[dict[str, Any], int]:
    """Answer one request of a batch, whose answers together are as large as one may be; return its size, too."""
    headers = {str(name).lower(): str(value) for name, value in (part.headers or {}).items()}
    try:
        response, size = await answered(
            request,
            part.body,
            workspace=part.workspace,
            resource=part.resource,
            prefer=headers.get("prefer", ""),
            room=room,
        )
    except OperationError as error:
        response, size = on_ours(request, error), 0
    return {
        "id": part.id,
        "status": response.status_code or 200,
        "headers": {"Content-Type": "application/json", **response.headers},
        "body": response.content,
    }, size


def _read(decode: Any, body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordError(f"the body is no question: {error}") from error


def _resource(rest: str) -> str:
    match = _RESOURCE.match(f"subscriptions/{rest.lstrip('/')}")
    if match is None:
        raise Refusal(404, "PathNotFoundError", "a resource is asked at <resource id>/query")
    return f"/{match.group(1)}"


async def answered(
    request: AnyRequest,
    asked: Asked,
    *,
    workspace: str = "",
    resource: str = "",
    prefer: str | None = None,
    room: int = MOST_BYTES,
) -> tuple[Response[dict[str, Any]], int]:
    """Return the answer, of at most `room` bytes of rows, and their number."""
    context = context_of(request)
    wishes = _wishes(request.headers.get("prefer", "") if prefer is None else prefer)
    _check_workspaces(context, [workspace, *(asked.workspaces or ())])
    view = View(
        machines=await visible_machines(request),
        resource=resource,
        window=window(asked.timespan, now_ns()) if asked.timespan else None,
    )
    wait = float(wishes["wait"]) if wishes.get("wait", "").isdecimal() else _WAIT
    asking = context.questions.ask(
        asked.query,
        view,
        asker=person_of(request).actor,
        wait=wait,
        most_bytes=room,
        parameters=asked.parameters,
    )
    try:
        answer = await _unless_gone(request, asking)
    except KqlError as error:
        return wrong(error, asked.query), 0
    except Busy as error:
        return failure(429, "ThrottledError", error.message, headers={"Retry-After": str(error.seconds)}), 0
    except Timeout as error:
        return failure(504, "GatewayTimeout", f"{error.message}: {error.hint}"), 0
    except (LimitExceeded, RecordError) as error:
        message = f"{error.message}: {error.hint}" if error.hint else error.message
        return failure(400, "BadArgumentError", message), 0
    return Response(_shown(answer, wishes), media_type="application/json"), answer.size


async def _unless_gone(request: Request[Any, Any, Any], question: Coroutine[Any, Any, Answer]) -> Answer:
    """Answer, or end the question when its asker goes away."""
    asking = asyncio.ensure_future(question)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((asking, gone), return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            await asyncio.wait({asking})
            raise Refusal(499, "ClientClosedRequest", "the asker went away")  # for the metrics: nobody reads it
        return await asking
    finally:
        gone.cancel()


async def _gone(request: Request[Any, Any, Any]) -> None:
    """Return when the connection is closed."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check_workspaces(context: Context, named: list[str]) -> None:
    own = context.control.workspace_id.lower()
    for name in named:
        short = name.lower().rstrip("/").rpartition("/")[2]
        if short and short not in (own, "default"):
            raise Refusal(404, "WorkspaceNotFoundError", f"there is no workspace {name}; this server's is {own}")


def _wishes(prefer: str) -> dict[str, str]:
    """Return what a Prefer header asks for (RFC 7240)."""
    found = {}
    for part in re.split("[,;]", prefer):
        match = _PREFER.fullmatch(part)
        if match:
            found[match.group(1).lower()] = (match.group(2) or "true").lower()
    return found


def wrong(error: KqlError, query: str) -> Response[dict[str, Any]]:
    """Return the answer for a query that is none, with the place of the mistake."""
    response = failure(400, "BadArgumentError", "The request had some invalid properties")
    content: dict[str, Any] = response.content
    content["error"]["innererror"] = mistake(error, query)
    return response


def mistake(error: KqlError, query: str) -> dict[str, Any]:
    """Return what is wrong with a query, and where: `message` is all of it for people, `reason` the sentence alone."""
    line, column = error.position(query)
    return {
        "code": error.code,
        "message": error.explain(query),
        "reason": error.message,
        "suggestion": error.suggestion,
        "line": line,
        "pos": column - 1,
        "start": error.span.start,
        "end": error.span.end,
    }


def _shown(answer: Answer, wishes: dict[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tables": [
            {
                "name": "PrimaryResult",
                "columns": [{"name": name, "type": type_.value} for name, type_ in answer.columns],
                "rows": answer.rows,
            }
        ]
    }
    if wishes.get("include-statistics") == "true":
        shown["statistics"] = {
            "query": {"executionTime": answer.seconds, "datasetStatistics": [{"tableRowCount": len(answer.rows)}]}
        }
    if wishes.get("include-render") == "true":
        shown["render"] = {"visualization": answer.chart or None, **answer.properties}
    if answer.cut:
        shown["error"] = {
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [{"code": "EngineError", "message": answer.cut}],
        }
    return shown


HANDLERS = (workspace_facts, ask_workspace, get_workspace, ask_resource, ask_batch)
