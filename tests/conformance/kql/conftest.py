"""What all tests of the query language share."""

from __future__ import annotations

import pytest

from conformance.kql.examples import Engine, Outcome, examples, run
from whatchanged.server.storage import Storage


@pytest.fixture(scope="session")
def engine(storage: Storage) -> Engine:
    """The embedded engine, as questions have it: a process can have but one."""
    return Engine(lambda sql, parameters: storage.ask(sql, parameters, "0"))


@pytest.fixture(scope="session")
def outcomes(engine: Engine) -> dict[str, Outcome]:
    """What came of each of the manual's examples."""
    return {example.name: run(example, engine) for example in examples()}
