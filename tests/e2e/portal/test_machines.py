"""Machines: what they say, and what an owner may do with them."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import expect

from e2e.portal.browser import AXE, PASSWORD, Portal, keep, row, violations
from whatchanged.records.times import now_ns, time_text


def test_what_an_owner_may_a_reader_does_not_see(portal: Portal) -> None:
    portal.account("eve", "Reader")
    page = portal.open()
    page.goto(f"{portal.url}/machines")
    page.get_by_label("Name").fill("eve")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    row(page, "Active").first.click()
    details = page.get_by_role("complementary", name="Machine")
    expect(details.get_by_role("button", name="Changes")).to_be_visible()
    for name in ("Enrol", "Revoke", "Decommission", "Look now"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    # Not only hidden: asked for by the page's own means it is refused.
    status = page.evaluate(
        """async () => (await fetch("/api/v1/enrollment-tokens", { method: "POST", body: "{}",
                         headers: { "content-type": "application/json" } })).status"""
    )
    assert status == 403


def test_an_owner_enrols_and_revokes(portal: Portal) -> None:
    page = portal.signed_in("/machines")
    page.get_by_role("button", name="Enrol").click()
    dialog = page.get_by_role("dialog", name="Enrol machines")
    dialog.get_by_label("Machine group").fill("web")
    dialog.get_by_role("button", name="Make a token").click()
    token = dialog.locator("pre").first
    expect(token).to_contain_text("wce1.")
    facts = {"computer": "web-<b>1</b>", "osType": "Linux"}
    headers = {"authorization": f"Bearer {token.inner_text()}"}
    enrolled = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False)
    assert enrolled.status_code == 201, enrolled.text
    dialog.get_by_role("button", name="Close").click()
    page.reload()
    machine = row(page, "web-<b>1</b>")
    expect(machine).to_contain_text("Active")
    machine.click()
    details = page.get_by_role("complementary", name="Machine")
    expect(details).to_contain_text("none: nothing is collected")
    details.get_by_role("button", name="Look now").click()
    expect(details.get_by_role("status")).to_contain_text("Asked to look")
    details.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(machine).to_contain_text("Revoked")
    details.get_by_role("button", name="Decommission").click()
    page.get_by_role("dialog").get_by_role("button", name="Decommission").click()
    expect(machine).to_contain_text("Decommissioned")


def test_a_machine_says_how_its_parts_fare_what_changed_and_what_is_there(portal: Portal) -> None:
    page = portal.signed_in("/machines")
    row(page, "Active").first.click()
    details = page.get_by_role("complementary", name="Machine")
    expect(details).to_contain_text("Trackerrunning")
    expect(details).to_contain_text(re.compile(r"Waiting there\d+ records?, "))
    expect(details.get_by_text("None: every record that it made has arrived.")).to_be_visible()
    expect(details.get_by_role("listitem").filter(has=page.get_by_role("link", name="Files"))).to_have_text(
        re.compile(r"Files: \d+")
    )
    keep(page, "machine")
    details.get_by_role("link", name="first.conf").click()
    changed = page.get_by_role("complementary", name="Change")
    expect(changed.get_by_role("heading").first).to_contain_text("first.conf")
    page.go_back()
    details.get_by_role("link", name="Files").click()
    expect(page.get_by_role("tab", name="Files")).to_have_attribute("aria-selected", "true")
    expect(row(page, "first.conf")).to_be_visible()


def test_machines_are_filtered_by_state_and_sorted_by_the_server(portal: Portal) -> None:
    client, ids = portal.installation.client(), {}
    for name in ("sort-b", "sort-a", "sort-c"):
        made = client.post("/api/v1/enrollment-tokens", json={}).json()["token"]
        headers = {"authorization": f"Bearer {made}"}
        facts = {"computer": name, "osType": "Linux"}
        enrolled = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False)
        ids[name] = enrolled.json()["machineId"]
    assert client.post(f"/api/v1/machines/{ids['sort-c']}/revoke").status_code == 204
    page = portal.signed_in("/machines?text=SORT-")
    names = page.get_by_role("gridcell").filter(has_text="sort-")
    expect(names).to_have_text(["sort-a", "sort-b", "sort-c"])
    page.get_by_role("columnheader", name="Machine").click()
    expect(names).to_have_text(["sort-c", "sort-b", "sort-a"])
    assert "sort=-computer" in page.url
    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="Revoked").click()
    expect(names).to_have_text(["sort-c"])
    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="Silent").click()
    expect(page.get_by_role("region", name="Why this is empty")).to_contain_text("the filter lets none of them through")
    page.get_by_role("button", name="Show all machines").click()
    expect(row(page, "sort-c")).to_be_visible()


def test_what_is_not_well_is_told_reason_by_reason(portal: Portal) -> None:
    made = portal.installation.client().post("/api/v1/enrollment-tokens", json={}).json()["token"]
    facts = {"computer": "unwell", "osType": "Linux"}
    headers = {"authorization": f"Bearer {made}"}
    machine = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False).json()
    words = [("RuleMatchesNothing", "Warning", f"rule-{at}") for at in range(12)] + [("Denied", "Error", "")]
    rows = [
        {
            "_Stream": "TRACKING_HEALTH",
            "_Epoch": "1" * 32,
            "_Sequence": at,
            "Component": "Tracker",
            "Kind": "Files",
            "Reason": reason,
            "Status": status,
            "RuleName": rule,
            "Detail": f"why {rule}",
            "TimeGenerated": time_text(now_ns()),
        }
        for at, (reason, status, rule) in enumerate(words, 1)
    ]
    sent = httpx.post(
        f"{portal.url}/dataCollectionRules/{machine['implicitRuleId']}/streams/TRACKING_HEALTH?api-version=2023-01-01",
        json=rows,
        headers={"authorization": f"Bearer {machine['credential']}", "x-whatchanged-instance": "one"},
        trust_env=False,
    )
    assert sent.status_code == 204, sent.text
    page = portal.signed_in("/machines?text=unwell")
    listed = row(page, "unwell")
    expect(listed).to_contain_text("Access was denied, A rule matches nothing (12)")
    listed.click()
    details = page.get_by_role("complementary", name="Machine")
    expect(details.get_by_text("Tracker Files Denied: why")).to_be_visible()
    last = details.get_by_text("why rule-11")
    expect(last).to_be_hidden()
    details.get_by_text("A rule matches nothing: 12 times").press("Enter")
    expect(last).to_be_visible()
    assert violations(page, AXE.read_text()) == []
