"""The outermost layer: request ids, safe headers and counting, also where no handler is reached."""

from __future__ import annotations

import re
import time
import uuid

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Message, Receive, Scope, Send

from whatchanged.server.api.metrics import Metrics

__all__ = ["Envelope"]

_CLIENT_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Envelope:
    """An ASGI application around `litestar`."""

    def __init__(self, litestar: Litestar, metrics: Metrics) -> None:
        self.litestar = litestar
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self.litestar(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        added = [
            (b"x-ms-request-id", str(uuid.uuid4()).encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        client_id = next((v for k, v in scope["headers"] if k.lower() == b"x-ms-client-request-id"), b"")
        if _CLIENT_ID.fullmatch(client_id):
            added.append((b"x-ms-client-request-id", client_id))
        started, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message["headers"])
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = [*headers, *added]
            await send(message)

        try:
            await self.litestar(scope, receive, sending)
        finally:
            route = str(scope.get("path_template") or "unknown")
            self._metrics.request(route, method, status, time.perf_counter() - started)
