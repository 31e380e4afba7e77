"""Plans to ClickHouse SQL: one SELECT per step that needs one, only the columns that somebody wants."""

from whatchanged.kql.sql.render import Statement, TooLarge, render

__all__ = ["Statement", "TooLarge", "render"]
