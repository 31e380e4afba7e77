from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from whatchanged.errors import RecordError
from whatchanged.records.items import Kind
from whatchanged.records.keys import checksum, item_digest, row_key
from whatchanged.records.streams import DataType
from whatchanged.records.times import parse_time
from whatchanged.server.query import ChangeFilter, InventoryFilter, Reader
from whatchanged.server.storage import Storage, backup

DATA = DataType.CONFIG_DATA_V2


def item(path: str, **columns: Any) -> dict[str, Any]:
    return {"ConfigDataType": "Files", "FileSystemPath": path, "Name": path.rpartition("/")[2], "Size": 1} | columns


def confirmation(items: list[dict[str, Any]], *denied: str) -> dict[str, Any]:
    pairs = sorted((row_key(row)[1], item_digest(row)) for row in items)
    return {
        "_Record": "Confirmation",
        "ConfigDataType": "Files",
        "Items": len(items),
        "Checksum": checksum(pairs),
        "Scope": "All",
        "NotConfirmed": [base64.b64encode(prefix.encode()).decode() for prefix in denied],
    }


SNAPSHOT = {"_Record": "Snapshot", "ConfigDataType": "Files"}


def send(machine: Any, first: int, *records: dict[str, Any]) -> None:
    numbered = [machine.record(DATA, first + n, **record) for n, record in enumerate(records)]
    asyncio.run(machine.send(DATA, *numbered))
    machine.settle()


def paths(storage: Storage, machine: Any, at: str = "") -> dict[str, int]:
    """Path → second of TimeGenerated, which is the sequence of the record that set it."""

    async def run() -> dict[str, int]:
        reader = Reader(storage)
        try:
            page = await reader.inventory(InventoryFilter(machine=machine.identity.machine_id, at=at), limit=1000)
        finally:
            reader.close()
        return {row["FileSystemPath"]: int(row["TimeGenerated"][17:19]) for row in page.rows}

    return asyncio.run(run())


def test_items_tombstones_confirmations_and_as_of(machine: Any, storage: Storage, events: Any) -> None:
    a, b = item("/a"), item("/b")
    send(machine, 1, SNAPSHOT, a, b, confirmation([a, b]))
    assert paths(storage, machine) == {"/a": 4, "/b": 4}
    a2 = item("/a", Size=2)
    gone = {"_Record": "Tombstone", "ConfigDataType": "Files", "FileSystemPath": "/b", "Reason": "Removed"}
    send(machine, 5, a2, gone)
    assert paths(storage, machine) == {"/a": 5}
    send(machine, 7, confirmation([a2]))
    assert paths(storage, machine) == {"/a": 7}
    assert paths(storage, machine, "2026-03-01T00:00:04Z") == {"/a": 4, "/b": 4}
    assert paths(storage, machine, "2026-03-01T00:00:02Z") == {"/a": 2}
    assert events.resyncs == []


def test_the_inventory_is_read_in_the_order_of_its_key(machine: Any, storage: Storage) -> None:
    """Else every question would sort, or hold the keys of, all that every machine ever sent."""
    a = item("/a")
    send(machine, 1, SNAPSHOT, a, item("/a", Size=2), confirmation([a]))
    plan = storage.query("EXPLAIN actions = 1 SELECT count() FROM ConfigurationData")
    assert any("Read type: InReverseOrder" in row["explain"] for row in plan)


def test_a_package_system_that_was_not_confirmed(machine: Any, storage: Storage, events: Any) -> None:
    def package(name: str, location: str) -> dict[str, Any]:
        facts = {"InstalledAt": "2026-01-01T00:00:00.0000000Z", "PackageUrl": f"pkg:generic/{name}", "Size": 7}
        return {"ConfigDataType": "Software", "SoftwareName": name, "Location": location} | facts

    items = [package("rpm", "dpkg"), package("a", "rpm"), package("b", "rpm/5.1-1"), package("c", "rpmish")]
    software = {"ConfigDataType": "Software"}
    send(machine, 1, SNAPSHOT | software, *items, confirmation(items) | software)
    send(machine, 7, confirmation(items, "rpm") | software)

    async def confirmed() -> dict[str, tuple[int, Any, Any]]:
        reader = Reader(storage)
        try:
            page = await reader.inventory(InventoryFilter(machine=machine.identity.machine_id), limit=1000)
        finally:
            reader.close()
        second = slice(17, 19)
        return {r["SoftwareName"]: (int(r["TimeGenerated"][second]), r["PackageUrl"], r["Size"]) for r in page.rows}

    seen = asyncio.run(confirmed())
    assert {name: facts[0] for name, facts in seen.items()} == {"rpm": 7, "a": 6, "b": 6, "c": 7}
    assert seen["a"][1:] == ("pkg:generic/a", 7)
    assert events.resyncs == []


