"""Rules over HTTP: conditions, versions, checks, and previews as a machine gets and answers them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from whatchanged.rules import DEFAULT_RULE, EMPTY_RULE

WRONG = {"properties": {"dataSources": {"extensions": [{"name": "x", "extensionName": "ChangeTracking-Linux", "extensionSettings": {"fileSettings": {"fileInfo": [{"name": "a", "destinationPath": "etc/x"}]}}}]}}}  # fmt: skip # noqa: E501
PLACE = "properties.dataSources.extensions[0].extensionSettings"


def test_conditions_and_versions(server: Any) -> None:
    with server.owner as owner:
        made = owner.put("/api/v1/rules/shared", json=DEFAULT_RULE, headers={"if-none-match": "*"})
        assert made.status_code == 201, made.text
        assert owner.get("/api/v1/rules/shared").headers["etag"] == made.headers["etag"]
        assert owner.put("/api/v1/rules/shared", json=EMPTY_RULE, headers={"if-none-match": "*"}).status_code == 412
        mine = {"if-match": made.headers["etag"]}
        assert owner.put("/api/v1/rules/shared", json=EMPTY_RULE, headers=mine).status_code == 200
        late = owner.put("/api/v1/rules/shared", json=DEFAULT_RULE, headers=mine)
        assert (late.status_code, late.json()["error"]["code"]) == (412, "PreconditionFailed")
        assert owner.delete("/api/v1/rules/shared", headers=mine).status_code == 412
        newest, first = owner.get("/api/v1/rules/shared/versions").json()["value"]
        assert set(newest) == {"id", "etag", "at", "by"}
        assert newest["at"] >= first["at"]
        assert owner.get(f"/api/v1/rules/shared/versions/{first['id']}").json()["document"] == DEFAULT_RULE
        for odd in ("0", "x", "-1", "9" * 30):
            missing = owner.get(f"/api/v1/rules/shared/versions/{odd}")
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "VersionNotFound")
        (listed,) = [
            one for one in owner.get("/api/v1/rules?documents=false").json()["value"] if one["name"] == "shared"
        ]
        assert "document" not in listed
        assert (listed["machines"], listed["confirmed"]) == (0, 0)


def test_a_check_says_what_is_wrong_where_and_keeps_nothing(server: Any) -> None:
    with server.owner as owner:
        before = owner.get("/api/v1/rules").json()
        checked = owner.post("/api/v1/rule-checks", json=WRONG).json()
        (error,) = [one for one in checked["problems"] if one["severity"] == "error"]
        assert error["place"] == f"{PLACE}.fileSettings.fileInfo[0].destinationPath"
        assert [(one["place"], one["files"]) for one in checked["sources"]] == [(PLACE, 0)]
        refused = owner.post("/api/v1/rule-checks", content=b'{"nothing": 1}')
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "InvalidRule")
        assert owner.get("/api/v1/rules").json() == before


def test_templates_are_rules_without_a_finding(server: Any) -> None:
    with server.owner as owner:
        templates = owner.get("/api/v1/rule-templates").json()["value"]
        assert [one["name"] for one in templates] == ["Recommended", "As in Azure", "Empty"]
        for one in templates:
            checked = owner.post("/api/v1/rule-checks", json=one["document"]).json()
            assert checked["problems"] == []
            assert [source["extensionName"] for source in checked["sources"]] == [
                "ChangeTracking-Windows",
                "ChangeTracking-Linux",
            ]


@pytest.mark.parametrize("saved", [True, False])
def test_a_preview_reaches_the_machine_with_its_document(server: Any, saved: bool) -> None:
    machine, client = server.enrol(f"previewed-{saved}")
    path = f"/api/v1/machines/{machine['machineId']}/requests"
    with server.owner as owner, client:
        owner.put("/api/v1/rules/saved", json=EMPTY_RULE).raise_for_status()
        asked = {"request": "preview", **({"rule": "saved"} if saved else {"document": EMPTY_RULE})}
        answer = owner.post(path, json=asked)
        assert answer.status_code == 202, answer.text
        (given,) = client.get(f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux").json()["requests"]
        assert given["id"] == answer.json()["id"]
        assert json.loads(given["document"]) == EMPTY_RULE
        told = client.post(
            f"/api/v1{machine['resourceId']}/agentConfigurations/requests/{given['id']}",
            json={"success": True, "result": {"rules": []}},
        )
        assert told.status_code == 204, told.text
        found = owner.get(f"{path}/{given['id']}").json()
        assert (found["state"], found["result"]) == ("answered", {"rules": []})
        assert "document" not in found


def test_what_no_machine_could_count_is_not_sent(server: Any) -> None:
    machine, client = server.enrol("unasked")
    path = f"/api/v1/machines/{machine['machineId']}/requests"
    with server.owner as owner, client:
        large = {**EMPTY_RULE, "padding": "x" * 2**20}
        for body, status in (
            ({"request": "preview"}, 400),
            ({"request": "preview", "document": {"no": "rule"}}, 400),
            ({"request": "preview", "document": {"resources": [EMPTY_RULE, EMPTY_RULE]}}, 400),
            ({"request": "scan", "document": EMPTY_RULE}, 400),
            ({"request": "preview", "document": large}, 413),
            ({"request": "preview", "rule": "nowhere"}, 404),
        ):
            answer = owner.post(path, json=body)
            assert answer.status_code == status, (body if len(str(body)) < 1000 else "large", answer.text)
        assert not client.get(f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux").json()["requests"]


def test_who_is_limited_to_groups_previews_only_what_is_saved_and_only_there(server: Any) -> None:
    mine, _ = server.enrol("mine", group="shop")
    other, _ = server.enrol("other", group="bank")
    with server.owner as owner:
        owner.put("/api/v1/rules/saved", json=EMPTY_RULE).raise_for_status()
        tokens = {}
        for name, groups in (("limited", ["shop"]), ("unlimited", None)):
            body: Any = {"name": name, "role": "Contributor", "machineGroups": groups}
            tokens[name] = owner.post("/api/v1/tokens", json=body).json()["token"]
    saved, unsaved = {"request": "preview", "rule": "saved"}, {"request": "preview", "document": EMPTY_RULE}
    for name, machine, body, status in (
        ("limited", mine, saved, 202),
        ("limited", mine, unsaved, 403),
        ("limited", other, saved, 404),
        ("limited", other, unsaved, 404),
        ("unlimited", other, unsaved, 202),
    ):
        with server.client(tokens[name]) as client:
            answer = client.post(f"/api/v1/machines/{machine['machineId']}/requests", json=body)
            assert answer.status_code == status, (name, body, answer.text)


def test_a_machine_confirms_a_rule_by_its_etag(server: Any) -> None:
    machine, client = server.enrol("confirming", group="confirming")

    def standing() -> tuple[int, int]:
        (rule,) = [
            one for one in owner.get("/api/v1/rules?documents=false").json()["value"] if one["name"] == "confirmed"
        ]
        return rule["machines"], rule["confirmed"]

    with server.owner as owner, client:
        owner.put("/api/v1/rules/confirmed", json=DEFAULT_RULE).raise_for_status()
        owner.put("/api/v1/associations/c", json={"rule": "confirmed", "group": "confirming"}).raise_for_status()
        assert standing() == (1, 0)
        path = f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux"
        given = client.get(path)
        assert standing() == (1, 0)  # it was told, and has not said that it holds it
        assert client.get(path, headers={"if-none-match": given.headers["etag"]}).status_code == 304
        assert standing() == (1, 1)
        owner.put("/api/v1/rules/confirmed", json=EMPTY_RULE).raise_for_status()
        assert standing() == (1, 0)
