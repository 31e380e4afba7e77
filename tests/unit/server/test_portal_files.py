"""How the portal's files are answered."""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from whatchanged.server.api.app import create
from whatchanged.server.api.context import Context
from whatchanged.server.api.pages import ADDRESSES
from whatchanged.server.api.portal import Portal

SCRIPT = b"export const answer = 42;" * 100


@pytest.fixture
def built(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text('<script nonce="__NONCE__"></script><meta nonce="__NONCE__">')
    (tmp_path / "assets/a-1.js").write_bytes(SCRIPT)
    (tmp_path / "assets/a-1.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "assets/b-1.css").write_bytes(b"x" * 2000)
    monkeypatch.setattr(context, "portal", Portal(str(tmp_path)))
    return context


def get(context: Context, path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        app: Any = create(context)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_address_is_the_page_with_a_nonce_of_its_own(built: Context, path: str) -> None:
    first, second = get(built, path), get(built, path)
    nonces = set(re.findall(r'nonce="([^"]*)"', first.text))
    (nonce,) = nonces
    assert len(nonce) >= 20
    assert nonce not in second.text
    assert first.status_code == 200
    assert first.headers["content-type"].startswith("text/html")
    assert first.headers["cache-control"] == "no-store"
    assert_strict(first.headers["content-security-policy"], nonce)
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["referrer-policy"] == "no-referrer"


def assert_strict(policy: str, nonce: str) -> None:
    """Nothing more than the page needs, directive by directive."""
    assert dict(one.strip().split(" ", 1) for one in policy.split(";")) == {
        "default-src": "'none'",
        "script-src": f"'self' 'nonce-{nonce}'",
        "worker-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "style-src-elem": f"'self' 'nonce-{nonce}'",
        "style-src-attr": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }


def test_every_file_has_a_policy_whose_nonce_nobody_knows(built: Context) -> None:
    nonces = set()
    assert set(built.portal.assets) == {"a-1.js", "b-1.css"}
    for name in built.portal.assets:
        for _ in range(2):
            policy = get(built, f"/assets/{name}").headers["content-security-policy"]
            [nonce] = set(re.findall("nonce-([^']*)'", policy))
            assert_strict(policy, nonce)
            nonces.add(nonce)
    assert len(nonces) == 4


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_file_is_kept_for_good(built: Context, encoding: str) -> None:
    answer = get(built, "/assets/a-1.js", **{"accept-encoding": encoding})
    assert answer.content == SCRIPT
    assert answer.headers.get("content-encoding", "identity") == encoding
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "javascript" in answer.headers["content-type"]
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "name", ["a-1.js.gz", "..%2Findex.html", "%2e%2e/index.html", "/etc/passwd", "nothing.js", "a%00"]
)
def test_other_files_are_not_there(built: Context, name: str) -> None:
    assert get(built, f"/assets/{name}").status_code == 404


def test_what_has_no_twin_is_sent_as_it_is(built: Context) -> None:
    answer = get(built, "/assets/b-1.css", **{"accept-encoding": "gzip"})
    assert answer.content == b"x" * 2000
    assert "content-encoding" not in answer.headers


def test_a_server_without_the_page_says_how_to_build_it(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "portal", Portal(str(tmp_path / "missing")))
    answer = get(context, "/")
    assert answer.status_code == 503
    assert "packaging/build-portal" in answer.text
    assert get(context, "/assets/a-1.js").status_code == 404
