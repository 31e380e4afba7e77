"""Every function and operator stands in a case whose rows come from the manual: an example of its, or a statement."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

import pytest

from conformance.kql.examples import Engine, Example, Outcome, examples, run
from conformance.kql.statements import ALIASES, REFUSED, STATEMENTS, Statement
from whatchanged.kql.binder.operators import OPERATORS
from whatchanged.kql.binder.operators.plugins import PLUGINS
from whatchanged.kql.compile import compile_query
from whatchanged.kql.functions import AGGREGATES, COLUMNS, SCALARS, WINDOWS
from whatchanged.kql.functions.operators import STRING_OPERATORS
from whatchanged.kql.syntax import parse, tree
from whatchanged.kql.types import Schema

pytestmark = pytest.mark.timeout(1200)  # one of the examples joins five million rows

FUNCTIONS = {*SCALARS, *AGGREGATES, *WINDOWS, *COLUMNS, *PLUGINS}
TABULAR = {operator.__name__ for operator in OPERATORS}
WANTED = FUNCTIONS | TABULAR | STRING_OPERATORS


def words(part: object) -> Iterator[str]:
    """Yield the functions and operators of a query."""
    match part:
        case tree.Call():
            yield part.name
        case tree.Binary():
            yield part.operator
        case tree.Operator():
            yield type(part).__name__
        case _:
            pass
    if dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from words(getattr(part, field.name))
    elif isinstance(part, tuple):
        for item in part:
            yield from words(item)


@pytest.fixture(scope="module")
def right(outcomes: Mapping[str, Outcome]) -> list[Example]:
    return [example for example in examples() if outcomes[example.name].verdict == "right"]


def test_nothing_is_without_a_case(right: list[Example]) -> None:
    texts = [*(example.query for example in right), *(statement.query for statement in STATEMENTS)]
    found = {word for text in texts for word in words(parse(text))}
    assert sorted(WANTED - found - ALIASES.keys() - REFUSED.keys()) == []


def test_no_statement_is_idle(right: list[Example]) -> None:
    found = {word for example in right for word in words(parse(example.query))}
    assert sorted(found & REFUSED.keys()) == []
    assert [s.page for s in STATEMENTS if set(words(parse(s.query))) & WANTED <= found] == []


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.page)
def test_what_the_manual_states(engine: Engine, statement: Statement) -> None:
    compiled = compile_query(statement.query, Schema({}), ask=engine.ask)
    header = tuple(name for name, _ in compiled.columns)
    cells = tuple(tuple(_cell(value) for value in row) for row in statement.rows)
    outcome = run(Example(statement.page, "", statement.query, header, cells, ()), engine)
    assert outcome == Outcome("right", "", header), statement.says


def _cell(value: object) -> str:
    return "null" if value is None else str(value)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_older_name_is_the_same_function(engine: Engine, right: list[Example], alias: str) -> None:
    call = re.compile(rf"\b{ALIASES[alias]}(?=\()")
    texts = [example.query for example in right if call.search(example.query)]
    texts += [statement.query for statement in STATEMENTS if call.search(statement.query)]
    for text in texts[:3]:
        older, newer = (compile_query(t, Schema({}), now=0, ask=engine.ask) for t in (call.sub(alias, text), text))
        assert engine.rows(older) == engine.rows(newer), text
    assert texts
