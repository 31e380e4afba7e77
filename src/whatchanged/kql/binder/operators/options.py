"""The `key = value` words of operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from whatchanged.kql.binder.scope import nearest
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.syntax import tree

__all__ = ["flag_option", "option", "text_option", "word_option"]

T = TypeVar("T")


def option(operator: tree.Operator, key: str) -> tree.Expression | None:
    """Return what is written behind a key."""
    return next((o.value for o in operator.options if o.names[0].name == key), None)


def text_option(operator: tree.Operator, key: str) -> str:
    """Return the word or the text behind a key; empty: it is not written."""
    value = option(operator, key)
    if isinstance(value, tree.Name):
        return value.name
    return "" if value is None else str(getattr(value, "value", ""))


def flag_option(operator: tree.Operator, key: str) -> bool:
    """Whether a key is said to be true."""
    return text_option(operator, key).lower() in ("true", "1")


def word_option(operator: tree.Operator, key: str, words: Mapping[str, T], default: str) -> T:
    """Return what the word behind a key stands for."""
    word = text_option(operator, key) or default
    if word not in words:
        value = option(operator, key)
        raise KqlSemanticError(
            f"{key} is one of {', '.join(words)}",
            value.span if value is not None else operator.span,
            suggestion=nearest(word, words),
        )
    return words[word]
