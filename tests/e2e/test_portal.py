"""The portal in a real browser, against a whole installation: every test fails on an error of the page.

`WHATCHANGED_SCREENSHOTS=DIR` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request, expect, sync_playwright

from e2e.conftest import Installation, eventually
from whatchanged.records.carrier import new_epoch
from whatchanged.records.times import now_ns, time_text

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "portal/node_modules/axe-core/axe.min.js"
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}\u202egnp.exe"
SHOWN = HOSTILE.replace("\u202e", "⟨U+202E⟩")
PASSWORD = "correct horse battery"
PAGES = ("/", "/changes", "/inventory", "/machines")


class Portal:
    """An installation and a browser."""

    def __init__(self, installation: Installation, browser: Browser) -> None:
        self.installation = installation
        self.browser = browser
        self.url = str(installation.client().base_url).rstrip("/")
        self.troubles: list[str] = []

    def open(self, *, width: int = 1280, dark: bool = False) -> Page:
        """Return a page in a browser of its own, nobody signed in."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", self._error)
        page.on("dialog", self._dialog)
        page.on("console", self._said)
        page.on("request", self._asked)
        return page

    def _error(self, error: Error) -> None:
        self.troubles.append(f"error: {error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, said: ConsoleMessage) -> None:
        # Also what the policy refuses. An answer of 4xx is said by the page itself.
        if said.type in ("error", "warning") and "Failed to load resource" not in said.text:
            self.troubles.append(f"{said.type}: {said.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"asked elsewhere: {request.url}")

    def link(self) -> str:
        made: str = self.installation.client().post("/api/v1/sign-in-links").json()["link"]
        return f"{self.url}/sign-in#{made}"

    def signed_in(self, path: str = "/changes", **options: Any) -> Page:
        """Return a page of the owner's."""
        page = self.open(**options)
        link = self.link().rpartition("#")[2]
        answer = page.request.post(f"{self.url}/api/v1/sign-in", data={"link": link})
        assert answer.status == 200, answer.text()
        page.goto(self.url + path)
        return page

    def account(self, name: str, role: str) -> None:
        body = {"name": name, "role": role, "password": PASSWORD}
        made = self.installation.client().post("/api/v1/accounts", json=body)
        assert made.status_code in (201, 409), made.text

    def write(self, name: str, content: str) -> None:
        (self.installation.real_tree / name).write_text(content)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    made = Installation(tmp_path_factory.mktemp("portal"))
    (made.real_tree / "before.conf").write_text("1\n")
    try:
        made.start()
        made.looked()
        for name in ("first.conf", "second.conf", HOSTILE):
            (made.real_tree / name).write_text("new\n")
        eventually(lambda: len(made.changes()) >= 3, what="the changes have arrived")
        # Ended with the module: as long as it runs, nothing else in this process can use asyncio.
        expect.set_options(timeout=30_000)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            yield Portal(made, browser)
            browser.close()
    finally:
        made.end()


@pytest.fixture(autouse=True)
def quiet(portal: Portal) -> Iterator[None]:
    """Fail on whatever a page complained of, and close what a test left open."""
    portal.troubles.clear()
    yield
    for context in portal.browser.contexts:
        context.close()
    assert portal.troubles == []


class Sender:
    """A machine whose changes a test makes up."""

    def __init__(self, portal: Portal, computer: str) -> None:
        made = portal.installation.client().post("/api/v1/enrollment-tokens", json={}).json()["token"]
        facts = {"computer": computer, "osType": "Linux"}
        headers = {"authorization": f"Bearer {made}"}
        machine = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False).json()
        self._computer = computer
        self._path = f"{portal.url}/dataCollectionRules/{machine['implicitRuleId']}/streams/CONFIG_CHANGE_BLOB_V2"
        self._headers = {"authorization": f"Bearer {machine['credential']}", "x-whatchanged-instance": "one"}
        self._epoch, self._sent = new_epoch(), 0

    def __call__(self, changes: list[tuple[str, int]]) -> None:
        """Send a change of a file for each path and time."""
        rows = []
        for path, time_ns in changes:
            self._sent += 1
            rows.append(
                {
                    "_Stream": "CONFIG_CHANGE_BLOB_V2",
                    "_Epoch": self._epoch,
                    "_Sequence": self._sent,
                    "TimeGenerated": time_text(time_ns),
                    "Computer": self._computer,
                    "ConfigChangeType": "Files",
                    "ChangeCategory": "Added",
                    "FileSystemPath": path,
                }
            )
        sent = httpx.post(
            f"{self._path}?api-version=2023-01-01", json=rows, headers=self._headers, trust_env=False, timeout=30
        )
        assert sent.status_code == 204, sent.text


def row(page: Page, text: str) -> Any:
    return page.get_by_role("grid").get_by_role("row").filter(has_text=text)


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


def test_an_edit_appears_while_one_looks_and_its_details_open(portal: Portal) -> None:
    page = portal.signed_in("/changes")
    expect(row(page, "first.conf")).to_be_visible()
    page.evaluate("() => { window.sameDocument = true }")
    portal.write("before.conf", "1\n2\n")
    changed = row(page, "before.conf").filter(has_text="Modified")
    expect(changed).to_be_visible()
    assert page.evaluate("() => window.sameDocument") is True
    shown = page.get_by_role("grid").get_by_role("row").count()
    changed.click()
    details = page.get_by_role("complementary", name="Change")
    size = details.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Size", exact=True))
    expect(size).to_contain_text("2 B")
    expect(size).to_contain_text("4 B")
    expect(size).to_have_attribute("data-changed", "true")
    mode = details.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Attributes"))
    expect(mode).to_contain_text("0644: owner read, write; group read; others read")
    expect(changed).to_be_visible()
    expect(page.get_by_role("grid").get_by_role("row")).to_have_count(shown)
    keep(page, "details")
    details.get_by_role("tab", name="History").click()
    portal.write("before.conf", "1\n2\n3\n")
    expect(row(page, "before.conf").filter(has_text="Modified")).to_have_count(2)
    details.get_by_role("tab", name="Record").click()
    raw = json.loads(details.locator("pre").inner_text())
    assert raw["FileSystemPath"].endswith("before.conf")
    page.reload()
    expect(
        page.get_by_role("complementary", name="Change").get_by_role("rowheader", name="Size", exact=True)
    ).to_be_visible()
    details.get_by_role("button", name="Close").click()
    expect(details).to_have_count(0)


def test_a_page_that_pauses_says_that_there_is_more(portal: Portal) -> None:
    page = portal.signed_in("/changes?text=paused")
    expect(page.get_by_role("region", name="Why this is empty")).to_contain_text("the filter lets none of them through")
    page.get_by_role("button", name="Pause").click()
    portal.write("paused.conf", "1")
    expect(page.get_by_text("new changes", exact=True)).to_be_visible()
    expect(row(page, "paused.conf")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(row(page, "paused.conf")).to_be_visible()


def test_only_this_and_not_this(portal: Portal) -> None:
    page = portal.signed_in("/changes?text=.conf")
    expect(row(page, "first.conf")).to_be_visible()
    cell = row(page, "first.conf").get_by_role("gridcell").nth(4)
    cell.hover()
    cell.get_by_title("Only this, not this").click()
    page.get_by_role("menuitem", name="Not this").click()
    expect(row(page, "first.conf")).to_have_count(0)
    expect(row(page, "second.conf")).to_be_visible()
    assert "not.item=" in page.url
    row(page, "second.conf").get_by_role("gridcell").nth(4).click(button="right")
    page.get_by_role("menuitem", name="Only this").click()
    expect(row(page, ".conf")).to_have_count(1)
    address = page.url
    page.reload()
    expect(row(page, "second.conf")).to_be_visible()
    expect(row(page, ".conf")).to_have_count(1)
    assert page.url == address
    page.go_back()
    expect(row(page, ".conf").nth(1)).to_be_visible()
    expect(row(page, "first.conf")).to_have_count(0)
    page.go_back()
    expect(row(page, "first.conf")).to_be_visible()
    page.go_forward()
    page.get_by_role("button", name="Remove: Item is not").click()
    expect(row(page, "first.conf")).to_be_visible()


def test_hostile_names_are_text(portal: Portal) -> None:
    page = portal.signed_in("/changes")
    hostile = row(page, "onerror=alert(1)")
    expect(hostile).to_be_visible()
    expect(hostile.locator("img")).to_have_count(0)
    assert SHOWN in hostile.inner_text()
    hostile.get_by_role("gridcell").nth(4).click(button="right")
    page.get_by_role("menuitem", name="Only this").click()
    expect(page.get_by_role("row")).to_have_count(2)  # with the heads
    hostile.click()
    details = page.get_by_role("complementary", name="Change")
    expect(details.get_by_role("heading")).to_contain_text(SHOWN)
    expect(details.locator("img")).to_have_count(0)
    page.reload()
    expect(hostile).to_be_visible()
    filtered = portal.signed_in("/changes?text=%27%29+%7C+take+0+%2F%2F%22%5C&is.machine=%22%29+or+true%3B+%28%22")
    expect(filtered.get_by_role("region", name="Why this is empty")).to_be_visible()


def test_the_keyboard_reaches_everything(portal: Portal) -> None:
    page = portal.signed_in("/changes?text=.conf")
    grid = page.get_by_role("grid", name="Changes")
    expect(row(page, "second.conf")).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        if grid.evaluate("grid => grid === document.activeElement"):
            break
    expect(grid).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    details = page.get_by_role("complementary", name="Change")
    expect(details.get_by_role("heading")).to_be_visible()
    details.get_by_role("button", name="Close").press("Enter")
    expect(details).to_have_count(0)
    grid.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("f")
    page.get_by_role("menuitem", name="Only this").press("Enter")
    expect(page.get_by_role("toolbar", name="Conditions")).to_contain_text("Item is ")
    expect(grid).to_be_focused()


def test_changes_of_one_transaction_stand_under_one_line(portal: Portal) -> None:
    old, new = portal.installation.real_tree / "second.conf", portal.installation.real_tree / "renamed.conf"
    page = portal.signed_in("/changes?text=renamed.conf")
    expect(page.get_by_role("region", name="Why this is empty")).to_be_visible()
    old.rename(new)
    expect(row(page, "renamed from")).to_be_visible()
    page.get_by_role("switch", name="By transaction").click()
    assert "group=transaction" in page.url
    expect(row(page, "renamed from")).to_be_visible()


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


def test_long_lists_come_page_by_page_and_what_arrives_takes_its_place(portal: Portal) -> None:
    send = Sender(portal, "many")
    start = now_ns() - 3600 * 10**9
    send([(f"/many/{number:03}", start + number * 10**9) for number in range(450)])
    page = portal.signed_in("/changes?is.machine=many")
    expect(row(page, "/many/449")).to_be_visible()
    status = page.get_by_role("status")
    expect(status).to_have_text("200 changes, more below, live")
    # Late ones: one stands among what is loaded, one below it.
    send([("/many/late", start + 400 * 10**9 + 1), ("/many/later", start + 10 * 10**9 + 1)])
    expect(status).to_have_text("201 changes, more below, live")
    grid = page.get_by_role("grid", name="Changes")
    grid.focus()
    seen: list[str] = []
    while status.inner_text() != "452 changes, live" or "/many/000" not in seen[-1:]:
        page.keyboard.press("PageDown")
        cells = grid.get_by_role("gridcell").filter(has_text="/many/").all_inner_texts()
        seen += [name for name in cells if name not in seen]
    expected = [f"/many/{number:03}" for number in reversed(range(450))]
    expected.insert(expected.index("/many/400"), "/many/late")
    expected.insert(expected.index("/many/010"), "/many/later")
    assert seen == expected


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


def test_what_the_overview_shows_leads_to_lists(portal: Portal) -> None:
    page = portal.signed_in("/")
    machines = page.get_by_role("group", name="Most changed machines")
    expect(machines.get_by_role("link").first).to_be_visible()
    files = page.get_by_role("group", name="Changes over time").get_by_role("link", name="File")
    counted = int(files.inner_text().split(": ")[1])
    portal.write("one-more.conf", "1")
    expect(files).to_contain_text(f": {counted + 1}")  # by itself
    files.click()
    expect(row(page, "one-more.conf")).to_be_visible()
    assert "is.kind=Files" in page.url
    page.go_back()
    page.get_by_role("group", name="Most changed items").get_by_role("link").first.click()
    expect(page.get_by_role("toolbar", name="Conditions")).to_contain_text("Item is ")
    page.go_back()
    page.get_by_role("group", name="Health").get_by_role("link", name="Active machines").click()
    expect(row(page, "Active").first).to_be_visible()
    page.go_back()
    chart = page.get_by_role("group", name="Changes over time").get_by_role("img")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 60, steps=8)
    page.mouse.up()
    expect(page.get_by_role("combobox", name="Time")).to_have_text("From … to …")
    assert "from=" in page.url
    expect(files).to_be_visible()
    hours = page.get_by_role("group", name="By hour and weekday").get_by_role("img")
    expect(hours).to_be_visible()
    (written,) = [one for one in portal.installation.changes() if one.get("Name") == "one-more.conf"]
    moment = datetime.fromisoformat(written["TimeGenerated"][:19]).replace(tzinfo=UTC)
    place = hours.bounding_box()
    assert place is not None
    for share in range(8, 100, 2):  # where the axis ends its labels decide
        if "is.hour" in page.url:
            break
        day = (moment.isoweekday() % 7 + 0.5) / 7
        page.mouse.click(place["x"] + place["width"] * share / 100, place["y"] + 8 + (place["height"] - 36) * day)
    page.wait_for_url("**is.hour=**")
    assert f"is.weekday={moment.isoweekday() % 7}" in page.url
    expect(page.get_by_role("grid", name="Changes")).to_be_visible()


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


def test_the_sign_in_page_is_accessible(portal: Portal) -> None:
    page = portal.open()
    page.goto(portal.url)
    expect(page.get_by_label("Name")).to_be_visible()
    assert violations(page, AXE.read_text(encoding="utf-8")) == []


def violations(page: Page, axe: str) -> list[Any]:
    """Return what axe finds, but for what Fluent puts at the ends of the document to keep the focus in."""
    page.evaluate(axe)
    found: list[Any] = page.evaluate(
        """async () => {
            const found = await axe.run({ exclude: [["[data-tabster-dummy]"]] });
            return found.violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html.slice(0, 200))]);
        }"""
    )
    return found


def keep(page: Page, name: str) -> None:
    folder = os.environ.get("WHATCHANGED_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png", animations="disabled")
