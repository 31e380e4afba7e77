"""Where the manual prints other names of columns than the query gives, ours are those of the vendor's own binder."""

from __future__ import annotations

import pytest

from conformance.kql.examples import examples
from conformance.kql.vendor import meanings
from whatchanged.kql.compile import compile_query
from whatchanged.kql.types import Schema

pytestmark = pytest.mark.vendor


def test_the_names_are_the_vendors() -> None:
    misnamed = [example for example in examples() if example.mark("name") is not None]
    ours = [tuple(name for name, _ in compile_query(e.query, Schema({})).columns) for e in misnamed]
    theirs = [tuple(name for name, _ in their.columns or ()) for their in meanings([e.query for e in misnamed], {})]
    names = [e.name for e in misnamed]
    assert dict(zip(names, ours, strict=True)) == dict(zip(names, theirs, strict=True))
    assert len(misnamed) > 20
