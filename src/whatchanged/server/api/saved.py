"""The interface of people for saved queries, those that are built in among them."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, JSONBody

from whatchanged.errors import RecordError
from whatchanged.kql.errors import KqlError
from whatchanged.server.api.access import Access, AnyRequest, person_of
from whatchanged.server.api.conditions import condition_of
from whatchanged.server.api.context import Context, context_of
from whatchanged.server.api.failures import failure
from whatchanged.server.api.logs import Asked, answered, wrong
from whatchanged.server.control import QueryContent
from whatchanged.server.control.refusals import conflict, not_found
from whatchanged.server.query import BUILT_IN, Parameter, check_given

__all__ = ["HANDLERS"]

Row = dict[str, Any]


class Given(msgspec.Struct):
    """With what a saved query is asked."""

    parameters: dict[str, str] = {}
    timespan: str | None = None


@get("/api/v1/queries", opt={"access": Access.READER})
async def list_queries(request: AnyRequest) -> Row:
    """Return every saved query, by name."""
    context = context_of(request)
    saved = await context.call(context.control.queries.list_all)
    names = {row["name"].lower() for row in saved}
    built_in = [one.described() for key, one in BUILT_IN.items() if key not in names]
    return {"value": sorted([*saved, *built_in], key=lambda row: row["name"].lower())}


@get("/api/v1/queries/{name:str}", opt={"access": Access.READER})
async def get_query(request: AnyRequest, name: FromPath[str]) -> Response[Row]:
    """Return one saved query."""
    row = await _found(context_of(request), name)
    return Response(row, headers={"ETag": f'"{row["etag"]}"'})


@put("/api/v1/queries/{name:str}", opt={"access": Access.CONTRIBUTOR_ALL})
async def put_query(request: AnyRequest, name: FromPath[str], data: JSONBody[QueryContent]) -> Response[Row]:
    """Create or replace a saved query; one that does not compile is refused, with the place of the mistake."""
    context = context_of(request)
    try:
        parameters = await context.call(context.questions.check, data.query)
    except KqlError as error:
        return wrong(error, data.query)
    row, created = await context.call(
        context.control.queries.put,
        person_of(request),
        name,
        data,
        [msgspec.to_builtins(parameter) for parameter in parameters],
        condition_of(request),
        reserved=name.lower() in BUILT_IN,
    )
    return Response(row, status_code=201 if created else 200, headers={"ETag": f'"{row["etag"]}"'})


@delete("/api/v1/queries/{name:str}", status_code=204, opt={"access": Access.CONTRIBUTOR_ALL})
async def remove_query(request: AnyRequest, name: FromPath[str]) -> None:
    """Remove a saved query."""
    context = context_of(request)
    saved = await context.call(context.control.queries.find, name)
    if saved is None and name.lower() in BUILT_IN:
        raise conflict("the query is built in and stays", name)
    await context.call(context.control.queries.remove, person_of(request), name, condition_of(request))


@post("/api/v1/queries/{name:str}/results", status_code=200, opt={"access": Access.READER})
async def ask_query(request: AnyRequest, name: FromPath[str], data: JSONBody[Given]) -> Response[Row]:
    """Answer a saved query as a question is answered, over what the caller may see."""
    row = await _found(context_of(request), name)
    try:
        check_given(msgspec.convert(row["parameters"], list[Parameter]), data.parameters)
    except RecordError as error:
        return failure(400, "BadArgumentError", error.message)
    response, _ = await answered(request, Asked(row["query"], data.timespan, parameters=data.parameters))
    return response


async def _found(context: Context, name: str) -> Row:
    saved = await context.call(context.control.queries.find, name)
    if saved is not None:  # it may be older than one that is built in now
        return saved
    if name.lower() not in BUILT_IN:
        raise not_found("Query", name)
    return BUILT_IN[name.lower()].described()


HANDLERS = (list_queries, get_query, put_query, remove_query, ask_query)
