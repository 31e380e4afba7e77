"""People and settings: what an Owner decides, and what everybody may do about himself."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from e2e.portal.browser import AXE, HOSTILE, PASSWORD, SHOWN, Portal, keep, row, violations


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Password").press("Enter")


def choose(page: Page, where: Any, label: str, option: str) -> None:
    where.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_an_owner_makes_changes_and_removes_an_account(portal: Portal) -> None:
    page = portal.signed_in("/people?tab=accounts")
    page.get_by_role("button", name="Create account").click()
    dialog = page.get_by_role("dialog", name="Create account")
    dialog.get_by_label("Name").fill("grace")
    dialog.get_by_label("Password").fill("short")
    expect(dialog).to_contain_text("At least 12 characters.")
    expect(dialog.get_by_role("button", name="Create", exact=True)).to_be_disabled()
    dialog.get_by_role("button", name="Make one up").click()
    password = dialog.get_by_label("Password").input_value()
    assert len(password) == 20
    choose(page, dialog, "Role", "Contributor")
    dialog.get_by_role("button", name="Create", exact=True).click()
    details = page.get_by_role("complementary", name="Account")
    expect(details).to_contain_text("Contributor")
    expect(row(page, "grace")).to_contain_text("never")

    hers = portal.open()
    hers.goto(f"{portal.url}/people")
    sign_in(hers, "grace", password)
    expect(hers.get_by_role("heading", name="grace")).to_be_visible()
    page.reload()
    expect(details).to_contain_text("Open sessions1")
    keep(page, "accounts-light-1280")
    assert violations(page, AXE.read_text(encoding="utf-8")) == []

    details.get_by_role("button", name="Change role").click()
    dialog = page.get_by_role("dialog", name="Change role of grace")
    choose(page, dialog, "Role", "Reader")
    dialog.get_by_label("Machine groups").click()
    page.get_by_role("menuitemcheckbox", name="default").click()
    page.keyboard.press("Escape")
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(details).to_contain_text("Machine groupsdefault")

    details.get_by_role("button", name="End sessions").click()
    page.get_by_role("dialog").get_by_role("button", name="End sessions").click()
    expect(details).to_contain_text("Open sessions0")
    hers.reload()
    expect(hers.get_by_role("button", name="Sign in")).to_be_visible()

    details.get_by_role("button", name="Set password").click()
    dialog = page.get_by_role("dialog", name="Set password of grace")
    dialog.get_by_label("New password").fill(PASSWORD)
    dialog.get_by_role("button", name="Set password").click()
    expect(dialog).to_have_count(0)
    sign_in(hers, "grace")
    expect(hers.get_by_role("heading", name="grace")).to_be_visible()
    expect(hers.get_by_text("nothing of other groups is shown")).to_be_visible()

    details.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row(page, "grace")).to_have_count(0)
    expect(details).to_have_count(0)


def test_the_last_owner_stays(portal: Portal) -> None:
    portal.account("root", "Owner")
    page = portal.signed_in("/people?tab=accounts&id=root")
    details = page.get_by_role("complementary", name="Account")
    for button, action in (("Remove", "Remove"), ("Change role", "Change")):
        details.get_by_role("button", name=button).click()
        dialog = page.get_by_role("dialog")
        if button == "Change role":
            choose(page, dialog, "Role", "Reader")
        dialog.get_by_role("button", name=action, exact=True).click()
        expect(dialog.get_by_role("alert")).to_contain_text("root is the last account with the role Owner")
        dialog.get_by_role("button", name="Cancel").click()
    expect(row(page, "root")).to_contain_text("Owner")


def test_a_token_is_shown_once_and_a_sender_is_purged(portal: Portal) -> None:
    flows = {"properties": {"dataFlows": [{"streams": ["Microsoft-ConfigurationData"]}]}}
    assert portal.installation.client().put("/api/v1/rules/taking", json=flows).status_code == 201
    page = portal.signed_in("/people?tab=tokens")
    page.get_by_role("button", name="Create token").click()
    dialog = page.get_by_role("dialog", name="Create token")
    dialog.get_by_label("Name").fill("cmdb")
    choose(page, dialog, "Role", "Sender")
    choose(page, dialog, "Rule", "taking")
    choose(page, dialog, "Good for", "30 days")
    dialog.get_by_role("button", name="Create", exact=True).click()
    shown = page.get_by_role("alertdialog", name="The new token")
    token = shown.locator("[data-secret]").inner_text()
    assert token.startswith("wcp1.")
    refused = httpx.get(f"{portal.url}/api/v1/changes", headers={"authorization": f"Bearer {token}"}, trust_env=False)
    assert refused.status_code == 403
    shown.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text(token)).to_have_count(0)
    tokens = row(page, "cmdb").filter(has_text="API token")
    expect(tokens).to_contain_text("Sender to taking")
    expect(tokens).to_contain_text(re.compile("in (29|30) days"))
    row(page, "cmdb").filter(has_text="sends to taking").click()
    details = page.get_by_role("complementary", name="Sender")
    details.get_by_role("button", name="Purge").click()
    dialog = page.get_by_role("dialog", name="Purge cmdb?")
    expect(dialog.get_by_role("button", name="Purge")).to_be_disabled()
    dialog.get_by_label("Type cmdb to go on").fill("cmdb")
    dialog.get_by_role("button", name="Purge").click()
    expect(row(page, "cmdb")).to_have_count(0)
    row(page, "owner of this installation").click()
    own = page.get_by_role("complementary", name="API token")
    expect(own).to_contain_text("local.token")
    expect(own.get_by_role("button", name="Remove")).to_have_count(0)


def test_a_machine_moves_to_another_group(portal: Portal) -> None:
    client = portal.installation.client()
    made = client.post("/api/v1/enrollment-tokens", json={"machineGroup": "web"}).json()["token"]
    facts, headers = {"computer": "mover", "osType": "Linux"}, {"authorization": f"Bearer {made}"}
    enrolled = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False)
    assert enrolled.status_code == 201, enrolled.text
    page = portal.signed_in("/people?tab=groups")
    page.get_by_role("button", name="Create group").click()
    dialog = page.get_by_role("dialog", name="Create group")
    dialog.get_by_label("Name").fill("Shops")
    dialog.get_by_role("button", name="Create", exact=True).click()
    details = page.get_by_role("complementary", name="Machine group")
    details.get_by_role("button", name="Move a machine here").click()
    dialog = page.get_by_role("dialog", name="Move a machine to shops")
    choose(page, dialog, "Machine", "mover (web)")
    dialog.get_by_role("button", name="Move", exact=True).click()
    expect(details).to_contain_text("Machines1")
    expect(details).to_contain_text("mover")
    details.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the group is not empty: machines that belong to it: 1")
    machine = portal.installation.client().get(f"/api/v1/machines/{enrolled.json()['machineId']}").json()
    assert machine["machineGroup"] == "shops"


def test_the_audit_log_is_searched_and_taken_along(portal: Portal) -> None:
    for _ in range(3):
        body = {"name": HOSTILE, "password": "=cmd|' /C calc'!A0"}
        assert httpx.post(f"{portal.url}/api/v1/sign-in", json=body, trust_env=False).status_code == 401
    page = portal.signed_in("/people?tab=audit")
    expect(row(page, "session.open").first).to_be_visible()
    choose(page, page, "Action", "Failed sign-ins")
    failed = row(page, "signIn.failed").filter(has_text="onerror=alert(1)")
    expect(failed).to_contain_text("count: 3")
    expect(failed.locator("img")).to_have_count(0)
    expect(row(page, "session.open")).to_have_count(0)
    failed.click()
    details = page.get_by_role("complementary", name="Entry")
    expect(details).to_contain_text("address:127.0.0.1")
    expect(details.locator("img")).to_have_count(0)
    assert "action=signIn.failed" in page.url
    keep(page, "audit-light-1280")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as caught:
        page.get_by_role("menuitem", name="CSV").click()
    with open(caught.value.path(), encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {one["action"] for one in rows} == {"signIn.failed"}
    assert not any(cell.startswith(("=", "+", "-", "@")) for one in rows for cell in one.values())
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as caught:
        page.get_by_role("menuitem", name="JSON").click()
    [entry] = [one for one in json.loads(caught.value.path().read_bytes()) if "onerror" in one["target"]]
    assert entry["detail"]["count"] == 3
    assert "\u202e" not in entry["target"]
    assert entry["target"] != SHOWN
    page.get_by_label("Actor", exact=True).fill("nobody at all")
    expect(page.get_by_text("Nothing like that was done")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Nothing like that was done")).to_be_visible()


def test_the_log_is_read_page_by_page(portal: Portal) -> None:
    client = portal.installation.client()
    for number in range(120):
        assert client.put(f"/api/v1/machine-groups/page-{number}").status_code == 201
    page = portal.signed_in("/people?tab=audit&action=machineGroup.create&target=page-")
    expect(page.get_by_role("status")).to_have_text("Entries: 100, more below")
    page.get_by_role("grid", name="Audit log").press("End")
    expect(page.get_by_role("status")).to_have_text("Entries: 120")


def test_retention_says_first_what_it_deletes(portal: Portal) -> None:
    page = portal.signed_in("/people?tab=settings")
    row(page, "Retention: Changes").click()
    details = page.get_by_role("complementary", name="Setting")
    expect(details).to_contain_text("Keptfor good")
    details.get_by_role("button", name="Change retention").click()
    dialog = page.get_by_role("dialog", name="Retention: Changes")
    dialog.get_by_label("Keep for some days").check()
    dialog.get_by_label("Days", exact=True).fill("0")
    expect(dialog).to_contain_text("1 to 36,500 days")
    dialog.get_by_label("Days", exact=True).fill("400")
    expect(dialog).to_contain_text("nothing is deleted yet")
    dialog.get_by_role("button", name="Keep 400 days").click()
    expect(row(page, "Retention: Changes")).to_contain_text("400 days")
    expect(details).to_contain_text("by token:")
    row(page, "queries_at_once").click()
    expect(details).to_contain_text("WHATCHANGED_QUERIES_AT_ONCE")
    expect(page.get_by_role("row", name=re.compile("^tls false"))).to_contain_text("command line")
    stored = portal.installation.client().get("/api/v1/settings").json()["retention"]
    assert [one["days"] for one in stored if one["table"] == "ConfigurationChange"] == [400]


def test_everybody_has_a_page_of_his_own(portal: Portal) -> None:
    portal.account("hal", "Reader")
    other, page = portal.open(), portal.open()
    for one in (other, page):
        one.goto(f"{portal.url}/changes")
        sign_in(one, "hal")
        expect(one.get_by_role("navigation")).to_be_visible()
    page.get_by_role("button", name="Signed in as hal").click()
    page.get_by_role("menuitem", name="My account").click()
    sessions = page.get_by_role("region", name="Sessions").get_by_role("listitem")
    expect(sessions).to_have_count(2)
    expect(sessions.filter(has_text="this one")).to_have_count(1)
    page.get_by_role("button", name="End", exact=True).click()
    expect(sessions).to_have_count(1)
    other.reload()
    expect(other.get_by_role("button", name="Sign in")).to_be_visible()

    page.get_by_role("button", name="Make a sign-in link").click()
    shown = page.get_by_role("alertdialog")
    link = shown.locator("[data-secret]").inner_text()
    other.goto(link)
    expect(other.get_by_role("button", name="Signed in as hal")).to_be_visible()
    shown.get_by_role("button", name="I have kept it").click()

    page.get_by_role("button", name="Change password").click()
    dialog = page.get_by_role("dialog", name="Change password")
    dialog.get_by_label("Current password").fill("not the right one")
    dialog.get_by_label("New password").fill("another long password")
    dialog.get_by_role("button", name="Change password").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the current password is wrong")
    dialog.get_by_label("Current password").fill(PASSWORD)
    dialog.get_by_role("button", name="Change password").click()
    sign_in(page, "hal", "another long password")
    expect(page.get_by_role("heading", name="hal")).to_be_visible()


def test_every_tab_is_accessible_and_fits(portal: Portal) -> None:
    axe = AXE.read_text(encoding="utf-8")
    for width, dark in ((1280, False), (390, True)):
        page = portal.signed_in("/people", width=width, dark=dark)
        for tab in ("me", "accounts", "tokens", "groups", "audit", "settings"):
            page.goto(f"{portal.url}/people?tab={tab}")
            expect(page.get_by_role("tab", selected=True).last).to_be_visible()
            expect(page.get_by_role("progressbar")).to_have_count(0)
            assert violations(page, axe) == [], (tab, width)
            assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), tab
