"""The ASGI application: every handler, one guard before all of them, one shape for every error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from whatchanged.errors import OperationError
from whatchanged.server.api import (
    agents,
    arriving,
    editing,
    fleet,
    ingestion,
    logs,
    operations,
    pages,
    reading,
    rules,
    saved,
    signing_in,
)
from whatchanged.server.api.access import authorize
from whatchanged.server.api.context import Context
from whatchanged.server.api.envelope import Envelope
from whatchanged.server.api.failures import on_any, on_http, on_nesting, on_ours

__all__ = ["HANDLERS", "create"]

HANDLERS = (
    *agents.HANDLERS,
    *ingestion.HANDLERS,
    *signing_in.HANDLERS,
    *fleet.HANDLERS,
    *rules.HANDLERS,
    *reading.HANDLERS,
    *arriving.HANDLERS,
    *logs.HANDLERS,
    *saved.HANDLERS,
    *editing.HANDLERS,
    *operations.HANDLERS,
    *pages.HANDLERS,
)

_LARGEST_BODY = 2 << 20
_Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create(context: Context, *lifespan: _Lifespan) -> Envelope:
    """Return the application around the rooms in `context`; `lifespan` runs while it serves."""

    @asynccontextmanager
    async def waiting(_app: Litestar) -> AsyncIterator[None]:
        context.waiting.open()
        context.arrivals.open()
        context.control.on_change(context.waiting.wake)
        context.ingestor.on_stored(context.arrivals.arrived)
        yield
        context.arrivals.close()
        context.waiting.close()

    litestar = Litestar(
        route_handlers=HANDLERS,
        guards=[authorize],
        exception_handlers={
            OperationError: on_ours,
            HTTPException: on_http,
            RecursionError: on_nesting,
            Exception: on_any,
        },
        state=State({"context": context}),
        lifespan=[waiting, *lifespan],
        request_max_body_size=_LARGEST_BODY,
        compression_config=CompressionConfig(
            backend="gzip", gzip_compress_level=6, minimum_size=1024, exclude_opt_key="compressed"
        ),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    return Envelope(litestar, context.metrics)
