"""Exports: each worker's last completed result in readable form.

Names as upstream's: `File.json`, `Packages.json`, `Daemons.json` (Linux), `Applications.json`, `Services.json`,
`Patches.json` (Windows). One JSON array of rows with the columns of ConfigurationData, a row a line.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from whatchanged.errors import StorageFull
from whatchanged.records.items import Kind
from whatchanged.tracker.state import State

__all__ = ["EXPORTS", "write_export"]

EXPORTS: dict[Kind, str] = {
    Kind.FILES: "File.json",
    Kind.SOFTWARE: "Packages.json",
    Kind.DAEMONS: "Daemons.json",
}


def write_export(state: State, kind: Kind, folder: str) -> None:
    """Write the export of a kind atomically. Raises StorageFull when it cannot be written."""
    path = os.path.join(folder, EXPORTS[kind])
    temporary = f"{path}.new"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            separator = b"[\n"
            for _, known in state.items(kind):
                row = {"ConfigDataType": kind.value, **known.item.columns(), "RuleName": known.rules}
                stream.write(separator + msgspec.json.encode(row))
                separator = b",\n"
            stream.write(b"[]\n" if separator == b"[\n" else b"\n]\n")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StorageFull(f"cannot write {path}: {error.strerror}") from error
