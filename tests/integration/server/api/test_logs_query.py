"""The Logs Query interface, asked by the unmodified client library."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.monitor.query import LogsBatchQuery, LogsQueryClient, LogsQueryPartialResult, LogsQueryStatus

from integration.server.api.conftest import RunningServer
from integration.server.api.test_server_over_http import machine_with_changes


class PlainToken:
    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self._token, 2**31)


class Asking:
    """A client, and the workspace that it asks."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        with server.owner as owner:
            self.workspace = owner.get("/api/v1/workspace").json()["workspaceId"]
        self.client = LogsQueryClient(PlainToken(server.owner_token), endpoint=server.url)

    def ask(self, query: str, **options: Any) -> Any:
        options = {"timespan": None, "enforce_https": False, **options}
        return self.client.query_workspace(self.workspace, query, **options)


@pytest.fixture(scope="module")
def asking(server: RunningServer) -> Asking:
    machine_with_changes(server, "asked-1")
    return Asking(server)


MINE = "ConfigurationChange | where Computer == 'asked-1'"


def test_rows_of_every_type(asking: Asking) -> None:
    query = (
        "print b=true, i=int(5), l=long(9007199254740993), r=1.5, s='text', t=datetime(2026-01-02 03:04:05.1234567), "
        "d=1d+2h, g=guid(74be27de-1e4e-49d9-b579-fe0b331d3642), j=dynamic({'a':[1,2]}), n=int(null), c=decimal(1.25)"
    )
    answer = asking.ask(query)
    assert answer.status == LogsQueryStatus.SUCCESS
    [table] = answer.tables
    assert dict(zip(table.columns, table.columns_types, strict=True)) == {
        "b": "bool", "i": "int", "l": "long", "r": "real", "s": "string", "t": "datetime", "d": "timespan",
        "g": "guid", "j": "dynamic", "n": "int", "c": "decimal",
    }  # fmt: skip
    [row] = table.rows
    assert row["b"] is True
    assert row["l"] == 9007199254740993
    assert row["t"] == datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)  # Python counts microseconds
    assert row["d"] == "1.02:00:00"
    assert json.loads(row["j"]) == {"a": [1, 2]}
    assert row["n"] is None


def test_what_was_sent_is_answered(asking: Asking) -> None:
    answer = asking.ask(f"{MINE} | where FileSystemPath endswith '7.conf' | project FileSystemPath, Sequence")
    assert sorted(list(row) for row in answer.tables[0].rows) == [["/etc/17.conf", 17], ["/etc/7.conf", 7]]
    assert asking.ask(f"{MINE} | count").tables[0].rows[0][0] == 20


def test_the_timespan_is_met_with_the_querys_own_time(asking: Asking) -> None:
    query = f"{MINE} | count"
    assert asking.ask(query, timespan=timedelta(hours=1)).tables[0].rows[0][0] == 20
    past = (datetime.now(UTC) - timedelta(days=3), datetime.now(UTC) - timedelta(days=2))
    assert asking.ask(query, timespan=past).tables[0].rows[0][0] == 0
    assert asking.ask(f"{MINE} | where TimeGenerated < ago(1d) | count").tables[0].rows[0][0] == 0


def test_a_wrong_query_is_an_error_with_its_place(asking: Asking) -> None:
    with pytest.raises(HttpResponseError) as caught:
        asking.ask("ConfigurationChange | whre Computer == 'x'")
    assert caught.value.status_code == 400
    assert caught.value.error is not None
    assert caught.value.error.code == "BadArgumentError"
    inner = caught.value.error.innererror
    assert inner["code"] == "SyntaxError"
    assert "where" in inner["message"]
    with pytest.raises(HttpResponseError) as caught:
        asking.ask("ConfigurationChange | where Compter == 'x'")
    assert caught.value.error is not None
    assert caught.value.error.innererror["code"] == "SemanticError"
    assert "Computer" in caught.value.error.innererror["message"]


def test_statistics_and_the_hints_of_render(asking: Asking) -> None:
    answer = asking.ask(
        f"{MINE} | summarize count() by bin(TimeGenerated, 1h) | render timechart with (title='Changes')",
        include_statistics=True,
        include_visualization=True,
    )
    assert answer.statistics["query"]["executionTime"] > 0
    assert answer.visualization["visualization"] == "timechart"
    assert answer.visualization["title"] == "Changes"


