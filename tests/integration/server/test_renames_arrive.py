"""What the tracker says of a rename, stored by the server: the inventory is right, both paths lead to the change."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import asyncio
import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unit.tracker.test_renames import begin
from unit.tracker.test_runner import Bench
from whatchanged.cli.changes import for_people
from whatchanged.records.streams import DataType
from whatchanged.server.query import ChangeFilter, InventoryFilter, Reader
from whatchanged.server.storage import Storage


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.state.close()


def deliver(machine: Any, bench: Bench) -> None:
    """Send everything that the tracker has to say."""
    for stream in (DataType.CONFIG_DATA_V2, DataType.CONFIG_CHANGE_V2):
        rows = bench.state.query("SELECT record FROM outbox WHERE stream = ? ORDER BY id", (stream.value,))
        if rows:
            asyncio.run(machine.send(stream, *(msgspec.msgpack.decode(row[0]) for row in rows)))
    machine.settle()


def test_a_rename_of_paths_that_are_no_text(machine: Any, storage: Storage, bench: Bench) -> None:
    old, new = (os.fsencode(bench.tree / folder) + name for folder, name in (("a", b"/old\xff"), ("b", b"/new\n")))
    (bench.tree / "a").mkdir()
    (bench.tree / "b").mkdir()
    Path(os.fsdecode(old)).write_text("x")
    begin(bench)
    os.rename(old, new)
    bench.look()
    deliver(machine, bench)

    async def run() -> None:
        reader = Reader(storage)
        machine_id = machine.identity.machine_id
        try:
            (item,) = (await reader.inventory(InventoryFilter(machine=machine_id))).rows
            assert base64.b64decode(item["PathBytes"]) == new
            for path in (f"{bench.tree}/a", f"{bench.tree}/b", f"{bench.tree}/a/*", "*/b/new*"):
                (row,) = (await reader.changes(ChangeFilter(machine=machine_id, path=path))).rows
                assert (row["ChangeCategory"], row["FieldsChanged"]) == ("Modified", "FileSystemPath")
                assert base64.b64decode(row["PathBytes"]) == new
                assert base64.b64decode(row["PreviousPathBytes"]) == old
                (shown,) = for_people([row])
                assert shown["Item"] == f"{bench.tree}/a/old� → {bench.tree}/b/new\n"
            elsewhere = await reader.changes(ChangeFilter(machine=machine_id, path=f"{bench.tree}/c"))
            assert elsewhere.rows == []
        finally:
            reader.close()

    asyncio.run(run())
    assert machine.events.resyncs == []
