"""How common the things of the inventory are, against the real engine."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import pytest

from whatchanged.errors import RecordError
from whatchanged.records.items import Kind
from whatchanged.records.keys import checksum, item_digest, row_key
from whatchanged.records.streams import DataType
from whatchanged.server.query import GroupFilter, Groups, Reader
from whatchanged.server.query.prevalence import GROUPED
from whatchanged.server.storage import Storage

DATA = DataType.CONFIG_DATA_V2


def package(name: str, version: str = "1", publisher: str = "A") -> dict[str, Any]:
    return {
        "ConfigDataType": "Software",
        "SoftwareName": name,
        "CurrentVersion": version,
        "Publisher": publisher,
        "Architecture": "all",
        "Location": "/var/lib/dpkg/status",
    }


def has(machine: Any, *packages: dict[str, Any], kind: Kind = Kind.SOFTWARE) -> None:
    """Let the machine send, and confirm, that it has these and nothing else."""
    machine.epoch = uuid.uuid4().hex
    pairs = sorted((row_key(row)[1], item_digest(row)) for row in packages)
    end = {"_Record": "Confirmation", "Items": len(pairs), "Checksum": checksum(pairs), "Scope": "All"}
    told = [{"_Record": "Snapshot"}, *packages, end]
    rows = [machine.record(DATA, at, **{"ConfigDataType": kind.value, **one}) for at, one in enumerate(told, 1)]
    asyncio.run(machine.send(DATA, *rows))


def counted(storage: Storage, machine: Any, **wanted: Any) -> list[tuple[str, str, int]]:
    found = groups(storage, machine, **wanted)
    return [(group.name, group.version, group.machines) for group in found.value]


def groups(storage: Storage, machine: Any, start: int = 0, limit: int = 100, **wanted: Any) -> Groups:
    async def ask(reader: Reader) -> Groups:
        seen = GroupFilter(**{"kind": Kind.SOFTWARE, "machines": (machine.identity.machine_id,), **wanted})
        return await reader.prevalence.groups(seen, "mark", start, limit)

    found: Groups = with_reader(storage, ask)
    return found


def with_reader(storage: Storage, work: Any) -> Any:
    async def run() -> Any:
        reader = Reader(storage)
        try:
            asked: Coroutine[Any, Any, Any] = work(reader)
            return await asked
        finally:
            reader.close()

    return asyncio.run(run())


def test_a_count_is_filtered_ordered_and_given_in_parts(storage: Storage, machine: Any) -> None:
    has(machine, package("b", "2"), package("a", "10", "B"), package("A-tool", "3"))
    by_name = {"order": "item", "descending": False}
    assert counted(storage, machine, **by_name) == [("A-tool", "3", 1), ("a", "10", 1), ("b", "2", 1)]
    assert [name for name, _, _ in counted(storage, machine, order="version")] == ["A-tool", "b", "a"]
    assert counted(storage, machine, text="TOOL") == [("A-tool", "3", 1)]
    assert counted(storage, machine, only=(("publisher", "B"),)) == [("a", "10", 1)]
    assert counted(storage, machine, only=(("item", "a"), ("item", "b")), other_than=(("version", "2"),)) == [
        ("a", "10", 1)
    ]
    part = groups(storage, machine, start=1, limit=1, **by_name)
    assert ([group.name for group in part.value], part.total, part.machines, part.cut) == (["a"], 3, 1, False)
    assert counted(storage, machine, at="2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize("kind", GROUPED)
def test_what_is_too_rare_to_be_counted_is_found(
    kind: Kind, storage: Storage, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are more things than one count holds, the engine looks for what the filter names."""
    name, version, publisher, rest = GROUPED[kind]
    columns = [column for column in (name, version, publisher, *rest) if column]
    rows: list[dict[str, Any]] = [
        {"ConfigDataType": kind.value, **dict.fromkeys(columns, "12"[at] * 2)} for at in (0, 1)
    ]
    for row in rows:
        row["Name"] = row[name]
        if "Size" in row:
            row["Size"] = int(row["Size"])
    has(machine, *rows, kind=kind)
    monkeypatch.setattr("whatchanged.server.query.prevalence.MOST", 1)
    everything = groups(storage, machine, kind=kind)
    (kept,) = everything.value
    assert everything.cut
    rare = "22" if kept.name == "11" else "11"
    fields = {name: "item", version: "version", publisher: "publisher"}
    for column in columns:
        field = fields.get(column) or {"SvcDisplayName": "display", "SvcState": "state"}.get(column, column.lower())
        found = groups(storage, machine, kind=kind, only=((field, rare),))
        assert [(group.name, found.cut) for group in found.value] == [(rare, False)], field
    assert [group.name for group in groups(storage, machine, kind=kind, text=rare).value] == [rare]
    other = "architecture" if kind is not Kind.SOFTWARE else "state"
    assert groups(storage, machine, kind=kind, only=((other, rare),)).value == []


@pytest.mark.parametrize("wrong", [{"order": "size"}, {"only": (("machines", "1"),)}, {"at": "yesterday"}])
def test_what_cannot_be_asked_is_refused(storage: Storage, machine: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        groups(storage, machine, **wrong)


def test_a_count_is_kept_until_rows_arrive(storage: Storage, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    has(machine, package("kept"))
    monkeypatch.setattr("whatchanged.server.query.prevalence._REST", 0)
    wanted = GroupFilter(kind=Kind.SOFTWARE, machines=(machine.identity.machine_id,))

    async def ask(reader: Reader) -> list[str]:
        first = await reader.prevalence.groups(wanted, "1", 0, 10)
        again = await reader.prevalence.groups(wanted, "1", 0, 10)
        moved = await reader.prevalence.groups(wanted, "2", 0, 10)
        both = await asyncio.gather(*(reader.prevalence.groups(wanted, "3", 0, 10) for _ in range(3)))
        return [first.counted_at, again.counted_at, moved.counted_at, *(one.counted_at for one in both)]

    first, again, moved, *together = with_reader(storage, ask)
    assert first == again
    assert moved > again
    assert together == [together[0]] * 3
    assert together[0] > moved
