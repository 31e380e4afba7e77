"""The portal: one page under every address that it knows, and the files that it loads."""

from __future__ import annotations

import secrets

from litestar import Response, get
from litestar.params import FromPath

from whatchanged.server.api.access import Access, AnyRequest
from whatchanged.server.api.context import context_of
from whatchanged.server.api.portal import policy
from whatchanged.server.control.refusals import not_found

__all__ = ["ADDRESSES", "HANDLERS"]

ADDRESSES = ("/", "/changes", "/inventory", "/machines", "/rules", "/sign-in")
_SAFE = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_YEAR = 365 * 86_400


@get(list(ADDRESSES), opt={"access": Access.PUBLIC}, include_in_schema=False)
async def page(request: AnyRequest) -> Response[str]:
    """Return the page; it asks who is signed in by itself."""
    portal = context_of(request).portal
    content, allowed = portal.page()
    headers = {**_SAFE, "Content-Security-Policy": allowed, "Cache-Control": "no-store"}
    return Response(content, media_type="text/html", headers=headers, status_code=200 if portal.is_built else 503)


@get("/assets/{name:str}", opt={"access": Access.PUBLIC, "compressed": True}, include_in_schema=False)
async def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """Return a file of the portal."""
    found = context_of(request).portal.assets.get(name)
    if found is None:
        raise not_found("Asset", name)
    headers = {
        **_SAFE,
        # Workers take their policy from here; a nonce that nobody knows allows nothing.
        "Content-Security-Policy": policy(secrets.token_urlsafe(16)),
        "Cache-Control": f"public, max-age={_YEAR}, immutable",
        "Vary": "Accept-Encoding",
    }
    if found.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.zipped, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.plain, media_type=found.media_type, headers=headers)


HANDLERS = (page, asset)
