"""The queries that everybody has: `builtin.toml`. Nobody changes them."""

from __future__ import annotations

import hashlib
import importlib.resources
import tomllib
from typing import Any

import msgspec

from whatchanged.server.query.check import declared_by

__all__ = ["BUILT_IN", "BuiltIn"]


class BuiltIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query that comes with the server."""

    name: str
    category: str
    description: str
    query: str
    tags: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Return it as a saved query is described."""
        return {
            **msgspec.to_builtins(self),
            "parameters": [msgspec.to_builtins(parameter) for parameter in declared_by(self.query)],
            "builtIn": True,
            "etag": hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32],
            "createdAt": None,
            "createdBy": None,
            "updatedAt": None,
            "updatedBy": None,
        }


def _load() -> dict[str, BuiltIn]:
    text = importlib.resources.files(__package__).joinpath("builtin.toml").read_text(encoding="utf-8")
    found = msgspec.convert(tomllib.loads(text)["queries"], list[BuiltIn])
    return {one.name.lower(): one for one in found}


BUILT_IN = _load()
"""By their names in lower case, in order."""