def test_what_was_not_confirmed_keeps_its_older_confirmation(machine: Any, storage: Storage, events: Any) -> None:
    items = [item("/d"), item("/d/x"), item("/dx"), item("/e")]
    send(machine, 1, SNAPSHOT, *items, confirmation(items))
    send(machine, 7, confirmation(items, "/d"))
    assert paths(storage, machine) == {"/d": 6, "/d/x": 6, "/dx": 7, "/e": 7}
    assert events.resyncs == []


def test_a_completed_snapshot_ends_what_did_not_come_again(machine: Any, storage: Storage, events: Any) -> None:
    a, b = item("/a"), item("/b")
    send(machine, 1, SNAPSHOT, a, b, confirmation([a, b]))
    machine.epoch = "f" * 32
    send(machine, 1, SNAPSHOT, a)
    assert set(paths(storage, machine)) == {"/a", "/b"}  # not completed yet
    send(machine, 3, confirmation([a]))
    assert set(paths(storage, machine)) == {"/a"}
    assert events.resyncs == []


def test_what_stays_wrong_is_not_asked_for_with_every_confirmation(machine: Any, events: Any) -> None:
    """A row that the server refuses never arrives; sending everything again and again would not help."""
    a, refused = item("/a"), item("/refused")

    async def run() -> None:
        for first in (1, 4, 7, 10):
            records = [SNAPSHOT, a, confirmation([a, refused])]
            await machine.send(DATA, *(machine.record(DATA, first + n, **r) for n, r in enumerate(records)))

    asyncio.run(run())
    machine.settle()
    assert events.resyncs == [(machine.identity.machine_id, Kind.FILES)]


def test_a_wrong_checksum_asks_for_everything_again(machine: Any, storage: Storage, events: Any) -> None:
    a, b = item("/a"), item("/b")
    send(machine, 1, SNAPSHOT, a, confirmation([a, b]))
    assert events.resyncs == [(machine.identity.machine_id, Kind.FILES)]
    send(machine, 4, SNAPSHOT, a, b, confirmation([a, b]))
    assert len(events.resyncs) == 1
    assert set(paths(storage, machine)) == {"/a", "/b"}


def test_what_followed_a_confirmation_is_checked_by_the_next(machine: Any, events: Any) -> None:
    """The same checksum as before says nothing when a record came in between and its opposite was lost."""
    a = item("/a")
    gone = {"_Record": "Tombstone", "ConfigDataType": "Files", "FileSystemPath": "/a", "Reason": "Removed"}

    async def run() -> None:
        records = [SNAPSHOT, a, confirmation([a]), gone]
        await machine.send(DATA, *(machine.record(DATA, n, **record) for n, record in enumerate(records, 1)))
        await machine.send(DATA, machine.record(DATA, 6, **confirmation([a])))  # 5 added it again and never came

    asyncio.run(run())
    machine.settle()
    assert events.resyncs == [(machine.identity.machine_id, Kind.FILES)]


def test_names_that_are_no_text_keep_their_identity(machine: Any, storage: Storage, events: Any) -> None:
    first = item("/\ufffd", PathBytes=base64.b64encode(b"/\xff").decode(), DateModified="1601-01-01T00:00:00.0000000Z")
    second = item("/\ufffd", PathBytes=base64.b64encode(b"/\xfe").decode())
    send(machine, 1, SNAPSHOT, first, second, confirmation([first, second]))
    assert events.resyncs == []
    rows = storage.query(
        "SELECT PathBytes FROM ConfigurationData WHERE SourceComputerId = {m:String}",
        {"m": machine.identity.machine_id},
    )
    assert {row["PathBytes"] for row in rows} == {first["PathBytes"], second["PathBytes"]}


def test_retention_never_drops_current_state_nor_watermarks(machine: Any, storage: Storage, events: Any) -> None:
    a, b = item("/a"), item("/b")
    gone = {"_Record": "Tombstone", "ConfigDataType": "Files", "FileSystemPath": "/b", "Reason": "Removed"}
    send(machine, 1, SNAPSHOT, a, b, confirmation([a, b]))
    send(machine, 5, item("/a", Size=2), gone, confirmation([item("/a", Size=2)]))
    asyncio.run(machine.changes(1, 2, 3))
    before = paths(storage, machine)
    later = datetime.now(UTC) + timedelta(days=40)
    dropped = storage.retain({"ConfigurationData": 30, "ConfigurationChange": 30}, now=later)
    assert dropped["ConfigurationData"] >= 4
    assert dropped["ConfigurationChange"] >= 3
    assert paths(storage, machine) == before == {"/a": 7}
    marks = {m["stream"]: m["last"] for m in storage.watermarks() if m["machine"] == machine.identity.machine_id}
    assert marks == {"CONFIG_DATA_BLOB_V2": 7, "CONFIG_CHANGE_BLOB_V2": 3}
    send(machine, 8, confirmation([item("/a", Size=2)]))
    assert events.resyncs == []


