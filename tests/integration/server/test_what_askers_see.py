"""What an asker may not see he learns nothing of: not as rows, and not by what a condition says of them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from whatchanged.errors import OperationError
from whatchanged.records.streams import DataType
from whatchanged.server.ingest import Ingestor
from whatchanged.server.query import FUNCTIONS, Answer, Questions, View
from whatchanged.server.storage import Storage

SECRET = "what-only-the-hidden-machine-says"
# Sent together with the rows that may be seen, so that the engine reads both when it reads one.
HEALTH = {"Component": "FileCollector", "Status": "Warning", "Reason": "Denied"}
SECRET_COLUMN = {
    "ConfigurationChange": "FileContentChecksum",
    "ConfigurationData": "FileContentChecksum",
    "TrackingHealth": "Detail",
    "Heartbeat": "Computer",
}
# True for no row; for a row that says the secret it is an error: "[" is no pattern.
ORACLE = "matches regex iff({column} == '" + SECRET + "', '[', 'b')"


@pytest.fixture(scope="module")
def questions(storage: Storage) -> Iterator[Questions]:
    opened = Questions(storage, FUNCTIONS)
    yield opened
    opened.close()


@pytest.fixture
def neighbours(machine: Any, ingestor: Ingestor, storage: Storage) -> tuple[str, str]:
    """The ids of two machines with the same sort of rows in the same parts of the tables; the second has the secret."""
    hidden = dataclasses.replace(machine, identity=type(machine)(ingestor, machine.events, storage).identity)
    hidden.epoch = type(machine)(ingestor, machine.events, storage).epoch

    async def send() -> None:
        for one, says in ((machine, "open"), (hidden, SECRET)):
            item = {"ConfigDataType": "Files", "FileSystemPath": "/a", "FileContentChecksum": says}
            confirmed = {"_Record": "Confirmation", "ConfigDataType": "Files", "Items": 1, "Checksum": "0" * 64}
            snapshot = {"_Record": "Snapshot", "ConfigDataType": "Files"}
            await one.changes(*range(1, 20), FileContentChecksum=says)
            data = DataType.CONFIG_DATA_V2
            records: tuple[dict[str, Any], ...] = (snapshot, item, {**confirmed, "Scope": "All", "NotConfirmed": []})
            await one.send(data, *(one.record(data, n, **record) for n, record in enumerate(records, 1)))
            health = DataType.TRACKING_HEALTH
            await one.send(health, one.record(health, 1, **HEALTH, Detail=says))
            beat = DataType.HEALTH_ASSESSMENT
            await one.send(beat, one.record(beat, 1, Computer=says))

    asyncio.run(send())
    with storage.writes_held() as client:
        for table in ("ConfigurationChange", "InventoryRecord", "TrackingHealth", "Heartbeat"):
            client.command(f"OPTIMIZE TABLE {table} FINAL")
    return machine.identity.machine_id, hidden.identity.machine_id


def ask(questions: Questions, text: str, *machines: str) -> Answer:
    return asyncio.run(questions.ask(text, View(machines=machines), wait=60))


WAYS = [
    "{table} | where 'a' {oracle} | count",
    "{table} | extend x = 'a' {oracle} | where x | count",
    "{table} | where TimeGenerated > datetime(2020-01-01) and 'a' {oracle} | count",
    "{table} | where Computer has 'o' or 'a' {oracle} | count",
    "{table} | where SourceComputerId != '' | where 'a' {oracle} | count",
    "{table} | summarize n = countif('a' {oracle}) by Computer | where n > 0 | count",
    "{table} | summarize take_any(Computer) by k = iff('a' {oracle}, 1, 2) | where k == 1 | count",
    "{table} | join kind=inner ({table} | where 'a' {oracle}) on Computer | count",
    "{table} | join kind=leftouter {table} on SourceComputerId | where 'a' {oracle} | count",
    "{table} | sort by TimeGenerated | serialize p = prev(Computer) | where 'a' {oracle} | count",
    "{table} | top 5 by iff('a' {oracle}, 1, 2) | where 'a' {oracle} | count",
    "union {table}, {table} | where 'a' {oracle} | count",
    "{table} | where Computer in (({table} | where 'a' {oracle} | project Computer)) | count",
    "print toscalar({table} | where 'a' {oracle} | count)",
]


@pytest.mark.parametrize("table", list(SECRET_COLUMN))
def test_a_condition_is_not_asked_of_rows_that_are_hidden(
    table: str, neighbours: tuple[str, str], questions: Questions
) -> None:
    own, hidden = neighbours
    oracle = ORACLE.format(column=SECRET_COLUMN[table])
    assert ask(questions, f"{table} | count", own).rows != [[0]]
    for way in WAYS:
        text = way.format(table=table, oracle=oracle)
        assert ask(questions, text, own).rows == [[0]], text
        with pytest.raises(OperationError):  # who may see the row is told: the question asks what it means to ask
            ask(questions, text, own, hidden)


@pytest.mark.parametrize("table", list(SECRET_COLUMN))
def test_the_same_of_a_resource(table: str, neighbours: tuple[str, str], questions: Questions) -> None:
    own, hidden = neighbours
    [[resource]] = ask(questions, f"{table} | distinct _ResourceId", own).rows
    text = f"{table} | where 'a' {ORACLE.format(column=SECRET_COLUMN[table])} | count"
    view = View(machines=(own, hidden), resource=resource.rpartition("/")[0] + "/nobody")
    assert asyncio.run(questions.ask(text, view, wait=60)).rows == [[0]]


def test_a_name_is_no_place_for_a_value(questions: Questions) -> None:
    for name in ("100 % of", "%s", "%(view_machines)s", "{view_machines:Array(String)}"):
        answer = ask(questions, f"print ['{name}'] = true", "some-machine")
        assert answer.columns[0][0] == name
        assert answer.rows == [[True]]
