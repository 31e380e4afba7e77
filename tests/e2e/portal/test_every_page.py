"""Every page, light and dark, wide and narrow, as axe sees it.

`WHATCHANGED_SCREENSHOTS=DIR` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from e2e.portal.browser import AXE, Portal, keep, row, violations

PAGES = ("/", "/changes", "/inventory", "/machines", "/rules")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_are_accessible_and_fit(portal: Portal, width: int, dark: bool) -> None:
    axe = AXE.read_text(encoding="utf-8")
    page = portal.signed_in("/changes", width=width, dark=dark)
    for path in PAGES:
        page.goto(portal.url + path)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        expect(page.get_by_role("progressbar")).to_have_count(0)
        found = violations(page, axe)
        assert found == [], (path, found)
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), path
        keep(page, f"{path.strip('/') or 'overview'}-{'dark' if dark else 'light'}-{width}")
    page.goto(f"{portal.url}/changes")
    row(page, "first.conf").click()
    expect(page.get_by_role("rowheader", name="Size", exact=True)).to_be_visible()
    assert violations(page, axe) == []
