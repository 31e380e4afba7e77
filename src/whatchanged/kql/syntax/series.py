"""Operators with clauses of their own: make-series, mv-expand, top-nested, top-hitters; and what they share."""

from __future__ import annotations

from whatchanged.kql.syntax.sources import Sources
from whatchanged.kql.syntax.tree import (
    Expression,
    MakeSeries,
    MvColumn,
    MvExpand,
    SortKey,
    TopHitters,
    TopNested,
    TopNestedLevel,
)

__all__ = ["Series"]

_ORDERS = frozenset(["asc", "desc", "granny-asc", "granny-desc"])


class Series(Sources):
    """Parses operators with many clauses. Each method begins at the operator's name."""

    def order(self) -> str | None:
        """Return `asc` or `desc`, if it stands here."""
        return self.advance().text if self.kind in _ORDERS else None

    def sort_key(self) -> SortKey:
        """Return `expression [asc|desc] [nulls first|last]`."""
        start = self.token.start
        expression = self.named_expression()
        order = self.order()
        nulls = None
        if self.accept("nulls"):
            if self.kind not in ("first", "last"):
                self.fail("first or last")
            nulls = self.advance().text
        return SortKey(self.since(start), expression, order, nulls)  # type: ignore[arg-type]

    # make-series

    def make_series(self) -> MakeSeries:
        """Return `make-series aggregates on axis from … to … step … by groups`, or the older `in range(…)`."""
        start = self.advance().start
        options = self.options()
        aggregates = self.comma_list(self._series_aggregate)
        self.expect("on")
        axis = self.named_expression()
        in_range = self.kind == "in"
        first, last, step = self._in_range() if in_range else self._from_to_step()
        groups = self.comma_list(self.named_expression) if self.accept("by") else ()
        return MakeSeries(self.since(start), aggregates, axis, first, last, step, groups, in_range, options=options)

    def _series_aggregate(self) -> tuple[Expression, Expression | None]:
        aggregate = self.named_expression()
        if not self.accept("default"):
            return aggregate, None
        self.expect("=")
        return aggregate, self.named_expression()

    def _in_range(self) -> tuple[Expression, Expression, Expression]:
        self.advance()
        self.expect("range")
        self.expect("(")
        first = self.named_expression()
        self.expect(",")
        last = self.named_expression()
        self.expect(",")
        step = self.named_expression()
        self.expect(")")
        return first, last, step

    def _from_to_step(self) -> tuple[Expression | None, Expression | None, Expression]:
        first = self.expression() if self.accept("from") else None
        last = self.expression() if self.accept("to") else None
        self.expect("step", "step" if first or last else "from, to or step")
        return first, last, self.expression()

    # mv-expand

    def mv_expand(self) -> MvExpand:
        """Return `mv-expand columns limit count`."""
        start = self.advance().start
        options = self.options()
        columns = self.comma_list(self.mv_column)
        limit = self.expression() if self.accept("limit") else None
        return MvExpand(self.since(start), columns, limit, options=options)

    def mv_column(self) -> MvColumn:
        """Return `[name =] expression [to typeof(type)]`."""
        start = self.token.start
        expression = self.named_expression()
        if not self.accept("to"):
            return MvColumn(self.since(start), expression)
        self.expect("typeof", "typeof(…)")
        self.expect("(")
        type_name = self.type_name()
        self.expect(")")
        return MvColumn(self.since(start), expression, type_name)

    # top-nested, top-hitters

    def top_nested(self) -> TopNested:
        """Return `top-nested … of … by …, top-nested …`."""
        start = self.token.start
        levels = self.comma_list(self._level)
        return TopNested(self.since(start), levels)

    def _level(self) -> TopNestedLevel:
        start = self.expect("top-nested").start
        count = None if self.kind == "of" else self.named_expression()
        self.expect("of")
        column = self.named_expression()
        others = None
        if self.accept("with"):
            self.expect("others")
            self.expect("=")
            others = self.expression()
        self.expect("by")
        key = self.sort_key()
        return TopNestedLevel(self.since(start), count, column, others, key.expression, key.order)

    def top_hitters(self) -> TopHitters:
        """Return `top-hitters count of column by expression`."""
        start = self.advance().start
        count = self.named_expression()
        self.expect("of")
        column = self.named_expression()
        by = self.named_expression() if self.accept("by") else None
        return TopHitters(self.since(start), count, column, by)
