"""Our parser and the vendor's say the same of thousands of texts: a query, or none; where they differ, by intent."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from conformance.kql.corpus import mutations, queries
from conformance.kql.vendor import syntax_problems
from whatchanged.kql.errors import KqlSyntaxError, KqlUnsupported
from whatchanged.kql.syntax import parse

pytestmark = pytest.mark.vendor

LEAST_AGREEMENT = 0.99

STRICTER = {
    "expected a query": "a text without any query; the vendor leaves it to the binder",
    "expected new name = column": "project-rename without a new name; the vendor leaves it to the binder",
    "'{': expected": "a client's placeholder, which the vendor's editor knows",
    "'@': expected": "the vendor's sign for the entity at hand",
    "expected a name in quotes": "an index without anything before it",
    "expected a table before the first operator": "an operator without rows; the vendor leaves it to the binder",
    "expected a date": "what is in datetime(…); the vendor takes anything there",
    "expected a duration": "what is in timespan(…)",
    "is larger than a long": "numbers out of range",
    "')': expected a type": "typeof() of nothing",
    "expected a string": "a placeholder in dynamic({…})",
    "'hint.": "an unknown hint; the vendor takes it for a member of a column called hint",
}
"""Part of our message → why we refuse what the vendor's parser takes."""

LAXER = {
    "materialize": "materialize(…) anywhere; the vendor has it only behind let … =",
    "boolean(": "boolean(…) as a literal",
    "declare pattern": "patterns, of which we look at the brackets only, in order to refuse them",
    "bin=": "a group called bin; to the vendor it is an older clause",
}
"""Part of the text → why we take what the vendor's parser refuses."""


def our_problem(text: str) -> str | None:
    """Return what we say of a text: nothing for a query; None when it is refused before it is read to its end."""
    try:
        parse(text)
    except KqlSyntaxError as error:
        return error.message
    except KqlUnsupported:
        return None
    return ""


def intended(text: str, ours: str) -> bool:
    """Tell whether a difference is one that we want."""
    if "expected an operator" in ours:
        return re.search(r"\bfork\b", text) is not None  # a branch that is a table; the vendor leaves it to the binder
    return any(part in ours for part in STRICTER) if ours else any(part in text for part in LAXER)


@pytest.mark.parametrize("each", [0, 8], ids=["as they are", "mutated"])
def test_parsers_agree(each: int, record_property: Callable[[str, object], None]) -> None:
    texts = mutations(queries(), each) if each else queries()
    assert len(texts) > (2000 if each else 300)
    pairs = list(zip(texts, map(our_problem, texts), syntax_problems(texts), strict=True))
    differences = [
        (text, ours, theirs) for text, ours, theirs in pairs if ours is not None and bool(ours) != bool(theirs)
    ]
    unexplained = [difference for difference in differences if not intended(difference[0], difference[1])]
    assert unexplained == []
    agreement = 1 - len(differences) / len(texts)
    record_property("agreement", f"{agreement:.2%} of {len(texts)} texts")
    assert agreement >= LEAST_AGREEMENT
