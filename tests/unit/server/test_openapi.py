"""The OpenAPI document that the portal's types are made from."""

from __future__ import annotations

from pathlib import Path

from whatchanged.server.api.openapi import document


def test_the_document_in_the_tree_is_current() -> None:
    kept = Path(__file__).parents[3] / "portal/openapi.json"
    assert kept.read_bytes() == document(), "python -m whatchanged.server.api.openapi portal/openapi.json"
