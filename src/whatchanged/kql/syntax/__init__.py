"""Text to tokens to tree: what is written, not yet what it means."""

from whatchanged.kql.syntax.statements import parse

__all__ = ["parse"]
