"""From the tree to a plan: names resolved against a schema, types known, everything else refused with its place."""

from whatchanged.kql.binder.queries import Bound, bind

__all__ = ["Bound", "bind"]
