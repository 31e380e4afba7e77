"""Signing in: links that work once, names and passwords, sessions that end."""

from __future__ import annotations

import re

from playwright.sync_api import Route, expect

from e2e.portal.browser import AXE, PASSWORD, Portal, row, violations


def test_a_link_signs_in_once(portal: Portal) -> None:
    link = portal.link()
    page = portal.open()
    page.goto(link)
    expect(page.get_by_role("navigation")).to_be_visible()
    assert "#" not in page.url
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("used already")


def test_a_link_counts_also_where_somebody_is_signed_in(portal: Portal) -> None:
    portal.account("kim", "Reader")
    page = portal.open()
    page.goto(portal.url)
    page.get_by_label("Name").fill("kim")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("button", name="Signed in as kim")).to_be_visible()
    page.goto("about:blank")
    page.goto(portal.link())
    expect(page.get_by_role("button", name="Signed in as owner of this installation")).to_be_visible()
    assert "#" not in page.url


def test_what_was_asked_before_signing_in_is_not_heard_after_it(portal: Portal) -> None:
    """A page asks at once who is signed in; on a slow server that answer comes after the link has signed in."""
    page = portal.open()
    held: list[Route] = []
    page.route("**/api/v1/session", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    with page.expect_response("**/api/v1/sign-in"):
        page.goto(portal.link())
    expect(page.get_by_role("navigation")).to_be_visible()
    assert held
    for route in held:
        route.fulfill(status=401, json={"error": {"code": "Unauthorized", "message": "the session is over"}})
    page.get_by_role("navigation").get_by_role("tab", name="Changes").click()
    expect(row(page, "first.conf")).to_be_visible()


def test_up_prints_a_link_that_signs_in(portal: Portal) -> None:
    found = re.search(r"http://\S+/sign-in#wcl1\.\S+", portal.installation.log.read_text())
    assert found is not None
    page = portal.open()
    page.goto(found.group())
    expect(page.get_by_role("navigation")).to_be_visible()


def test_name_and_password_sign_in(portal: Portal) -> None:
    portal.account("ada", "Reader")
    page = portal.open()
    page.goto(f"{portal.url}/changes?text=first")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("not the right one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("the name or the password is wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(row(page, "first.conf")).to_be_visible()
    cookies = page.context.cookies()
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies] == [(True, "Strict")]
    assert page.evaluate("() => document.cookie") == ""


def test_a_session_that_is_over_asks_to_sign_in_and_goes_on(portal: Portal) -> None:
    portal.account("bob", "Reader")
    page = portal.open()
    page.goto(f"{portal.url}/changes")
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(row(page, "first.conf")).to_be_visible()
    changed = portal.installation.client().put("/api/v1/accounts/bob/password", json={"password": PASSWORD})
    assert changed.status_code == 204
    portal.write("wakes-the-page.conf", "1")
    expect(page.get_by_text("Your session is over")).to_be_visible()
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(row(page, "first.conf")).to_be_visible()


def test_the_sign_in_page_is_accessible(portal: Portal) -> None:
    page = portal.open()
    page.goto(portal.url)
    expect(page.get_by_label("Name")).to_be_visible()
    assert violations(page, AXE.read_text(encoding="utf-8")) == []