def test_a_batch_answers_every_question(asking: Asking) -> None:
    requests = [
        LogsBatchQuery(asking.workspace, "print x=1", timespan=None),
        LogsBatchQuery(asking.workspace, "print x=", timespan=None),
        LogsBatchQuery(asking.workspace, f"{MINE} | count", timespan=timedelta(days=1)),
    ]
    answers: Any = asking.client.query_batch(requests, enforce_https=False)
    good, bad, counted = answers
    assert good.tables[0].rows[0][0] == 1
    assert bad.status == LogsQueryStatus.FAILURE
    assert counted.tables[0].rows[0][0] == 20


def test_more_rows_than_the_limit_are_a_partial_answer(asking: Asking) -> None:
    answer = asking.ask("range x from 1 to 500001 step 1")
    assert isinstance(answer, LogsQueryPartialResult)
    assert answer.status == LogsQueryStatus.PARTIAL
    assert len(answer.partial_data[0].rows) == 500_000
    assert answer.partial_error is not None
    assert "500000" in str(answer.partial_error.details)


def test_a_resource_is_asked_for_what_belongs_to_it(asking: Asking) -> None:
    resource = asking.ask(f"{MINE} | distinct _ResourceId").tables[0].rows[0][0]
    query = "ConfigurationChange | count"
    counted: Any = asking.client.query_resource(resource, query, timespan=None, enforce_https=False)
    assert counted.tables[0].rows[0][0] == 20
    other = resource.rpartition("/")[0] + "/nobody"
    counted = asking.client.query_resource(other, query, timespan=None, enforce_https=False)
    assert counted.tables[0].rows[0][0] == 0


def test_a_question_that_takes_too_long_is_ended(asking: Asking) -> None:
    with pytest.raises(HttpResponseError) as caught:
        asking.ask("range x from 1 to 1000000000000 step 1 | summarize max(x % 7)", server_timeout=1, retry_total=0)
    assert caught.value.status_code == 504


def test_get_and_the_refusals(asking: Asking) -> None:
    with asking.server.owner as owner:
        path = f"/v1/workspaces/{asking.workspace}/query"
        answer = owner.get(path, params={"query": "print x=1", "timespan": "PT1H"})
        assert answer.json()["tables"][0]["rows"] == [[1]]
        nulls = owner.post(path, json={"query": "print timespan(null), guid(null), decimal(null)"})
        assert nulls.json()["tables"][0]["rows"] == [[None, None, None]]
        for wish in ("wait=\xb2", "wait=" + "9" * 5000, "wait=-1", "wait", "wait=;;,=,wait=x"):
            wished = owner.post(path, json={"query": "print 1"}, headers=[(b"prefer", wish.encode("latin-1"))])
            assert wished.status_code == 200, (wish[:20], wished.text)
        for timespan in ("P" + "9" * 400 + "D", "PT" + "9" * 5000 + "S", "P1D/P1D", "0001-01-01/9999-12-31", "/", "P"):
            spanned = owner.post(path, json={"query": "ConfigurationChange | count", "timespan": timespan})
            assert spanned.status_code in (200, 400), (timespan[:20], spanned.text)
        assert owner.post(path, content=b"{").status_code == 400
        assert owner.post("/v1/workspaces/none/query", json={"query": "print 1"}).status_code == 404
        assert owner.get(path, params={"query": "print 1", "timespan": "yesterday"}).status_code == 400
    with asking.server.client("wcp1.a.b") as stranger:
        assert stranger.post(path, json={"query": "print 1"}).status_code == 401


def test_a_reader_of_one_group_sees_its_machines_only(asking: Asking) -> None:
    with asking.server.owner as owner:
        made = owner.post("/api/v1/tokens", json={"name": "other", "role": "Reader", "machineGroups": ["elsewhere"]})
        assert made.status_code == 201, made.text
    with asking.server.client(made.json()["token"]) as reader:
        path = f"/v1/workspaces/{asking.workspace}/query"
        for table in ("ConfigurationChange", "ConfigurationData", "Heartbeat", "TrackingHealth"):
            answer = reader.post(path, json={"query": f"{table} | count"})
            assert answer.json()["tables"][0]["rows"] == [[0]], (table, answer.text)
        union = "union ConfigurationChange, TrackingHealth | count"
        answer = reader.post(path, json={"query": union})
        assert answer.status_code == 400 or answer.json()["tables"][0]["rows"] == [[0]]
