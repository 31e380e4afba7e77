"""Names that others chose, on every page: nothing of them runs, nothing of them is unseen, and they are marked."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import eventually
from e2e.portal.browser import HOSTILE, SHOWN, Portal, Sender, row
from whatchanged.records.times import now_ns
from whatchanged.server.api.pages import ADDRESSES

NAMES = {
    b"bad\xff\xfe.conf": "bad\ufffd\ufffd.conf",
    b"esc\x1b]0;title\x07\x1b[31m\nline.conf": "esc⟨U+001B⟩]0;title⟨U+0007⟩⟨U+001B⟩[31m⟨U+000A⟩line.conf",
    "tag\U000e0041\u200b\u00ad.conf".encode(): "tag⟨U+E0041⟩⟨U+200B⟩⟨U+00AD⟩.conf",
    "p\u0430sswd.conf".encode(): "p\u0430sswd.conf",
    b"space.conf ": "space.conf ",
}
"""What is on the disk, and how it is shown."""
LONGEST = "/" + "/".join("x" * 240 for _ in range(17))[:4094] + "/"


@pytest.fixture(scope="module", autouse=True)
def hostile(portal: Portal) -> None:
    """Give every thing that has a name one that is meant to harm."""
    for name in NAMES:
        with open(os.path.join(os.fsencode(portal.installation.real_tree), name), "wb") as made:
            made.write(b"new")
    (portal.installation.root / "var/lib/dpkg/status").write_text(
        f"Package: {HOSTILE}\nStatus: install ok installed\nVersion: {HOSTILE}\nArchitecture: all\n"
        f"Maintainer: {HOSTILE}\nDescription: {HOSTILE}\n"
    )
    send = Sender(portal, HOSTILE)
    columns = ("InitiatingProcessName", "InitiatingProcessCommandLine", "InitiatingProcessAccountName", "RuleName")
    send([(LONGEST, now_ns()), (HOSTILE * 3, now_ns())], **dict.fromkeys(columns, HOSTILE))
    eventually(lambda: portal.installation.inventory("software"), what="the package has arrived")
    wanted = len(NAMES) + len((HOSTILE, LONGEST, HOSTILE * 3))
    eventually(lambda: len(portal.installation.changes()) >= wanted, what="the changes have arrived")


def harm(page: Page) -> list[str]:
    """Return what of others' names became a part of the page, or cannot be seen in it."""
    found: list[str] = page.evaluate(
        """() => {
            const unseen =
                /[\\p{Cf}\\p{Zl}\\p{Zp}\\p{Co}\\p{Cs}\\p{Default_Ignorable_Code_Point}]|(?![\\n\\t])\\p{Cc}/u;
            const found = [...document.querySelectorAll("img, [onerror]")].map((one) => one.outerHTML.slice(0, 200));
            const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (texts.nextNode()) {
                const inStyle = ["STYLE", "SCRIPT"].includes(texts.currentNode.parentElement.tagName);
                if (!inStyle && unseen.test(texts.currentNode.data)) found.push(texts.currentNode.data);
            }
            for (const one of document.body.querySelectorAll("[title], [aria-label]")) {
                for (const name of ["title", "aria-label"]) {
                    const value = one.getAttribute(name);
                    if (value && unseen.test(value)) found.push(`${name}: ${value}`);
                }
            }
            return found;
        }"""
    )
    return found


@pytest.mark.parametrize("path", [path for path in ADDRESSES if path != "/sign-in"])
def test_nothing_of_a_name_runs_or_is_unseen(portal: Portal, path: str) -> None:
    page = portal.signed_in(f"{path}?in=all")
    expect(page.get_by_role("heading", level=1)).to_be_attached()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    if path in ("/", "/changes", "/inventory", "/machines"):
        expect(page.get_by_text(SHOWN).first).to_be_attached()
    assert harm(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("shown", [*NAMES.values(), SHOWN * 3, LONGEST], ids=range(len(NAMES) + 2))
def test_a_name_is_marked_in_the_list_and_in_the_details(portal: Portal, shown: str) -> None:
    page = portal.signed_in("/changes?in=all")
    listed = row(page, shown.strip()).first
    unusual = shown != LONGEST
    item = listed.get_by_role("gridcell").nth(4)
    expect(item.get_by_role("img", name="Unusual name")).to_have_count(1 if unusual else 0)
    listed.click()
    details = page.get_by_role("complementary", name="Change")
    heading = details.get_by_role("heading").first
    expect(heading).to_contain_text(shown.strip())
    expect(heading.get_by_role("img", name="Unusual name")).to_have_count(1 if unusual else 0)
    if "\ufffd" in shown:
        expect(details).to_contain_text(r"/srv/tree/bad\xff\xfe.conf")
    assert harm(page) == []
    details.get_by_role("tab", name="Record").click()
    expect(details.locator("pre")).to_be_visible()
    assert harm(page) == []


def test_details_of_a_machine_and_of_a_package_are_harmless(portal: Portal) -> None:
    page = portal.signed_in("/machines")
    row(page, SHOWN).click()
    expect(page.get_by_role("complementary", name="Machine").get_by_role("heading").first).to_contain_text(SHOWN)
    expect(page.get_by_role("link", name=LONGEST[:40])).to_be_visible()
    assert harm(page) == []
    page.goto(f"{portal.url}/inventory?in=all")
    row(page, SHOWN).first.get_by_role("gridcell").first.click()
    expect(page.get_by_role("complementary", name="Item").get_by_role("heading").first).to_contain_text(SHOWN)
    assert harm(page) == []
