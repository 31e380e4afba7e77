"""The page of queries: written, run, looked at, kept, shared."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Page, expect

from e2e.portal.browser import Portal, keep, row


def opened(portal: Portal, query: str = "", more: str = "", **options: object) -> Page:
    """Return the page with a query in its address, and the editor there."""
    page = portal.signed_in(f"/query?q={quote(query)}{more}" if query else "/query", **options)
    expect(page.locator(".monaco-editor .view-lines")).to_be_visible()
    return page


def test_a_query_runs_and_shows_its_rows(portal: Portal) -> None:
    page = opened(portal)
    page.get_by_role("textbox", name="Query, in the Kusto").focus()
    page.keyboard.type("ConfigurationChange | where Name endswith '.conf' | project TimeGenerated, Computer, Name, Size")
    page.keyboard.press("Shift+Enter")
    expect(row(page, "first.conf")).to_be_visible()
    keep(page, "query-light-1280")
