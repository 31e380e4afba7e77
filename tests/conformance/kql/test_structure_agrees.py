"""Our parser groups operands as the vendor's does: precedence, and what does not chain."""

from __future__ import annotations

import random
import re

import pytest

from conformance.kql.vendor import structures
from unit.kql.syntax.outline import outline
from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax import parse, tree

pytestmark = pytest.mark.vendor

INFIX = [
    "or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "=~", "!~", "has", "!has", "contains",
    "startswith", "!endswith_cs", "matches regex", ":", "in (a, b + 1)", "!in~ (c)", "has_any (a)", "has_all (a or b)",
    "between (a .. b + c)", "!between (a < b .. 3)",
]  # fmt: skip
OPERANDS = [
    "a",
    "b",
    "-c",
    "+d",
    "f(a, b + c)",
    "(a or b)",
    "(a + b)",
    "a.b",
    "a[b + 1]",
    "-a.b[0]",
    "g()",
    "5",
    "* has b",
]


def random_expression(choice: random.Random) -> str:
    """Return operands with operators between them, right or not."""
    parts = [choice.choice(OPERANDS)]
    for _ in range(choice.randint(1, 5)):
        infix = choice.choice(INFIX)
        parts += [infix] if infix.endswith(")") else [infix, choice.choice(OPERANDS)]
    return " ".join(parts)


def our_structure(text: str) -> str | None:
    """Return the grouping of an expression; None if it is none, or has a chain that we balance."""
    if text.count("and") > 2 or text.count("or") > 2:
        return None
    try:
        (answer,) = parse(f"print {text}").answers
    except KqlSyntaxError:
        return None
    assert isinstance(answer, tree.Pipeline)
    assert isinstance(answer.source, tree.Print)
    return outline(answer.source.columns[0])


def test_structures_agree() -> None:
    choice = random.Random(0)
    texts = [random_expression(choice) for _ in range(6000)]
    ours = {text: structure for text in texts if (structure := our_structure(text)) is not None}
    assert len(ours) > 1000
    theirs = structures([f"print {text}" for text in ours])
    for (text, structure), their in zip(ours.items(), theirs, strict=True):
        assert re.sub(r"\s", "", f"print{structure}") == re.sub(r"\s", "", their), text
