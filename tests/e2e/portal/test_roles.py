"""Every address of the portal, for every role: it opens, asks for nothing that is refused, has no forbidden button."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Response, expect

from e2e.portal.browser import PASSWORD, Portal
from whatchanged.server.api.pages import ADDRESSES

PLACES = (*(address for address in ADDRESSES if address != "/sign-in"), "/people?tab=groups")
REFUSED = {
    "Reader": re.compile(
        r"^(Enrol|Revoke|Decommission|Look now|Create\b.*|New\b.*|Remove|Delete|Save|Import|Edit|Associate.*|"
        r"Move a machine.*|Purge|Set password|End sessions|Change (role|retention))$"
    ),
    "Contributor": re.compile(
        r"^(Enrol|Revoke|Decommission|Create (account|token|group)|Move a machine.*|Purge|Set password|End sessions|"
        r"Change (role|retention))$"
    ),
}
"""Names of buttons that lead to what the server refuses."""
FOR_OWNERS = ("accounts", "tokens", "audit", "settings")


@pytest.mark.parametrize("role", ["Reader", "Contributor", "Reader of a group", "Contributor of a group", "Owner"])
def test_what_a_role_opens_is_never_refused(portal: Portal, role: str) -> None:
    kind, _, limited = role.partition(" ")
    name = role.lower().replace(" ", "-")
    body = {"name": name, "role": kind, "password": PASSWORD} | ({"machineGroups": ["default"]} if limited else {})
    assert portal.installation.client().post("/api/v1/accounts", json=body).status_code in (201, 409)
    page = portal.open()
    signed = page.request.post(f"{portal.url}/api/v1/sign-in", data={"name": name, "password": PASSWORD})
    assert signed.status == 200, signed.text()
    refused: list[str] = []

    def answered(response: Response) -> None:
        if response.status >= 400:
            refused.append(f"{response.status} {response.request.method} {response.url}")

    page.on("response", answered)
    for place in PLACES:
        page.goto(portal.url + place)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        expect(page.get_by_role("progressbar")).to_have_count(0)
        assert refused == [], (role, place)
        # The editor has empty ones, to be told by.
        expect(page.get_by_role("alert").filter(has_text=re.compile(r"\S"))).to_have_count(0)
        for grid in page.get_by_role("grid").all():  # also what is beside a list
            if grid.get_by_role("row").count() > 1:
                grid.get_by_role("row").nth(1).click()
                expect(page.get_by_role("complementary").first).to_be_visible()
        if kind in REFUSED:
            expect(page.get_by_role("button", name=REFUSED[kind])).to_have_count(0)
        assert refused == [], (role, place)
    for tab in FOR_OWNERS:
        page.goto(f"{portal.url}/people?tab={tab}")
        expect(page.get_by_role("navigation")).to_be_visible()
        says = page.get_by_text(re.compile("for Owners only"))
        expect(says).to_have_count(0 if kind == "Owner" else 1)
        assert refused == [], (role, tab)


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_is_asked_to_sign_in(portal: Portal, address: str) -> None:
    page = portal.open()
    page.goto(portal.url + address)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
