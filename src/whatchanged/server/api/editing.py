"""What an editor of queries asks: what could stand at a place, what stands there, and what is wrong."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.params import JSONBody

from whatchanged.kql.editor import MAX_TEXT, Explanation, Suggestion
from whatchanged.kql.errors import KqlError
from whatchanged.server.api.access import Access, AnyRequest
from whatchanged.server.api.context import context_of
from whatchanged.server.api.logs import mistake

__all__ = ["HANDLERS"]


class Edited(msgspec.Struct):
    """A query that is being written, and a place in it, in characters (code points)."""

    query: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    offset: Annotated[int, msgspec.Meta(ge=0)]


class Whole(msgspec.Struct):
    """A query that is being written."""

    query: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


@post("/api/v1/query/completions", status_code=200, opt={"access": Access.READER})
async def completions(request: AnyRequest, data: JSONBody[Edited]) -> dict[str, Any]:
    """Return what could stand at a place, the likeliest first."""
    context = context_of(request)
    found = await context.call(context.questions.complete, data.query, data.offset)
    return {"value": [_suggested(one) for one in found]}


@post("/api/v1/query/explanations", status_code=200, opt={"access": Access.READER})
async def explanations(request: AnyRequest, data: JSONBody[Edited]) -> dict[str, Any]:
    """Return what stands at a place; a list of one, or of none."""
    context = context_of(request)
    found = await context.call(context.questions.explain, data.query, data.offset)
    return {"value": [] if found is None else [_explained(found)]}


@post("/api/v1/query/check", status_code=200, opt={"access": Access.READER})
async def check(request: AnyRequest, data: JSONBody[Whole]) -> dict[str, Any]:
    """Return the parameters that a query declares, and its first mistake; it is not asked."""
    context = context_of(request)
    try:
        parameters = await context.call(context.questions.check, data.query)
    except KqlError as error:
        return {"parameters": [], "mistake": mistake(error, data.query)}
    return {"parameters": [msgspec.to_builtins(one) for one in parameters], "mistake": None}


def _suggested(one: Suggestion) -> dict[str, Any]:
    return {
        "label": one.label,
        "kind": one.kind,
        "detail": one.detail,
        "documentation": one.doc,
        "insertText": one.insert,
        "start": one.span.start,
        "end": one.span.end,
    }


def _explained(one: Explanation) -> dict[str, Any]:
    return {"title": one.title, "documentation": one.doc, "start": one.span.start, "end": one.span.end}


HANDLERS = (completions, explanations, check)
