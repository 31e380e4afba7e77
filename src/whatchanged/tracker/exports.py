"""Exports: each worker's last completed result in readable form.

Names as upstream's: `File.json`, `Packages.json`, `Daemons.json` (Linux), `Applications.json`, `Services.json`,
`Patches.json` (Windows). One JSON array of rows with the columns of ConfigurationData, a row a line.

They are written by a thread of their own, with a small budget of their own: an export of very many items takes seconds
of processor time, and no look shall wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from typing import BinaryIO

import msgspec

from whatchanged.collectors.files.budget import Budget
from whatchanged.errors import OperationError, StorageFull
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Item, Kind, SoftwareItem
from whatchanged.records.times import now_ns
from whatchanged.tracker.state import State

__all__ = ["EXPORTS", "EXPORT_SHARE", "Exports"]

log = logging.getLogger(__name__)

_PATCHES = "Patches.json"
EXPORTS: dict[Kind, tuple[str, ...]] = {
    Kind.FILES: ("File.json",),
    Kind.SOFTWARE: ("Applications.json", _PATCHES) if sys.platform == "win32" else ("Packages.json",),
    Kind.DAEMONS: ("Daemons.json",),
    Kind.WINDOWS_SERVICES: ("Services.json",),
}
"""Kind → its files; the registry has none."""
_WRITTEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
EXPORT_SHARE = 0.05
"""Share of a core that writing exports may take, on average: with the first change after a quiet time it is whole."""
_SETTLE_SECONDS = 0.2
"""Changes that come one upon the other become one export."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_ITEMS_A_SPENDING = 500


class Exports:
    """Writes the exports of all kinds."""

    def __init__(self, state: State, folder: str, budget: Budget, stop: threading.Event) -> None:
        self._state = state
        self._folder = folder
        self._budget = budget
        self._stop = stop
        self._changed = threading.Condition()
        self._due: dict[Kind, float] = {}
        self._known: set[Kind] = set()
        """Kinds that this process has exported: nobody knows how its last life ended."""
        self._writing: Kind | None = None
        self._pauses: dict[Kind, float] = {}
        self.error = ""
        """Why the last one could not be written."""

    def looked(self, kind: Kind, *, changed: bool) -> None:
        """Note that a look was completed; its result is exported if it is another, or was not exported yet."""
        if kind not in EXPORTS:
            return
        with self._changed:
            if changed or kind not in self._known or not self._exported(kind):
                self._known.add(kind)
                self._due.setdefault(kind, time.monotonic() + _SETTLE_SECONDS)
                self._changed.notify_all()

    def pending(self) -> list[str]:
        """Return the kinds whose export is not what the state is."""
        with self._changed:
            return [kind.value for kind in EXPORTS if kind in self._due or kind is self._writing]

    def wake(self) -> None:
        """Let the thread notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        """Write until stopped."""
        while not self._stop.is_set():
            kind = self._next()
            if kind is not None:
                self._try(kind)

    def _next(self) -> Kind | None:
        with self._changed:
            if self._stop.is_set():  # looked at under the lock: `wake` cannot come between this and the wait
                return None
            if not self._due:
                self._changed.wait()
                return None
            kind = min(self._due, key=lambda kind: self._due[kind])
            wait = self._due[kind] - time.monotonic()
            if wait > 0:
                self._changed.wait(wait)
                return None
            return kind

    def _try(self, kind: Kind) -> None:
        with self._changed:
            del self._due[kind]  # what changes from now on asks for another
            self._writing = kind
        try:
            self._write(kind)
        except OperationError as error:
            self._put_off(kind)
            self._say(error.message)
        else:
            self._pauses.pop(kind, None)
            self._say("")
            self._state.shrink()
        finally:
            self._writing = None

    def _put_off(self, kind: Kind) -> None:
        pause = self._pauses.get(kind, _FIRST_PAUSE)
        self._pauses[kind] = min(pause * 2, _LONGEST_PAUSE)
        with self._changed:
            self._due[kind] = time.monotonic() + pause

    def _say(self, error: str) -> None:
        """Report a trouble when it begins and when it has ended."""
        if error == self.error:
            return
        self.error = error
        if error:
            log.warning("%s", error)
        with contextlib.suppress(OperationError):  # it is logged
            self._state.report(
                HealthRecord(
                    component=Component.TRACKER,
                    status=HealthStatus.WARNING if error else HealthStatus.OK,
                    reason=HealthReason.EXPORTED,
                    time_ns=now_ns(),
                    detail=error or "exports are written again",
                ),
                subject="exports",
            )

    def _write(self, kind: Kind) -> None:
        """Write the exports of a kind, each atomically. Raises StorageFull when one cannot be written, StateError."""
        for name in EXPORTS[kind]:
            self._write_file(kind, name)

    def _write_file(self, kind: Kind, name: str) -> None:
        path = os.path.join(self._folder, name)
        temporary = f"{path}.new"
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with open(os.open(temporary, _WRITTEN, 0o600), "wb") as stream:
                self._write_rows(kind, name, stream)
            if self._stop.is_set():
                os.unlink(temporary)
            else:
                os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise StorageFull(f"cannot write {path}: {error.strerror}") from error

    def _write_rows(self, kind: Kind, file: str, stream: BinaryIO) -> None:
        """Write all rows, or as many as there are when the tracker stops."""
        separator = b"[\n"
        for number, (_, known) in enumerate(self._state.snapshot(kind)):
            if number % _ITEMS_A_SPENDING == 0:
                self._budget.spend(0)
                if self._stop.is_set():
                    return
            if not _belongs(known.item, file):
                continue
            row = {"ConfigDataType": kind.value, **known.item.columns(), "RuleName": known.rules}
            stream.write(separator + msgspec.json.encode(row))
            separator = b",\n"
        stream.write(b"[]\n" if separator == b"[\n" else b"\n]\n")

    def _exported(self, kind: Kind) -> bool:
        return all(os.path.exists(os.path.join(self._folder, name)) for name in EXPORTS[kind])


def _belongs(item: Item, file: str) -> bool:
    """Whether an item of the kind stands in the file: of software the updates have one of their own, on Windows."""
    if not isinstance(item, SoftwareItem) or len(EXPORTS[item.kind]) == 1:
        return True
    return (item.software_type == "Update") == (file == _PATCHES)
