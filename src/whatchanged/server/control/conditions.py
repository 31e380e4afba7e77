"""What must hold for a change to be made (If-Match, If-None-Match: *): two editors do not overwrite each other."""

from __future__ import annotations

import msgspec

from whatchanged.server.control.refusals import precondition

__all__ = ["Condition"]


class Condition(msgspec.Struct, frozen=True):
    """The thing that is changed is as the caller knows it."""

    etags: frozenset[str] | None = None
    """It is one of these; with `*`: any."""
    absent: bool = False
    """There is none of the name yet."""

    def check(self, etag: str | None, what: str, name: str) -> None:
        """Refuse unless it holds for the thing as it is (None: it is not there)."""
        if self.absent and etag is not None:
            raise precondition(f"there is a {what} of this name already", name)
        if self.etags is not None and (etag is None or not self.etags & {etag, "*"}):
            raise precondition(f"the {what} was changed since, or is gone", name)
