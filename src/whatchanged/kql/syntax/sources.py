"""Operators that bring their own rows: range, print, union, search, find."""

from __future__ import annotations

from whatchanged.kql.syntax.cursor import LIST_ENDS
from whatchanged.kql.syntax.expressions import Expressions
from whatchanged.kql.syntax.keywords import TYPES
from whatchanged.kql.syntax.tree import (
    As,
    Binary,
    Call,
    ColumnDeclaration,
    Expression,
    Find,
    Index,
    Member,
    Name,
    Pipeline,
    Print,
    Range,
    Search,
    Star,
    Union,
)

__all__ = ["Sources"]


class Sources(Expressions):
    """Parses operators that may begin a pipeline. Each method begins at the operator's name."""

    def range_(self) -> Range:
        """Return `range name from … to … step …`."""
        start = self.advance().start
        column = self.name("a column")
        self.expect("from")
        first = self.expression()
        self.expect("to")
        last = self.expression()
        self.expect("step")
        step = self.expression()
        return Range(self.since(start), column, first, last, step)

    def print_(self) -> Print:
        """Return `print expressions`."""
        start = self.advance().start
        columns = self.comma_list(self.named_expression)
        return Print(self.since(start), columns)

    def union(self) -> Union:
        """Return `union tables`."""
        start = self.advance().start
        options = self.options("best_effort")
        tables = self.comma_list(self._union_table)
        return Union(self.since(start), tables, options=options)

    def _union_table(self) -> Expression:
        return self._group() if self.kind == "(" else self.table()

    def table(self) -> Expression:
        """Return a table: a name, perhaps with `*` in it, a call, or a path of those."""
        if self.wildcard_length():
            return self.wildcard_name("a table")
        start = self.token.start
        name = self.read_name("a table")
        target: Expression = self._called(start, name, None) if self.kind == "(" else name
        while self.kind in (".", "["):
            self.links += 1
            if self.advance().kind == "[":
                index = self.expression()
                self.expect("]")
                target = Index(self.since(start), target, index)
                continue
            if self.wildcard_length():
                return Member(self.since(start), target, self.wildcard_name().name)
            name = self.read_name("a table")
            if self.kind == "(":
                target = self._called(start, name, target)
            else:
                target = Member(self.since(start), target, name.name)
        return target

    def column_path(self) -> Expression:
        """Return a column, or a member or element of one; a bracket behind it is not a call."""
        start = self.token.start
        target: Expression = self.read_name("a column")
        while self.kind in (".", "["):
            self.links += 1
            if self.advance().kind == "[":
                index = self.expression()
                self.expect("]")
                target = Index(self.since(start), target, index)
            else:
                target = Member(self.since(start), target, self.read_name("the name of a member").name)
        return target

    def _called(self, start: int, name: Name, target: Expression | None) -> Call:
        arguments = self._arguments()
        return Call(self.since(start), name.name, arguments, name.span, target)

    # search and find

    def search(self) -> Search:
        """Return `search [in (tables)] predicate`."""
        start = self.advance().start
        options = self.options()
        self._data_scope()
        tables = self._in_tables()
        predicate = self._search_predicate()
        return Search(self.since(start), tables, predicate, options=options)

    def _search_predicate(self) -> Expression:
        if self.kind != "*" or self.peek() not in LIST_ENDS | {"and"}:
            return self.expression()
        star = Star(self.advance().span)
        if not self.accept("and"):
            return star
        right = self.expression()
        return Binary(star.span.to(right.span), "and", star, right)

    def _data_scope(self) -> None:
        """Go past `datascope=hotcache`, which says where the vendor's engine looks."""
        if self.accept("datascope"):
            self.expect("=")
            self.name_or_keyword()

    def name_or_keyword(self) -> str:
        """Return a word, whatever it is."""
        if not self.token.text[:1].isalpha():
            self.fail("a word")
        return self.advance().text

    def _in_tables(self) -> tuple[Expression, ...]:
        if not self.accept("in"):
            return ()
        self.expect("(")
        tables = self.comma_list(self._in_table)
        self.expect(")", ", or )")
        return tables

    def _in_table(self) -> Expression:
        table = self.table()
        if not self.accept("|"):
            return table
        start = self.expect("as").start
        name = self.name()
        return Pipeline(self.since(table.span.start), table, (As(self.since(start), name),))

    def find(self) -> Find:
        """Return `find [in (tables)] where predicate [project …]`."""
        start = self.advance().start
        self._data_scope()
        options = self.options()
        tables = self._in_tables()
        if options or tables:
            self.expect("where")
        else:
            self.accept("where")
        predicate = self.expression()
        smart, columns = True, None
        if self.accept("project"):
            smart, columns = False, self.comma_list(self._find_column)
        else:
            self.accept("project-smart")
        if self.accept("__projectAway"):
            self.comma_list(self._find_column)
        return Find(self.since(start), tables, predicate, columns, smart, options=options)

    def _find_column(self) -> Expression:
        if self.kind == "*":
            return Star(self.advance().span)
        if self.kind == "pack":
            token = self.advance()
            self.expect("(")
            star = Star(self.expect("*").span)
            self.expect(")")
            return Call(self.since(token.start), "pack", (star,), token.span)
        name = self.name("a column")
        if not self.accept(":"):
            return name
        if self.kind not in TYPES:
            self.fail("a type")
        type_name = self.advance().text
        return ColumnDeclaration(self.since(name.span.start), name.name, type_name)
