"""What is there, and what was."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from playwright.sync_api import expect

from e2e.conftest import eventually
from e2e.portal.browser import Portal, row


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
    expect(row(page, "first.conf")).to_be_visible()
    row(page, "first.conf").click()
    page.get_by_role("button", name="Changes of this item").click()
    expect(page.get_by_role("grid", name="Changes")).to_be_visible()
    expect(row(page, ".conf")).to_have_count(1)
    page.go_back()
    page.get_by_label("As of").fill("2020-01-01")
    expect(page.get_by_role("region", name="Why this is empty")).to_be_visible()
