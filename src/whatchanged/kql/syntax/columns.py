"""Operators on the rows and columns of one table, which have no other pipeline in them."""

from __future__ import annotations

from whatchanged.kql.syntax.cursor import LIST_ENDS
from whatchanged.kql.syntax.keywords import PARSE_KV_PROPERTIES, REDUCE_PROPERTIES
from whatchanged.kql.syntax.lexer import IDENTIFIER, STRING
from whatchanged.kql.syntax.series import Series
from whatchanged.kql.syntax.tree import (
    ColumnDeclaration,
    Count,
    Distinct,
    Expression,
    Extend,
    Literal,
    Name,
    Named,
    Parse,
    ParseKv,
    Project,
    ProjectAway,
    ProjectByNames,
    ProjectKeep,
    ProjectRename,
    ProjectReorder,
    Reduce,
    Sample,
    SampleDistinct,
    Serialize,
    Sort,
    SortKey,
    Star,
    Summarize,
    Take,
    Top,
    Where,
)

__all__ = ["Columns"]


class Columns(Series):
    """Parses operators on rows and columns. Each method begins at the operator's name."""

    # Rows

    def where(self) -> Where:
        """Return `where predicate`."""
        start = self.advance().start
        options = self.options()
        predicate = self.named_expression()
        return Where(self.since(start), predicate, options=options)

    def take(self) -> Take:
        """Return `take count`."""
        start = self.advance().start
        options = self.options()
        count = self.named_expression()
        return Take(self.since(start), count, options=options)

    def count(self) -> Count:
        """Return `count`; the older `count as name` is kept as an option."""
        start = self.advance().start
        options: tuple[Named, ...] = ()
        if self.kind == "as":
            token = self.advance()
            name = self.expect(IDENTIFIER, "a name")
            key = Name(token.span, token.text)
            options = (Named(self.since(token.start), (key,), Name(name.span, name.text)),)
        return Count(self.since(start), options=options)

    def sample(self) -> Sample:
        """Return `sample count`."""
        start = self.advance().start
        options = self.options()
        count = self.named_expression()
        return Sample(self.since(start), count, options=options)

    def sample_distinct(self) -> SampleDistinct:
        """Return `sample-distinct count of column`."""
        start = self.advance().start
        options = self.options()
        count = self.named_expression()
        self.expect("of")
        column = self.named_expression()
        return SampleDistinct(self.since(start), count, column, options=options)

    def sort(self) -> Sort:
        """Return `sort by keys`."""
        start = self.advance().start
        options = self.options()
        self.expect("by")
        keys = self.comma_list(self.sort_key)
        return Sort(self.since(start), keys, options=options)

    def top(self) -> Top:
        """Return `top count by key`."""
        start = self.advance().start
        options = self.options()
        count = self.named_expression()
        self.expect("by")
        key = self.sort_key()
        return Top(self.since(start), count, (key,), options=options)

    def distinct(self) -> Distinct:
        """Return `distinct columns`."""
        start = self.advance().start
        options = self.options()
        columns = self.comma_list(self._distinct_column)
        return Distinct(self.since(start), columns, options=options)

    def _distinct_column(self) -> Expression:
        if self.kind == "*" and (self.peek() in LIST_ENDS or self.peek() == ","):
            return Star(self.advance().span)
        return self.named_expression()

    # Columns

    def _columns(self) -> tuple[Expression, ...]:
        """Return named expressions, perhaps none."""
        return () if self.kind in LIST_ENDS else self.comma_list(self.named_expression)

    def extend(self) -> Extend:
        """Return `extend columns`."""
        start = self.advance().start
        columns = self.comma_list(self.named_expression)
        return Extend(self.since(start), columns)

    def project(self) -> Project:
        """Return `project columns`."""
        start = self.advance().start
        columns = self._columns()
        return Project(self.since(start), columns)

    def _names(self) -> tuple[Name, ...]:
        return () if self.kind in LIST_ENDS else self.comma_list(self.wildcard_name)

    def project_away(self) -> ProjectAway:
        """Return `project-away columns`."""
        start = self.advance().start
        columns = self._names()
        return ProjectAway(self.since(start), columns)

    def project_keep(self) -> ProjectKeep:
        """Return `project-keep columns`."""
        start = self.advance().start
        columns = self._names()
        return ProjectKeep(self.since(start), columns)

    def project_rename(self) -> ProjectRename:
        """Return `project-rename new = old`."""
        start = self.advance().start
        columns = () if self.kind in LIST_ENDS else self.comma_list(self._renaming)
        return ProjectRename(self.since(start), columns)

    def _renaming(self) -> Named:
        token = self.token
        named = self.named_expression()
        if not isinstance(named, Named):
            self.fail("new name = column", token=token)
        return named

    def project_reorder(self) -> ProjectReorder:
        """Return `project-reorder columns`."""
        start = self.advance().start
        columns = () if self.kind in LIST_ENDS else self.comma_list(self._reordered)
        return ProjectReorder(self.since(start), columns)

    def _reordered(self) -> SortKey:
        name = self.wildcard_name()
        order = self.order()
        return SortKey(self.since(name.span.start), name, order)

    def project_by_names(self) -> ProjectByNames:
        """Return `project-by-names expressions`."""
        start = self.advance().start
        columns = () if self.kind in LIST_ENDS else self.comma_list(self.expression)
        return ProjectByNames(self.since(start), columns)

    def serialize(self) -> Serialize:
        """Return `serialize columns`."""
        start = self.advance().start
        options = self.options()
        columns = self._columns()
        return Serialize(self.since(start), columns, options=options)

    def summarize(self) -> Summarize:
        """Return `summarize aggregates by groups`; the older `bin=size` behind them is kept as an option."""
        start = self.advance().start
        options = self.options()
        aggregates: tuple[Expression, ...] = ()
        if self.kind != "by" and self.kind not in LIST_ENDS:
            aggregates = self.comma_list(self.named_expression)
        groups: tuple[Expression, ...] = ()
        if self.accept("by"):
            groups = self.comma_list(self.named_expression)
            if self.kind == "bin" and self.peek() == "=":
                options = (*options, self.option())
        return Summarize(self.since(start), aggregates, groups, options=options)

    # Text

    def parse(self) -> Parse:
        """Return `parse expression with pattern`, or `parse-where`."""
        token = self.advance()
        options = self.options("flags")
        expression = self.expression()
        self.expect("with")
        pattern: list[Literal | Star | Name | ColumnDeclaration] = []
        while self.kind not in LIST_ENDS:
            pattern.append(self._pattern_part())
        where = token.kind == "parse-where"
        return Parse(self.since(token.start), expression, tuple(pattern), where, options=options)

    def _pattern_part(self) -> Literal | Star | Name | ColumnDeclaration:
        if self.kind == "*":
            return Star(self.advance().span)
        if self.kind == STRING:
            return self.string_literal()
        if self.peek(self.quoted_length() or 1) == ":":
            return self.column_declaration()
        return self.given_name("a string, * or a column")

    def parse_kv(self) -> ParseKv:
        """Return `parse-kv expression as (columns) with (options)`."""
        start = self.advance().start
        expression = self.expression()
        self.expect("as")
        columns = self.schema()
        options = self.named_values(PARSE_KV_PROPERTIES) if self.accept("with") else ()
        return ParseKv(self.since(start), expression, columns, options=options)

    def reduce(self) -> Reduce:
        """Return `reduce by column with threshold=…, characters=…`."""
        start = self.advance().start
        options = self.options(*REDUCE_PROPERTIES)
        self.expect("by")
        column = self.named_expression()
        if self.accept("with"):
            options = (*options, *self.comma_list(lambda: self.named_value(REDUCE_PROPERTIES)))
        return Reduce(self.since(start), column, options=options)
