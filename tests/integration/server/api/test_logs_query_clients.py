"""The Logs Query interface, asked by both generations of the client library, each in a process of its own.

They differ on the wire: 1.x has no `/v1` of its own in the path and another shape of batch; and both are in use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.server.api.conftest import RunningServer
from integration.server.api.test_server_over_http import machine_with_changes

OLDER = Path(sys.prefix) / "azure-monitor-query-1"
"""Where tests/azure-monitor-query installs it."""
GENERATIONS = [
    pytest.param(("2", ""), id="2"),
    pytest.param(("2", "/v1"), id="2-v1"),
    pytest.param(("1", ""), id="1", marks=pytest.mark.azure),
    pytest.param(("1", "/v1"), id="1-v1", marks=pytest.mark.azure),
]
MINE = "ConfigurationChange | where Computer == 'asked-by-azure'"


class Asker:
    """A process with one client in it."""

    def __init__(self, process: subprocess.Popen[str], generation: str, resource: str) -> None:
        self._process = process
        self.generation = generation
        self.resource = resource

    def __call__(self, expression: str) -> Any:
        """Return what an expression gives there (azure_asker.py)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(expression.replace("\n", " "), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the asker ended: {expression}"
        return json.loads(line)

    def row(self, expression: str) -> Any:
        """Return the only row of the answer."""
        answer = self(expression)
        assert answer["kind"] == "LogsQueryResult", answer
        [row] = answer["tables"][0]["rows"]
        return row


@contextmanager
def asking(
    server: RunningServer, generation: str, path: str = "", token: str = "", resource: str = ""
) -> Iterator[Asker]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if generation == "1":
        assert (OLDER / "installed").exists(), "the library is missing: run tests/azure-monitor-query"
        environment["PYTHONPATH"] = str(OLDER)
    with server.owner as owner:
        workspace = owner.get("/api/v1/workspace").json()["workspaceId"]
    program = Path(__file__).with_name("azure_asker.py")
    command = [sys.executable, str(program), server.url + path, token or server.owner_token, workspace]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        yield Asker(process, generation, resource)
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def machine(server: RunningServer) -> Any:
    return machine_with_changes(server, "asked-by-azure")


@pytest.fixture(scope="module", params=GENERATIONS)
def asker(request: pytest.FixtureRequest, server: RunningServer, machine: Any) -> Iterator[Asker]:
    generation, path = request.param
    with asking(server, generation, path, resource=machine["resourceId"]) as found:
        yield found


@pytest.fixture(params=["2", pytest.param("1", marks=pytest.mark.azure)])
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_is_the_library_that_is_meant(asker: Asker) -> None:
    version = asker("version")
    assert version.split(".")[0] == asker.generation
    assert version == "1.4.1" or asker.generation == "2"


def test_every_type_of_column_with_a_value_and_without(asker: Asker) -> None:
    values = (
        "b=true, i=int(5), l=long(9007199254740993), r=1.5, s='text', t=datetime(2026-01-02 03:04:05.1234567), "
        "d=1d+2h, g=guid(74be27de-1e4e-49d9-b579-fe0b331d3642), j=dynamic([1,null]), c=decimal(1.25)"
    )
    answer = asker(f'ask("print {values}")')
    assert answer["status"] == "Success"
    [table] = answer["tables"]
    assert table["name"] == "PrimaryResult"
    types = ["bool", "int", "long", "real", "string", "datetime", "timespan", "guid", "dynamic", "decimal"]
    assert table["types"] == types
    assert table["columns"] == list("bilrstdgjc")
    [row] = table["rows"]
    assert row[:5] == [True, 5, 9007199254740993, 1.5, "text"]
    assert row[5] == "2026-01-02T03:04:05.123456+00:00"  # Python counts microseconds
    assert row[6:8] == ["1.02:00:00", "74be27de-1e4e-49d9-b579-fe0b331d3642"]
    assert json.loads(row[8]) == [1, None]
    assert row[9] == "1.25"
    nulls = ", ".join(f"{type_}(null)" for type_ in types if type_ != "string")
    row = asker.row(f'ask("print {nulls}")')
    assert [None if value == "None" else value for value in row] == [None] * 9  # the library makes texts of some
    assert asker.row("""ask("print real(nan), real(+inf), real(-inf)")""") == ["NaN", "Infinity", "-Infinity"]


def test_every_column_of_every_table_is_read(asker: Asker) -> None:
    for name in ("ConfigurationChange", "ConfigurationData", "Heartbeat", "TrackingHealth"):
        answer = asker(f'ask("{name} | take 3")')
        assert answer["status"] == "Success", answer
        [table] = answer["tables"]
        assert all(len(row) == len(table["columns"]) == len(table["types"]) for row in table["rows"])
    assert asker.row(f"ask(\"{MINE} | where FileSystemPath == '/etc/7.conf' | project Sequence\")") == [7]


@pytest.mark.parametrize(
    ("timespan", "count"),
    [
        ("timedelta(hours=1)", 20),
        ("(datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) - timedelta(days=1))", 0),
        ("(datetime.now(UTC) - timedelta(hours=1), timedelta(hours=2))", 20),
        ("(datetime.now(UTC) - timedelta(hours=3), timedelta(hours=1))", 0),
        ("(datetime.now() - timedelta(days=1), datetime.now() + timedelta(days=1))", 20),
        ("None", 20),
    ],
)
def test_timespans(asker: Asker, timespan: str, count: int) -> None:
    assert asker.row(f'ask("{MINE} | count", {timespan})') == [count]


def test_statistics_and_visualization(asker: Asker) -> None:
    query = f"{MINE} | summarize n = count() by bin(TimeGenerated, 1h) | render timechart with (title='Changes')"
    answer = asker(f'ask("{query}", include_statistics=True, include_visualization=True)')
    assert answer["statistics"]["query"]["executionTime"] > 0
    assert answer["visualization"]["visualization"] == "timechart"
    assert answer["visualization"]["title"] == "Changes"
    bare = asker(f'ask("{query}")')
    assert not bare["statistics"]
    assert not bare["visualization"]


def test_an_answer_that_was_cut(asker: Asker) -> None:
    answer = asker('ask("range x from 1 to 500001 step 1")')
    assert answer["kind"] == "LogsQueryPartialResult"
    assert (answer["status"], answer["rows"]) == ("PartialError", [500_000])
    assert "500000" in answer["details"]


def test_a_timeout_of_the_askers(asker: Asker) -> None:
    query = "range x from 1 to 1000000000000 step 1 | summarize max(x % 7)"
    answer = asker(f'ask("{query}", server_timeout=1, retry_total=0)')
    assert (answer["kind"], answer["status"], answer["code"]) == ("HttpResponseError", 504, "GatewayTimeout")


@pytest.mark.parametrize(
    ("query", "inner", "word"),
    [
        ("ConfigurationChange | whre Computer == 'x'", "SyntaxError", "where"),
        ("ConfigurationChange | where Compter == 'x'", "SemanticError", "Computer"),
        ("ConfigurationChnge", "SemanticError", "ConfigurationChange"),
        ("print x=", "SyntaxError", "line 1"),
    ],
)
def test_what_is_wrong_with_a_query(asker: Asker, query: str, inner: str, word: str) -> None:
    answer = asker(f'ask("{query}")')
    assert (answer["kind"], answer["status"], answer["code"]) == ("HttpResponseError", 400, "BadArgumentError")
    assert answer["inner"]["code"] == inner
    assert word in answer["inner"]["message"]


def test_another_workspace_is_not_there(asker: Asker) -> None:
    answer = asker('ask("print 1", additional_workspaces=["6f2d2b6c-0000-4000-8000-000000000000"])')
    assert (answer["status"], answer["code"]) == (404, "WorkspaceNotFoundError")
    assert asker.row('ask("print 1", additional_workspaces=[workspace])') == [1]


def test_a_batch(asker: Asker) -> None:
    good, bad, counted, cut, slow = asker(
        'ask_batch(("print x=1", {}), ("print x=", {}),'
        f' ("{MINE} | count", {{"include_statistics": True, "include_visualization": True}}),'
        ' ("range x from 1 to 500001 step 1", {}),'
        ' ("range x from 1 to 1000000000000 step 1 | summarize max(x % 7)", {"server_timeout": 1}))'
    )
    assert good["tables"][0]["rows"] == [[1]]
    assert (bad["kind"], bad["status"], bad["code"]) == ("LogsQueryError", "Failure", "BadArgumentError")
    assert counted["tables"][0]["rows"] == [[20]]
    assert counted["statistics"]["query"]["executionTime"] > 0
    assert (cut["kind"], cut["rows"]) == ("LogsQueryPartialResult", [500_000])
    assert (slow["kind"], slow["code"]) == ("LogsQueryError", "GatewayTimeout")


def test_a_machine_as_a_resource(asker: Asker, request: pytest.FixtureRequest) -> None:
    resource = asker.resource
    count = 'ask_resource("{}", "ConfigurationChange | where Computer == \'asked-by-azure\' | count")'
    if "[1]" in request.node.name:  # without /v1 its path is that of the agents' own interface
        assert asker(count.format(resource))["status"] in (404, 405)
        return
    assert asker.row(count.format(resource)) == [20]
    group = resource.partition("/providers/")[0]
    assert asker.row(count.format(group)) == [20]
    assert asker.row(count.format(resource + "0")) == [0]
    assert asker.row(f'ask_resource("{resource}", "ConfigurationChange | count", timedelta(hours=1))') == [20]


def test_tokens_that_are_none(generation: str, server: RunningServer) -> None:
    with asking(server, generation, "/v1", token="wcp1.a.b") as stranger:
        answer = stranger('ask("print 1")')
        assert (answer["status"], answer["code"]) == (401, "InvalidCredential")


def test_too_many_questions_are_told_when_to_come_again(generation: str, serve: Any, tmp_path: Path) -> None:
    """The library waits as long as it was told to, and asks again: nobody notices more than a delay."""
    limits = {"of_one_in_window": 3, "window_seconds": 4.0}
    with serve(str(tmp_path), tls="off", questions=limits) as server:
        with asking(server, generation, "/v1") as asker:
            for _ in range(3):
                assert asker.row('ask("print 1")') == [1]
            refused = asker('ask("print 1", retry_total=0)')
            assert (refused["status"], refused["code"]) == (429, "ThrottledError")
            assert 1 <= int(refused["retry_after"]) <= 4
            assert asker.row('ask("print 1")') == [1]
        with server.owner as owner:
            metrics = owner.get("/metrics").text
        counted = [line for line in metrics.splitlines() if line.startswith("whatchanged_queries_refused_total")]
        assert 'whatchanged_queries_refused_total{reason="rate"}' in counted[0]
        assert float(counted[0].split()[-1]) >= 2


def test_one_dashboard_does_not_keep_others_from_their_turn(serve: Any, tmp_path: Path) -> None:
    limits = {"at_once": 2, "of_one_at_once": 1, "of_one_waiting": 2}
    slow = {"query": "range x from 1 to 1000000000000 step 1 | summarize max(x % 7)"}
    with serve(str(tmp_path), tls="off", questions=limits) as server, server.owner as owner:
        path = f"/v1/workspaces/{owner.get('/api/v1/workspace').json()['workspaceId']}/query"
        other = owner.post("/api/v1/tokens", json={"name": "other", "role": "Reader"}).json()["token"]
        program = (
            "import httpx, sys\n"
            "url, token, query = sys.argv[1:]\n"
            "headers = {'authorization': 'Bearer ' + token, 'prefer': 'wait=120'}\n"
            "print(httpx.post(url, json={'query': query}, headers=headers, timeout=300, trust_env=False).status_code)\n"
        )
        command = [sys.executable, "-c", program, server.url + path, server.owner_token, slow["query"]]
        dashboard = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
        try:
            with server.client(None) as watching:

                def gauge(name: str) -> float:
                    lines = watching.get("/metrics").text.splitlines()
                    return next(
                        float(line.split()[1]) for line in lines if line.startswith(f"whatchanged_queries_{name} ")
                    )

                while gauge("running") + gauge("waiting") < 3:  # the dashboard's processes start as they can
                    assert all(process.poll() is None for process in dashboard)
                assert (gauge("running"), gauge("waiting")) == (1, 2)
                refused = owner.post(path, json={"query": "print 1"})
                assert (refused.status_code, refused.json()["error"]["code"]) == (429, "ThrottledError")
                assert int(refused.headers["retry-after"]) >= 1
                batch = {"requests": [{"id": "1", "body": {"query": "print 1"}, "workspace": path.split("/")[3]}]}
                [part] = owner.post("/v1/$batch", json=batch).json()["responses"]
                assert part["status"] == 429
                assert int(part["headers"]["Retry-After"]) >= 1
                with server.client(other) as neighbour:
                    assert neighbour.post(path, json={"query": "print 1"}).json()["tables"][0]["rows"] == [[1]]
                for process in dashboard:
                    process.kill()
                while gauge("running") + gauge("waiting"):  # who goes away leaves no query behind
                    pass
        finally:
            for process in dashboard:
                process.kill()
                process.communicate()
