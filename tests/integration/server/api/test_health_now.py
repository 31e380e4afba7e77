"""What is not well now: the newest word about everything counts, whatever was said before."""

from __future__ import annotations

from typing import Any

import pytest

from integration.server.api.conftest import RunningServer
from whatchanged.records.carrier import new_epoch
from whatchanged.records.health import ENDED_BY, HealthReason
from whatchanged.records.times import now_ns, time_text


def told(server: RunningServer, computer: str, *words: tuple[HealthReason, str], kind: str = "Files") -> Any:
    """Enrol a machine that says these words, one after the other; return its id."""
    machine, client = server.enrol(computer)
    epoch, began = new_epoch(), now_ns() - len(words) * 10**9
    rows = [
        {
            "_Stream": "TRACKING_HEALTH",
            "_Epoch": epoch,
            "_Sequence": at,
            "Component": "Tracker",
            "Kind": kind,
            "Reason": reason.value,
            "Status": status,
            "TimeGenerated": time_text(began + at * 10**9),
        }
        for at, (reason, status) in enumerate(words, 1)
    ]
    path = f"/dataCollectionRules/{machine['implicitRuleId']}/streams/TRACKING_HEALTH?api-version=2023-01-01"
    with client:
        sent = client.post(path, json=rows)
    assert sent.status_code == 204, sent.text
    return machine["machineId"]


def not_well(server: RunningServer, machine: str, *reasons: str) -> tuple[list[str], dict[str, bool]]:
    """Return the reasons that a query has, and for each reason whether the list of machines has the machine."""
    with server.owner as owner:
        query = f"health_now('{machine}') | where Status != 'Ok' | project Reason"
        answer = owner.post("/v1/workspaces/default/query", json={"query": query})
        assert answer.status_code == 200, answer.text
        listed = {}
        for reason in reasons:
            found = owner.get("/api/v1/machines", params={"trouble": reason, "limit": 1000}).json()
            listed[reason] = machine in [one["id"] for one in found["value"]]
    return [row[0] for row in answer.json()["tables"][0]["rows"]], listed


@pytest.mark.parametrize("reason", [*ENDED_BY, HealthReason.GAP, HealthReason.SILENT])
def test_the_newest_word_counts(server: RunningServer, reason: HealthReason) -> None:
    good, subject = HealthReason.STARTED, ENDED_BY.get(reason, reason)
    bad = told(server, f"bad-{reason}", (subject, "Ok"), (good, "Ok"), (reason, "Warning"))
    # That a machine is silent is its state.
    expected: dict[str, bool] = {
        "": reason is not HealthReason.SILENT,
        **{one.value: one is reason for one in (subject, good, reason)},
    }
    assert not_well(server, bad, *expected) == ([reason.value], expected)
    well = told(server, f"well-{reason}", (reason, "Warning"), (subject, "Ok"))
    assert not_well(server, well, *expected) == ([], dict.fromkeys(expected, False))


def test_words_about_different_things_do_not_end_each_other(server: RunningServer) -> None:
    machine = told(server, "both", (HealthReason.GAP, "Warning"), (HealthReason.CONFIGURATION, "Ok"))
    assert not_well(server, machine)[0] == ["Gap"]


def test_watches_that_name_no_kind_do_not_speak_for_each_other(server: RunningServer) -> None:
    words = ((HealthReason.WATCH_LOST, "Error"), (HealthReason.WATCHING, "Ok"))
    machine = told(server, "watches", *words, kind="")
    lost = HealthReason.WATCH_LOST.value
    assert not_well(server, machine, lost) == ([lost], {lost: True})


def test_a_machine_that_was_renamed_is_one_machine(server: RunningServer) -> None:
    machine, client = server.enrol("former")
    rows = [
        {
            "_Stream": "TRACKING_HEALTH",
            "_Epoch": "0" * 32,
            "_Sequence": at,
            "Component": "Tracker",
            "Reason": "Denied",
            "Status": status,
            "Computer": computer,
            "TimeGenerated": time_text(now_ns()),
        }
        for at, (computer, status) in enumerate((("former", "Error"), ("renamed", "Ok")), 1)
    ]
    path = f"/dataCollectionRules/{machine['implicitRuleId']}/streams/TRACKING_HEALTH?api-version=2023-01-01"
    with client:
        assert client.post(path, json=rows).status_code == 204
    assert not_well(server, machine["machineId"], "") == ([], {"": False})
