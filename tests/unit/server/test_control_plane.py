"""The control plane on a real SQLite and a real PostgreSQL: credentials, clones, rules, requests."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from whatchanged.errors import CredentialError, RuleError
from whatchanged.records.times import now_ns
from whatchanged.rules import DEFAULT_RULE
from whatchanged.server.control import Condition, Control, MachineFacts, Refusal, RequestName, Role, clones, schema
from whatchanged.server.control.clones import GRACE_NS, WINDOW_NS, Verdict, judge
from whatchanged.server.control.machine_list import MachineFilter
from whatchanged.server.control.machines import Enrolled
from whatchanged.server.control.tokens import IngestionSigner, private_file

HOUR_NS = 3600 * 10**9


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def dsn(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "server" / "control.db")
    made: str = request.getfixturevalue("postgresql")()
    return made


@pytest.fixture
def control(dsn: str) -> Iterator[Control]:
    plane = Control(dsn)
    yield plane
    plane.close()


@pytest.fixture
def on_sqlite(tmp_path: Any) -> Iterator[Control]:
    plane = Control(str(tmp_path / "server" / "control.db"))
    yield plane
    plane.close()


def enrol(control: Control, name: str = "web-1", group: str = "default", rules: tuple[str, ...] = ()) -> Enrolled:
    _, token = control.machines.create_enrollment_token("test", group, rules, 1, now_ns() + HOUR_NS, "-")
    return control.machines.enroll(token, MachineFacts(computer=name, os_type="Linux"))


def test_the_migrations_make_the_tables_of_the_schema(control: Control) -> None:
    with control.database.write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.METADATA) == []


def test_the_database_is_private_and_durable(on_sqlite: Control) -> None:
    assert on_sqlite.database.path is not None
    assert stat.S_IMODE(os.stat(on_sqlite.database.path).st_mode) == 0o600
    with on_sqlite.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_no_secret_is_in_the_database(control: Control) -> None:
    _, person = control.people.create("test", "x", Role.READER)
    _, token = control.machines.create_enrollment_token("test", "g", (), 2, now_ns() + HOUR_NS, "-")
    machine = control.machines.enroll(token, MachineFacts(computer="a"))
    dump = ""
    with control.database.read() as connection:
        for table in schema.METADATA.sorted_tables:
            dump += repr(connection.execute(table.select()).all())
    for secret in (person, token, machine.credential):
        assert secret.split(".")[2] not in dump


def test_enrolment_tokens_are_used_up_and_expire(control: Control) -> None:
    enrolled = enrol(control)
    identity, cloned = control.machines.authenticate(enrolled.credential, None)
    assert (identity, cloned) == (enrolled.identity, False)
    _, token = control.machines.create_enrollment_token("test", "default", (), 1, now_ns() + HOUR_NS, "-")
    control.machines.enroll(token, MachineFacts(computer="b"))
    with pytest.raises(CredentialError, match="used up"):
        control.machines.enroll(token, MachineFacts(computer="c"))
    _, late = control.machines.create_enrollment_token("test", "default", (), 1, now_ns() - 1, "-")
    with pytest.raises(CredentialError, match="over its time"):
        control.machines.enroll(late, MachineFacts(computer="c"))
    with pytest.raises(CredentialError):
        control.machines.enroll(token.replace("wce1", "wcp1"), MachineFacts(computer="c"))


def test_machines_come_page_by_page_filtered_and_in_order(control: Control) -> None:
    control.rules.put("test", "etc", json.dumps(DEFAULT_RULE).encode())
    control.rules.associate("test", "etc-default", "etc", group="default")
    for number in (3, 1, 5, 2, 4):
        enrol(control, f"Web-{number}", "default" if number < 5 else "other", rules=())
    control.machines.revoke("test", _id(control, "Web-2"))
    control.machines.note_silence([_id(control, "Web-3")])
    groups = frozenset({"default"})

    def pages(wanted: MachineFilter, **options: Any) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = control.machines.page(
                wanted, limit=2, cursor=cursor, **{"order": "computer", "descending": False, **options}
            )
            assert len(page["value"]) <= 2
            found += [machine["computer"] for machine in page["value"]]
            assert page["matching"] >= len(found)
            if "nextCursor" not in page:
                assert page["matching"] == len(found)
                return found
            cursor = page["nextCursor"]

    everything = [f"Web-{number}" for number in (1, 2, 3, 4, 5)]
    assert pages(MachineFilter()) == everything
    assert pages(MachineFilter(), descending=True) == everything[::-1]
    assert pages(MachineFilter(), order="state")[-2:] == ["Web-2", "Web-3"]  # Revoked, Silent
    assert len(pages(MachineFilter(), order="lastContact")) == 5
    assert pages(MachineFilter(groups=groups)) == everything[:4]
    assert pages(MachineFilter(text="WEB-4")) == ["Web-4"]
    assert pages(MachineFilter(text="%")) == []
    assert pages(MachineFilter(states=("Silent", "Revoked"))) == ["Web-2", "Web-3"]
    assert pages(MachineFilter(computers=("Web-1", "Web-5"), groups=groups)) == ["Web-1"]
    assert pages(MachineFilter(other_than=("Web-1",), groups=groups)) == ["Web-2", "Web-3", "Web-4"]
    assert pages(MachineFilter(ids=())) == []
    assert pages(MachineFilter(ids=(_id(control, "Web-4"),))) == ["Web-4"]
    page = control.machines.page(MachineFilter(groups=groups), order="computer", descending=False, limit=2, cursor="")
    assert (page["total"], page["value"][0]["rules"]) == (4, ["etc"])
    assert control.machines.states(groups) == {"Active": 2, "Silent": 1, "Revoked": 1, "Decommissioned": 0}
    for cursor in ("x", "bnVsbA", page["nextCursor"]):
        with pytest.raises(Refusal, match="cursor"):
            control.machines.page(MachineFilter(), order="lastContact", descending=False, limit=2, cursor=cursor)


def _id(control: Control, computer: str) -> str:
    (found,) = [machine["id"] for machine in control.machines.list_all(None) if machine["computer"] == computer]
    return str(found)


def test_two_machines_of_one_name_have_two_resource_ids(control: Control) -> None:
    assert enrol(control).identity.resource_id != enrol(control).identity.resource_id
    odd = enrol(control, name="../../a b\n\u202e").identity
    assert odd.name == "a-b"


def test_rotation_keeps_the_old_credential_until_the_new_one_was_used(control: Control) -> None:
    enrolled = enrol(control)
    machine_id = enrolled.identity.machine_id
    lost = control.machines.rotate(machine_id)
    fresh = control.machines.rotate(machine_id)
    control.machines.authenticate(enrolled.credential, None)
    control.machines.authenticate(fresh, None)
    control.machines.authenticate(fresh, None)
    for dead in (enrolled.credential, lost):
        with pytest.raises(CredentialError):
            control.machines.authenticate(dead, None)


def test_a_revoked_machine_is_refused_for_good(control: Control) -> None:
    enrolled = enrol(control)
    control.machines.revoke("test", enrolled.identity.machine_id)
    with pytest.raises(Refusal) as refusal:
        control.machines.authenticate(enrolled.credential, None)
    assert (refusal.value.status, refusal.value.code) == (403, "MachineRevoked")


def test_judging_instances() -> None:
    now = 10**18
    assert judge("a", "a", {}, now) is Verdict.CURRENT
    assert judge("b", "a", {}, now) is Verdict.SUPERSEDES
    assert judge("a", "b", {"a": ("superseded", now - GRACE_NS + 1)}, now) is Verdict.LATE
    assert judge("a", "b", {"a": ("superseded", now - GRACE_NS)}, now) is Verdict.CLONED
    assert judge("a", "b", {"a": ("superseded", now - WINDOW_NS - 1)}, now) is Verdict.SUPERSEDES
    assert judge("b", "a", {"b": ("refused", 0)}, now) is Verdict.REFUSED


def test_the_later_holder_of_a_machine_id_is_refused(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = enrol(control).credential
    authenticate = control.machines.authenticate
    assert not authenticate(credential, "first")[1]
    assert not authenticate(credential, "restarted")[1]
    assert not authenticate(credential, "first")[1], "a request on its way while the forwarder restarted"
    assert not authenticate(credential, "clone")[1]
    monkeypatch.setattr(clones, "GRACE_NS", 0)
    assert authenticate(credential, "restarted")[1], "the superseded one is alive: a clone is found, once"
    assert not authenticate(credential, "restarted")[1]
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            authenticate(credential, "clone")
        assert (refusal.value.status, refusal.value.code) == (403, "MachineCloned")
    assert "machine.cloned" in [entry["action"] for entry in control.audit.latest()]


def test_restarts_alone_are_no_clones(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "GRACE_NS", 0)
    credential = enrol(control).credential
    assert not any(control.machines.authenticate(credential, f"life-{n}")[1] for n in range(100))


def test_rules_are_kept_as_written(control: Control) -> None:
    text = json.dumps(DEFAULT_RULE, indent=3)
    rule, created = control.rules.put("test", "Default", text.encode())
    assert created
    assert rule["document"] == DEFAULT_RULE
    again, created = control.rules.put("test", "default", text.encode())
    assert not created
    assert again["immutableId"] == rule["immutableId"]
    with pytest.raises(RuleError):
        control.rules.put("test", "bad", b"[1, 2")
    with pytest.raises(Refusal, match="letters"):
        control.rules.put("test", "../x", text.encode())


def test_a_rule_reaches_the_machines_it_is_associated_with(control: Control) -> None:
    control.ensure_default(DEFAULT_RULE)
    control.ensure_default(DEFAULT_RULE)
    assert len(control.rules.associations()) == 1
    mine = enrol(control).identity
    other = enrol(control, group="other").identity
    found = control.configuration(mine, "linux", "https://s:1", "i")
    assert control.configuration(mine, "linux", "https://s:1", "j").etag == found.etag
    (given,) = found.configurations
    (extension,) = given.content.extension_configurations["ChangeTracking-Linux"]
    assert extension.output_streams["TRACKING_HEALTH"].startswith(given.configuration_id + ":")
    assert "<STREAM>" in given.content.channels[0].endpoint_uri_template
    assert control.configuration(other, "linux", "https://s:1", "i").configurations == ()
    with pytest.raises(Refusal) as refusal:
        control.rules.remove("test", "default")
    assert refusal.value.status == 409


def test_requests_are_asked_once_and_told_until_they_are_answered(control: Control) -> None:
    machine = enrol(control).identity
    before = control.configuration(machine, "linux", "", "i").etag
    control.request_resync(machine.machine_id, "Files")
    control.request_resync(machine.machine_id, "Files")
    control.request_new_epoch(machine.machine_id)
    found = control.configuration(machine, "linux", "", "i")
    assert [request.request for request in found.requests] == ["resync", "newEpoch"]
    assert len({before, found.etag, control.configuration(machine, "linux", "", "new life").etag}) == 3
    for request in found.requests:
        control.requests.answer(machine.machine_id, request.id, True, msgspec.Raw(b'{"n":1}'))
    assert control.configuration(machine, "linux", "", "i").etag == before
    assert control.requests.get(machine.machine_id, found.requests[0].id)["result"] == {"n": 1}
    with pytest.raises(Refusal):
        control.requests.answer(enrol(control).identity.machine_id, found.requests[0].id, True, msgspec.Raw(b"{}"))


def test_waiting_requests_are_bounded(control: Control) -> None:
    machine_id = enrol(control).identity.machine_id
    for number in range(32):
        control.ask("test", machine_id, RequestName.SCAN, rule=f"r{number}")
    with pytest.raises(Refusal) as refusal:
        control.ask("test", machine_id, RequestName.SCAN, rule="one more")
    assert refusal.value.status == 429


def test_previews_carry_their_document_and_are_bounded(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = enrol(control).identity

    def ask(document: str | None) -> str:
        return control.ask("test", machine.machine_id, RequestName.PREVIEW, document=document)

    asked = ask("{1}")
    assert ask("{1}") == asked
    for number in range(2, 5):
        ask(f"{{{number}}}")
    for document, status in (("{5}", 429), ("x" * (2**20 + 1), 413), (None, 400)):
        with pytest.raises(Refusal) as refusal:
            ask(document)
        assert refusal.value.status == status
    with pytest.raises(Refusal):
        control.ask("test", machine.machine_id, RequestName.SCAN, document="{}")

    found = control.configuration(machine, "linux", "", "i").requests
    assert [request.document for request in found] == ["{1}", "{2}", "{3}", "{4}"]
    control.requests.answer(machine.machine_id, asked, True, msgspec.Raw(b"{}"))
    with control.database.read() as connection:
        kept = schema.requests.c
        assert connection.execute(select(kept.document).where(kept.id == asked)).scalar_one() is None
    assert ask("{5}") != asked
    # An hour later whoever asked has gone: the machine is not told, and there is room again.
    later = now_ns() + HOUR_NS + 10**9
    monkeypatch.setattr("whatchanged.server.control.backchannel.now_ns", lambda: later)
    assert control.configuration(machine, "linux", "", "i").requests == ()
    again = ask("{6}")
    assert [request.id for request in control.configuration(machine, "linux", "", "i").requests] == [again]


def test_every_version_of_a_rule_is_kept_with_its_author(control: Control) -> None:
    token_id, _ = control.people.create("test", "deployer", Role.CONTRIBUTOR)
    texts = [json.dumps({**DEFAULT_RULE, "location": place}) for place in ("here", "there", "here")]
    for actor, text in zip(("account:eve", f"token:{token_id}", "server"), texts, strict=True):
        control.rules.put(actor, "Rule", text.encode())
    control.rules.put("account:mallory", "rule", texts[-1].encode())  # says the same: no version
    versions = control.rules.versions("RULE")
    assert [version["by"] for version in versions] == ["server", "deployer", "eve"]
    assert versions[0]["etag"] == versions[2]["etag"] == control.rules.get("rule")["etag"]
    assert control.rules.version("rule", str(versions[1]["id"]))["document"]["location"] == "there"
    assert control.rules.list_all(documents=False)[0]["updatedBy"] == "server"
    with pytest.raises(Refusal, match="no Version"):
        control.rules.version("rule", str(versions[0]["id"] + 1))
    # One that is made anew after it was removed begins anew, and the old one's versions are not its own.
    control.rules.remove("server", "rule")
    control.rules.put("server", "rule", texts[0].encode())
    (only,) = control.rules.versions("rule")
    with pytest.raises(Refusal, match="no Version"):
        control.rules.version("rule", str(versions[0]["id"]))
    assert only["id"] != versions[0]["id"]


def test_two_editors_do_not_overwrite_each_other(control: Control) -> None:
    text = json.dumps(DEFAULT_RULE).encode()
    first, _ = control.rules.put("test", "rule", text, Condition(absent=True))
    second, _ = control.rules.put("test", "rule", text + b" ", Condition(frozenset({first["etag"]})))
    for condition in (Condition(absent=True), Condition(frozenset({first["etag"]}))):
        with pytest.raises(Refusal) as refusal:
            control.rules.put("test", "rule", text + b"  ", condition)
        assert refusal.value.status == 412
    with pytest.raises(Refusal, match="changed since"):
        control.rules.remove("test", "rule", Condition(frozenset({first["etag"]})))
    control.rules.remove("test", "rule", Condition(frozenset({second["etag"]})))


def test_machines_confirm_what_they_hold(control: Control) -> None:
    control.ensure_default(DEFAULT_RULE)
    linux_only = json.loads(json.dumps(DEFAULT_RULE))
    del linux_only["properties"]["dataSources"]["extensions"][1]
    control.rules.put("test", "windows", json.dumps(linux_only).encode())
    control.rules.associate("test", "w", "windows", group="default")
    mine, other = enrol(control).identity, enrol(control, group="other").identity

    def standing(rule: str, groups: frozenset[str] | None = None) -> tuple[int, int]:
        found = control.standings.of_rules(groups)[rule]
        return found.machines, found.confirmed

    assert standing("default") == (1, 0)
    assert standing("windows") == (0, 0)  # nothing in it is for Linux
    found = control.configuration(mine, "linux", "https://s:1", "i")
    control.standings.confirm(mine.machine_id, found.configurations)
    control.standings.confirm(other.machine_id, found.configurations)  # it holds what is not for it any more
    assert standing("default") == (1, 1)
    assert standing("default", frozenset({"other"})) == (0, 0)
    control.rules.put("test", "default", json.dumps(DEFAULT_RULE, indent=2).encode())
    assert standing("default") == (1, 0)


def test_silence_is_reported_once_and_ends_with_contact(control: Control) -> None:
    enrolled = enrol(control)
    later = now_ns() + HOUR_NS
    assert [machine for machine, _ in control.machines.newly_silent(later)] == [enrolled.identity]
    control.machines.note_silence([enrolled.identity.machine_id])
    assert control.machines.newly_silent(later) == []
    control.machines.authenticate(enrolled.credential, None)
    control.machines.flush_contacts()
    assert len(control.machines.newly_silent(later)) == 1
    control.machines.decommission("test", enrolled.identity.machine_id)
    assert control.machines.newly_silent(later) == []


def test_everything_survives_a_restart(control: Control, dsn: str) -> None:
    enrolled, (_, token) = enrol(control), control.people.create("test", "x", Role.CONTRIBUTOR, ["G"])
    control.close()
    again = Control(dsn)
    assert again.workspace_id == control.workspace_id
    assert again.machines.authenticate(enrolled.credential, None)[0] == enrolled.identity
    assert again.people.authenticate(token).groups == frozenset({"g"})
    again.close()


def test_ingestion_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = IngestionSigner(b"k" * 32)
    token = signer.issue("m", "dcr-1")
    assert (signer.read(token).machine_id, signer.read(token).rule_id) == ("m", "dcr-1")
    for forged in (token[:-1] + ("0" if token[-1] != "0" else "1"), "wci1.e30.", "wci1", "x" * 10_000, "wci1.é.a"):
        with pytest.raises(CredentialError):
            signer.read(forged)
    with pytest.raises(CredentialError):
        IngestionSigner(b"l" * 32).read(token)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    with pytest.raises(CredentialError, match="time"):
        signer.read(token)


def test_private_files_are_made_once(tmp_path: Any) -> None:
    path = str(tmp_path / "a" / "key")
    assert private_file(path, b"one") == b"one"
    assert private_file(path, b"two") == b"one"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path / "a") == ["key"]


def test_several_processes_start_on_an_empty_database(dsn: str) -> None:
    program = "import sys; from whatchanged.server.control import Control; print(Control(sys.argv[1]).workspace_id)"
    starting = [subprocess.Popen([sys.executable, "-c", program, dsn], stdout=subprocess.PIPE) for _ in range(4)]
    assert len({process.communicate(timeout=60)[0] for process in starting}) == 1
    assert [process.returncode for process in starting] == [0] * 4


def test_requests_that_come_together_leave_one_credential_that_works(control: Control) -> None:
    enrolled = enrol(control)
    machine_id = enrolled.identity.machine_id
    with ThreadPoolExecutor(6) as threads:
        for _ in range(5):
            fresh = list(threads.map(lambda _: control.machines.rotate(machine_id), range(6)))
            valid = [one for one in fresh if works(control, one)]
            assert len(valid) == 1
            assert all(threads.map(lambda _, token=valid[0]: works(control, token), range(12)))


def works(control: Control, credential: str) -> bool:
    try:
        control.machines.authenticate(credential, None)
    except CredentialError:
        return False
    return True


@pytest.mark.postgresql
def test_text_that_postgresql_cannot_hold_is_the_callers_mistake(postgresql: Any) -> None:
    control = Control(postgresql())
    with pytest.raises(Refusal) as refusal:
        control.people.create("test", "a\0b", Role.READER)
    assert refusal.value.status == 400
    control.close()
