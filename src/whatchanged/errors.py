"""The exceptions of the project.

Two families, because they are handled differently:

```
WhatchangedError
├── ItemError            trouble with one item of a machine: recorded as data, the run goes on
└── OperationError       trouble with us: the operation stops and says what to do next
    ├── SettingsError    a setting, a command line or a file of settings is wrong
    ├── RuleError        a data collection rule cannot work (carries the place in the document)
    ├── RecordError      a record or a request has the wrong shape (carries the place)
    ├── WireError        bytes on a pipe or in a request are not what the protocol says
    │   └── LimitExceeded   a bound of the protocol was hit
    ├── PeerError        the other end of a pipe is not who it should be, or went away
    ├── StateError       a database or store of ours is damaged, foreign or too new
    ├── StorageFull      no space, or a quota is used up
    ├── WatchError       a watch cannot be set up, or died
    ├── CredentialError  a token or credential is wrong, expired or revoked
    └── ServerError      a server answered with an error, or not at all
```

Foreign exceptions stop at the boundary where they arise and become one of these.
"""

from __future__ import annotations

__all__ = [
    "CredentialError",
    "ItemError",
    "LimitExceeded",
    "OperationError",
    "PeerError",
    "RecordError",
    "RuleError",
    "ServerError",
    "SettingsError",
    "StateError",
    "StorageFull",
    "WatchError",
    "WhatchangedError",
    "WireError",
]


class WhatchangedError(Exception):
    """Root of every error this project raises on purpose."""


class ItemError(WhatchangedError):
    """One item could not be looked at; the run records it and goes on."""


class OperationError(WhatchangedError):
    """The operation cannot go on; `hint` says what the operator can do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(OperationError):
    """A setting is missing, unknown or out of range."""


class RuleError(OperationError):
    """A data collection rule cannot work; `place` is a JSON path such as `properties.dataSources`."""

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.place = place


class RecordError(OperationError):
    """A record has the wrong shape; `place` names it, such as `[3].TimeGenerated`."""

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.place = place


class WireError(OperationError):
    """Bytes are not what the protocol says; the connection they came on is lost."""


class LimitExceeded(WireError):
    """A bound on size, count or nesting was hit."""


class PeerError(OperationError):
    """The other end is not who it should be, or went away."""


class StateError(OperationError):
    """A database or a store of ours is damaged, foreign, or made by a newer version."""


class StorageFull(OperationError):
    """The disk or a quota is full."""


class WatchError(OperationError):
    """The machine cannot be watched (any more); looking at it goes on."""


class CredentialError(OperationError):
    """A token or credential is wrong, expired or revoked."""


class ServerError(OperationError):
    """A server answered with an error (`status`, ARM `code`), or not at all (status 0)."""

    def __init__(self, message: str, *, status: int = 0, code: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
