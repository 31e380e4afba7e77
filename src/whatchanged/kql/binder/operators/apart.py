"""A query that is asked of each group of rows apart, as mv-apply and partition do."""

from __future__ import annotations

import dataclasses

from whatchanged.kql.errors import KqlUnsupported, Span
from whatchanged.kql.plan import Aggregate, AggregateCall, Column, Compute, Expand, Filter, Limit, Node, Window

__all__ = ["EachGroup"]


@dataclasses.dataclass(slots=True)
class EachGroup:
    """Makes of the plan of a query over rows (`stop`) one that is asked of each group of them apart.

    `key` tells the groups; `carried` are columns that have one value in a group: where rows are gathered, they are
    taken from any of them.
    """

    stop: Node
    key: Column
    carried: dict[Column, Column]
    span: Span

    def apart(self, node: Node) -> Node:
        """Return the plan for each group; afterwards `key` and `carried` say which columns it has for them."""
        if node is self.stop:
            return node
        match node:
            case Filter() | Compute() | Expand():
                return dataclasses.replace(node, input=self.apart(node.input))
            case Limit():
                inner = self.apart(node.input)
                return dataclasses.replace(node, input=inner, by=(self.key, *node.by))
            case Window():
                inner = self.apart(node.input)
                return dataclasses.replace(node, input=inner, partition=(self.key, *node.partition))
            case Aggregate():
                return self._gathered(node)
            case _:
                raise KqlUnsupported("this query is not asked of every group here: join instead", self.span)

    def _gathered(self, node: Aggregate) -> Node:
        inner = self.apart(node.input)
        new = Column("", self.key.type, self.key.nullable)
        key = (new, self.key)
        aggregates = list(node.aggregates)
        for outer, now in self.carried.items():
            column = Column(outer.name, outer.type, outer.nullable)
            # Within a tuple, because of values that are null.
            call = AggregateCall("tupleElement(any(tuple({0})), 1)", (now,), outer.type, outer.nullable)
            aggregates.append((column, call))
            self.carried[outer] = column
        self.key = new
        return dataclasses.replace(node, input=inner, keys=(key, *node.keys), aggregates=tuple(aggregates))
