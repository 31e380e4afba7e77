"""A program that asks by whichever azure-monitor-query its PYTHONPATH finds: expressions come in, a line each, and what
came of them goes out, a JSON value a line. The names they may use are those of `names` below.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, cast

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.monitor.query import LogsBatchQuery, LogsQueryClient


class PlainToken:
    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self._token, 2**31)


def shown(answer: Any) -> Any:
    """Return an answer of the library as JSON has it, with the name of its class."""
    if isinstance(answer, list):
        return [shown(one) for one in answer]
    if isinstance(answer, str):
        return answer
    kind = type(answer).__name__
    if kind == "LogsQueryResult":
        return {
            "kind": kind,
            "status": str(answer.status.value),
            "tables": [table(one) for one in answer.tables],
            "statistics": answer.statistics,
            "visualization": answer.visualization,
        }
    if kind == "LogsQueryPartialResult":
        error = answer.partial_error
        return {
            "kind": kind,
            "status": str(answer.status.value),
            "rows": [len(one.rows) for one in answer.partial_data],
            "code": error.code,
            "details": str(error.details),
        }
    if kind == "LogsQueryError":
        return {"kind": kind, "status": str(answer.status.value), "code": answer.code, "message": answer.message}
    raise TypeError(kind)


def table(one: Any) -> Any:
    rows = [[value.isoformat() if isinstance(value, datetime) else value for value in row] for row in one.rows]
    return {"name": one.name, "columns": list(one.columns), "types": list(one.columns_types), "rows": rows}


def refused(error: HttpResponseError) -> Any:
    body, response = error.error, cast("Any", error.response)
    return {
        "kind": "HttpResponseError",
        "status": error.status_code,
        "code": None if body is None else body.code,
        "inner": None if body is None else body.innererror,
        "retry_after": response.headers.get("Retry-After"),
    }


def main() -> None:
    url, token, workspace = sys.argv[1:]
    client = LogsQueryClient(PlainToken(token), endpoint=url)

    def ask(query: str, timespan: Any = None, **options: Any) -> Any:
        return client.query_workspace(workspace, query, timespan=timespan, enforce_https=False, **options)

    def ask_resource(resource: str, query: str, timespan: Any = None, **options: Any) -> Any:
        return client.query_resource(resource, query, timespan=timespan, enforce_https=False, **options)

    def ask_batch(*queries: Any, **options: Any) -> Any:
        requests = [LogsBatchQuery(workspace, text, timespan=None, **wishes) for text, wishes in queries]
        return client.query_batch(requests, enforce_https=False, **options)

    names = {
        "ask": ask, "ask_resource": ask_resource, "ask_batch": ask_batch, "workspace": workspace,
        "version": version("azure-monitor-query"), "datetime": datetime, "timedelta": timedelta, "UTC": UTC,
    }  # fmt: skip
    for line in sys.stdin:
        try:
            result = shown(eval(line, names))  # noqa: S307 - the tests' own expressions
        except HttpResponseError as error:
            result = refused(error)
        sys.stdout.write(f"{json.dumps(result)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
