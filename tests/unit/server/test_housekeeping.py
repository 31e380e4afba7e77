"""What the server does on its own, on real databases."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy import update

from whatchanged.errors import StateError, StorageFull
from whatchanged.records.times import now_ns
from whatchanged.server.api.context import Context
from whatchanged.server.control import MachineFacts, schema
from whatchanged.server.housekeeping import Housekeeping
from whatchanged.server.settings_in_force import SettingsInForce


def enrol(context: Context) -> tuple[str, str]:
    _, token = context.control.machines.create_enrollment_token("test", "g", (), 1, now_ns() + 10**12, "-")
    enrolled = context.control.machines.enroll(token, MachineFacts(computer="quiet"))
    return enrolled.identity.machine_id, enrolled.credential


def housekeeping(context: Context, **options: Any) -> Housekeeping:
    given: dict[str, Any] = {"silence_seconds": 0, "pace_seconds": 1, "renew": None} | options
    return Housekeeping(context, **given)


def silences(context: Context, *machines: str) -> int:
    rows = context.storage.query(
        "SELECT count() AS n FROM TrackingHealth WHERE Reason = 'Silent' AND SourceComputerId IN {m:Array(String)}",
        {"m": list(machines)},
    )
    return int(rows[0]["n"])


def test_silent_machines_are_reported_together_and_once(context: Context) -> None:
    """A network that is down silences thousands at once; an insert each would be more parts than the engine takes."""
    silent = [enrol(context)[0] for _ in range(20)]
    before = context.storage.query("SELECT uniq(_part) AS n FROM TrackingHealth")[0]["n"]
    work = housekeeping(context)
    asyncio.run(work.once())
    asyncio.run(work.once())
    assert silences(context, *silent) == 20
    assert context.storage.query("SELECT uniq(_part) AS n FROM TrackingHealth")[0]["n"] <= before + 1


def test_a_duty_that_fails_keeps_no_other_from_its_turn(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    retained: list[object] = []
    monkeypatch.setattr(type(context.storage), "retain", lambda _self, days: retained.append(days))

    def renew() -> None:
        raise StateError("the key is gone")

    context.control.settings.set_retention("test", {"Heartbeat": 30, "TrackingHealth": 20})
    monkeypatch.setattr(context, "settings", SettingsInForce(fixed_retention={"TrackingHealth": 10}))
    work = housekeeping(context, renew=renew, silence_seconds=900)
    work._hourly_done -= 3601
    with caplog.at_level(logging.ERROR):
        asyncio.run(work.once())
    assert "the key is gone" in caplog.text
    # What was set just now may have been a mistake; what the start says was there before.
    assert retained == [{"TrackingHealth": 10}]
    with context.control.database.write() as connection:
        connection.execute(update(schema.settings).values(updated_at=now_ns() - 3601 * 10**9))
    work._hourly_done -= 3601
    asyncio.run(work.once())
    assert retained[1:] == [{"Heartbeat": 30, "TrackingHealth": 10}]


def test_contacts_that_could_not_be_written_down_are_kept(context: Context) -> None:
    machine, credential = enrol(context)
    machines = context.control.machines
    machines.flush_contacts()
    before = now_ns()
    machines.authenticate(credential, None)
    # A real refusal by the database.
    with context.control.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER closed BEFORE UPDATE ON machines BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
    try:
        with pytest.raises((StateError, StorageFull)):
            machines.flush_contacts()
    finally:
        with context.control.database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER closed")
    machines.flush_contacts()
    assert machine not in [found.machine_id for found, _ in machines.newly_silent(before)]
