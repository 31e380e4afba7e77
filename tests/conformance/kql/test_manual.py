"""The manual's examples on the engine: right, refused with a reason, or a difference that is explained beside it."""

from __future__ import annotations

from collections import Counter

import pytest

from conformance.kql.examples import Outcome, examples

pytestmark = pytest.mark.timeout(1200)  # one of the examples joins five million rows

LEAST_RIGHT = 691
"""Examples that are right; only ever raised."""
MOST_DIFFERENT = 15


def test_nothing_differs_without_a_reason(outcomes: dict[str, Outcome]) -> None:
    explained = {example.name for example in examples() if any(mark.explains for mark in example.marks)}
    differing = {name: outcome.detail for name, outcome in outcomes.items() if outcome.verdict == "different"}
    assert {name: detail for name, detail in differing.items() if name not in explained} == {}
    assert len(differing) <= MOST_DIFFERENT, list(differing)


def test_no_reason_is_idle(outcomes: dict[str, Outcome]) -> None:
    assert {name: outcome.needless for name, outcome in outcomes.items() if outcome.needless} == {}


def test_the_engine_runs_whatever_was_compiled(outcomes: dict[str, Outcome]) -> None:
    assert {name: outcome.detail for name, outcome in outcomes.items() if outcome.verdict == "failed"} == {}


def test_most_are_right(outcomes: dict[str, Outcome]) -> None:
    found = Counter(outcome.verdict for outcome in outcomes.values())
    assert len(outcomes) > 700
    assert found["right"] >= LEAST_RIGHT, found
