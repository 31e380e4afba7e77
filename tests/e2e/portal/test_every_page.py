"""Every page, light and dark, wide and narrow, as axe sees it.

`WHATCHANGED_SCREENSHOTS=DIR` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from e2e.portal.browser import AXE, Portal, keep, row, violations

PAGES = ("/", "/changes", "/inventory", "/machines", "/query", "/rules", "/people")


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


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/query"])  # its editor: test_query
def test_tab_reaches_everything(portal: Portal, path: str) -> None:
    page = portal.signed_in(path)
    expect(page.get_by_role("heading", level=1)).to_be_attached()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    # Of what arrows move in, Tab reaches one; what is not to be reached says so.
    wanted = page.evaluate(
        """() => {
            const all = document.querySelectorAll("a[href], button, input, select, textarea, [tabindex]");
            return [...all].filter((one) => one.checkVisibility() && one.tabIndex >= 0 && !one.disabled
                && !one.closest("[data-tabster-dummy], [aria-hidden=true], [role=rowgroup]"))
                .map((one) => {
                    const group = one.closest("[role=tablist], [role=toolbar] [role=list], [role=tree]");
                    const target = group ?? one;
                    target.dataset.wanted ??= String(Math.random());
                    return [target.dataset.wanted, (one.ariaLabel ?? one.textContent ?? "").slice(0, 40)];
                });
        }"""
    )
    missing = dict(wanted)
    assert len(missing) >= 4
    for _ in range(3 * len(missing) + 20):
        page.keyboard.press("Tab")
        reached = page.evaluate("() => document.activeElement?.closest('[data-wanted]')?.dataset.wanted")
        missing.pop(reached, None)
        if not missing:
            break
    assert missing == {}
