"""What is there, and what was."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from playwright.sync_api import expect

from e2e.conftest import eventually
from e2e.portal.browser import Portal, inventory, keep, row


def test_the_inventory_shows_what_is_there_and_was(portal: Portal) -> None:
    installed = portal.installation
    (installed.root / "var/lib/dpkg/status").write_text(
        "Package: =cmd|calc\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n"
        'Maintainer: "A, B" <a@example.org>\nDescription: none\n'
    )
    page = portal.signed_in("/inventory")
    eventually(lambda: installed.inventory("software"), what="the package has arrived")
    page.reload()
    package = row(page, "=cmd|calc")
    expect(package).to_contain_text("1.0")
    expect(package).to_contain_text('"A, B" <a@example.org>')
    with page.expect_download() as started:
        page.get_by_role("button", name="Export").click()
        page.get_by_role("menuitem", name="CSV").click()
    rows = list(csv.DictReader(Path(started.value.path()).read_text(encoding="utf-8").splitlines()))
    assert [(one["SoftwareName"], one["Publisher"]) for one in rows] == [("'=cmd|calc", '"A, B" <a@example.org>')]
    with page.expect_download() as started:
        page.get_by_role("button", name="Export").click()
        page.get_by_role("menuitem", name="JSON").click()
    assert [one["SoftwareName"] for one in json.loads(Path(started.value.path()).read_text())] == ["=cmd|calc"]
    page.get_by_role("tab", name="Files").click()
    expect(row(page, "first.conf")).to_contain_text("on 1 of 1")
    row(page, "first.conf").click()
    expect(page.get_by_role("list", name="Machines that have it").get_by_role("link")).to_have_count(1)
    page.get_by_role("button", name="Changes of this item").click()
    expect(page.get_by_role("grid", name="Changes")).to_be_visible()
    expect(row(page, ".conf")).to_have_count(1)
    page.go_back()
    page.get_by_label("As of").fill("2020-01-01")
    expect(page.get_by_role("region", name="Why this is empty")).to_be_visible()


def test_the_inventory_counts_what_machines_have_in_common(portal: Portal) -> None:
    for computer, packages in (("one", ("shared", "alone")), ("two", ("shared",)), ("three", ("shared", "other"))):
        inventory(portal, computer, packages)
    page = portal.signed_in("/inventory?is.publisher=Inventory+test")
    shared = row(page, "shared")
    expect(shared).to_contain_text("on 3 of ")
    keep(page, "inventory-light-1280")
    # The most common first; by the head of a column in another order.
    expect(page.get_by_role("grid").get_by_role("row").nth(1)).to_contain_text("shared")
    head = page.get_by_role("columnheader", name="Name")
    head.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("grid").get_by_role("row").nth(1)).to_contain_text("alone")
    expect(row(page, "alone")).to_contain_text("on 1 of ")
    page.get_by_role("searchbox", name="Filter by text").fill("OTHE")
    expect(shared).to_have_count(0)
    row(page, "other").get_by_role("gridcell").first.click()
    machines = page.get_by_role("list", name="Machines that have it")
    machines.get_by_role("link", name="three").click()
    expect(row(page, "other")).to_contain_text("three")
    # Of one machine every item stands on its own.
    expect(page.get_by_role("columnheader", name="Last refreshed")).to_be_visible()
    page.goto(f"{portal.url}/inventory?is.publisher=Inventory+test&is.machine=three")
    expect(page.get_by_role("grid").get_by_role("row")).to_have_count(3)
    with page.expect_download() as started:
        page.get_by_role("button", name="Export").click()
        page.get_by_role("menuitem", name="JSON").click()
    rows = json.loads(Path(started.value.path()).read_text())
    assert sorted((one["Computer"], one["SoftwareName"]) for one in rows) == [("three", "other"), ("three", "shared")]


def test_a_kind_of_which_there_is_nothing_says_why(portal: Portal) -> None:
    page = portal.signed_in("/inventory?kind=WindowsServices")
    why = page.get_by_role("region", name="Why this is empty")
    expect(why).to_contain_text("No machine has Windows services, or no rule collects that kind.")
    why.get_by_role("button", name="Rules").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")
    page.goto(f"{portal.url}/inventory?kind=Files&at=2020-01-01T00:00:00Z")
    expect(why).to_contain_text("Of that day no files are known")
    page.goto(f"{portal.url}/inventory?kind=Files&text=no+such+file")
    expect(why).to_contain_text("the filter lets none of them through")
