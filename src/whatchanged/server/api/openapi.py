"""The OpenAPI document of the interfaces, `portal/openapi.json`, from which the portal's types are made.

`python -m whatchanged.server.api.openapi portal/openapi.json` writes it; a test says when it is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig

from whatchanged.server.api.app import HANDLERS

__all__ = ["document", "main"]


def document() -> bytes:
    """Return the document, in JSON that people can compare."""
    config = OpenAPIConfig(title="whatchanged", version="1", use_handler_docstrings=True)
    application = Litestar(HANDLERS, openapi_config=config)
    content: dict[str, Any] = application.openapi_schema.to_schema()
    for item in content["paths"].values():
        for operation in item.values():
            # The framework keeps parameters of the path in a set, whose order is another one in every process.
            if "parameters" in operation:
                operation["parameters"].sort(key=lambda parameter: (parameter["in"], parameter["name"]))
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1) + b"\n"


def main(arguments: Sequence[str]) -> int:
    """Write the document to the file named by the only argument, or to standard output."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m whatchanged.server.api.openapi [FILE]\n")
        return 2
    if not arguments:
        sys.stdout.buffer.write(document())
        return 0
    with open(arguments[0], "wb") as stream:
        stream.write(document())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