def test_a_record_that_comes_late_does_not_rise_after_retention(machine: Any, storage: Storage) -> None:
    """The tombstone is older than the cutoff, the item that it ended filled its hole after it."""
    gone = {"_Record": "Tombstone", "ConfigDataType": "Files", "FileSystemPath": "/late", "Reason": "Removed"}
    send(machine, 3, gone)
    old = storage.query(
        "SELECT max(IngestedAt) AS at FROM InventoryRecord WHERE SourceComputerId = {m:String}",
        {"m": machine.identity.machine_id},
    )[0]["at"]
    send(machine, 2, item("/late"))
    assert paths(storage, machine) == {}
    moment = datetime.fromtimestamp(parse_time(old) / 10**9 + 0.001, UTC)
    storage.retain({"ConfigurationData": 1}, now=moment + timedelta(days=1))
    assert paths(storage, machine) == {}


def test_a_machine_is_found_by_its_id_in_any_case(machine: Any, storage: Storage) -> None:
    send(machine, 1, item("/a"))
    asyncio.run(machine.changes(1))

    async def run() -> None:
        reader = Reader(storage)
        upper = machine.identity.machine_id.upper()
        try:
            assert len((await reader.inventory(InventoryFilter(machine=upper))).rows) == 1
            assert len((await reader.changes(ChangeFilter(machine=upper))).rows) == 1
        finally:
            reader.close()

    asyncio.run(run())


@pytest.mark.parametrize("pattern", ["/etc/[z-a]*", "[!]", "[^]x]", "?" * 30_000, "[a-]", "[[:alpha:]]", "[\\d]*"])
def test_a_pattern_that_is_none_is_the_callers_mistake(machine: Any, storage: Storage, pattern: str) -> None:
    async def run() -> None:
        await machine.changes(1)
        reader = Reader(storage)
        try:
            await reader.changes(ChangeFilter(machine=machine.identity.machine_id, path=pattern))
        finally:
            reader.close()

    with suppress(RecordError):
        asyncio.run(run())


def test_paging_neither_loses_nor_repeats_while_rows_are_added(machine: Any, storage: Storage) -> None:
    async def run() -> list[int]:
        same = {"TimeGenerated": "2026-03-01T00:00:00.0000000Z"}
        await machine.changes(*range(1, 41), **same)
        reader = Reader(storage)
        wanted = ChangeFilter(machine=machine.identity.machine_id)
        seen: list[int] = []
        cursor: str | None = None
        following = 41
        while True:
            page = await reader.changes(wanted, limit=7, cursor=cursor)
            seen += [row["Sequence"] for row in page.rows]
            if page.cursor is None:
                break
            cursor = page.cursor
            await machine.changes(following, TimeGenerated="2026-03-02T00:00:00.0000000Z")
            following += 1
        reader.close()
        return seen

    assert sorted(asyncio.run(run())) == list(range(1, 41))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("/etc", {1, 2}), ("/etc/*.conf", {2}), ("/e?c/[h]osts", {1}), ("hosts", {1}), ("/opt'", {3}), ("/et", set())],
)
def test_paths_filter_by_prefix_or_glob(machine: Any, storage: Storage, pattern: str, found: set[int]) -> None:
    names = ("/etc/hosts", "/etc/a.conf", "/opt'/x")

    async def run() -> set[int]:
        stream = DataType.CONFIG_CHANGE_V2
        rows = [
            machine.record(stream, n, FileSystemPath=path, Name=path.rpartition("/")[2], ConfigChangeType="Files")
            for n, path in enumerate(names, 1)
        ]
        await machine.send(stream, *rows)
        reader = Reader(storage)
        page = await reader.changes(ChangeFilter(machine=machine.identity.machine_id, path=pattern))
        reader.close()
        return {row["Sequence"] for row in page.rows}

    assert asyncio.run(run()) == found


def test_readers_cannot_write_nor_read_files(storage: Storage) -> None:
    for sql in ("INSERT INTO Watermark (Epoch) VALUES ('x')", "SELECT * FROM file('/etc/passwd', 'LineAsString')"):
        with pytest.raises(Exception, match="readonly"):
            storage.query(sql)


def test_a_backup_is_made_while_running(machine: Any, storage: Storage, tmp_path: Path) -> None:
    asyncio.run(machine.changes(1))
    parts = backup(storage, str(tmp_path / "backup"))
    assert parts["ConfigurationChange"] >= 1
    assert (tmp_path / "backup" / "manifest.json").exists()
