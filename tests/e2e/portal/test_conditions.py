"""The filter's conditions: chosen from what is there, changed, and made by every cell of the lists."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import eventually
from e2e.portal.browser import AXE, HOSTILE, SHOWN, Portal, Sender, inventory, row, violations
from whatchanged.records.times import now_ns, time_text


def conditions(page: Page) -> Any:
    return page.get_by_role("toolbar", name="Conditions")


def test_a_condition_is_chosen_from_what_is_there_and_changed(portal: Portal) -> None:
    page = portal.signed_in("/changes?text=.conf")
    expect(row(page, "first.conf")).to_be_visible()
    page.get_by_role("button", name="Add filter").click()
    form = page.get_by_role("dialog", name="Add a condition")
    expect(form.get_by_role("checkbox", name="Files")).to_be_visible()
    form.get_by_label("Field").select_option(label="Item")
    first = form.get_by_role("checkbox", name="/srv/tree/first.conf")
    expect(first).to_be_visible()
    # What the rest of the filter does not let through is not offered.
    expect(form.get_by_role("checkbox", name=SHOWN)).to_have_count(0)
    form.get_by_label("Find or type a value").fill("FIRST")
    expect(form.get_by_role("checkbox", name="second.conf")).to_have_count(0)
    first.check()
    form.get_by_role("button", name="Apply").click()
    expect(form).to_have_count(0)
    expect(row(page, ".conf")).to_have_count(1)
    assert "is.item=" in page.url

    conditions(page).get_by_role("button", name="Item is /srv/tree/first.conf", exact=True).click()
    form = page.get_by_role("dialog", name="Condition: Item")
    expect(form.get_by_role("checkbox", name="/srv/tree/first.conf")).to_be_checked()
    # The others can still be had.
    form.get_by_role("checkbox", name="/srv/tree/second.conf").check()
    form.get_by_role("radio", name="is none of").check()
    form.get_by_role("button", name="Apply").click()
    expect(row(page, "first.conf")).to_have_count(0)
    expect(row(page, "second.conf")).to_have_count(0)
    assert "is.item=" not in page.url
    assert page.url.count("not.item=") == 2
    page.go_back()
    expect(row(page, "first.conf")).to_be_visible()


def test_a_value_that_is_not_there_yet_can_be_typed(portal: Portal) -> None:
    page = portal.signed_in("/changes")
    page.get_by_role("button", name="Add filter").click()
    form = page.get_by_role("dialog", name="Add a condition")
    form.get_by_label("Field").select_option(label="Machine")
    form.get_by_label("Find or type a value").fill("not yet enrolled")
    form.get_by_role("checkbox", name="not yet enrolled none here").check()
    form.get_by_role("button", name="Apply").click()
    expect(conditions(page)).to_contain_text("Machine is not yet enrolled")
    expect(page.get_by_role("region", name="Why this is empty")).to_be_visible()


def test_a_field_that_is_a_list_offers_what_stands_in_it(portal: Portal) -> None:
    Sender(portal, "list")([("/srv/listed", now_ns())], ChangeCategory="Modified", FieldsChanged="Size,Acls")
    page = portal.signed_in("/changes?is.machine=list")
    page.get_by_role("button", name="Add filter").click()
    form = page.get_by_role("dialog", name="Add a condition")
    form.get_by_label("Field").select_option(label="Fields changed")
    form.get_by_role("checkbox", name="Acls").check()
    form.get_by_role("button", name="Apply").click()
    expect(conditions(page)).to_contain_text("Fields changed is Acls")
    expect(row(page, "/srv/listed")).to_be_visible()


def test_the_keyboard_adds_a_condition_and_names_are_marked(portal: Portal) -> None:
    page = portal.signed_in("/changes", width=390)
    expect(row(page, "first.conf")).to_be_visible()
    unusual = row(page, SHOWN)
    expect(unusual.get_by_role("img", name="Unusual name")).to_be_visible()
    page.get_by_role("button", name="Add filter").press("Enter")
    form = page.get_by_role("dialog", name="Add a condition")
    expect(form.get_by_role("checkbox", name="Files")).to_be_visible()
    expect(form.get_by_label("Field")).to_be_focused()
    page.keyboard.type("Item")
    expect(form.get_by_role("img", name="Unusual name")).to_be_visible()
    assert violations(page, AXE.read_text()) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    hostile = form.get_by_role("checkbox", name=SHOWN)
    for _ in range(30):
        page.keyboard.press("Tab")
        if hostile.evaluate("box => box === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(hostile).to_be_checked()
    page.keyboard.press("Enter")
    expect(form).to_have_count(0)
    expect(page.get_by_role("row")).to_have_count(1)
    expect(unusual).to_be_visible()


def everything_shown(page: Page) -> list[str]:
    """Choose all columns of the list; return their heads."""
    page.get_by_role("button", name="Columns").click()
    hidden = page.get_by_role("menuitemcheckbox", checked=False)
    more = hidden.count() > 0
    while hidden.count():
        hidden.first.click()
    page.keyboard.press("Escape")
    if more:
        page.wait_for_function("() => location.search.includes('columns=')")
    heads: list[str] = page.get_by_role("columnheader").evaluate_all("all => all.map(one => one.title)")
    return heads


BOTH = (("Only this", 1), ("Not this", 0))


def every_cell_narrows(
    page: Page, named: str, *, without: tuple[str, ...] = (), menus: tuple[tuple[str, int], ...] = BOTH
) -> None:
    """Of each cell of a row: only what is the same lets the row through, and what is not the same does not."""
    rows = row(page, named)
    expect(rows).to_have_count(1)
    heads = everything_shown(page)
    address = page.url
    for number, head in enumerate(heads):
        if head in without:
            continue
        for menu, count in menus:
            rows.get_by_role("gridcell").nth(number).click(button="right")
            page.get_by_role("menuitem", name=menu).click()
            expect(conditions(page), head).to_be_visible()
            page.wait_for_function("was => location.href !== was", arg=address)
            expect(page.get_by_role("progressbar")).to_have_count(0)
            expect(rows, f"{menu}: {head}").to_have_count(count)
            page.go_back()
            expect(page).to_have_url(address)
            expect(rows, f"{menu}: {head}, taken back").to_have_count(1)


def test_every_cell_of_a_change_narrows(portal: Portal) -> None:
    now = now_ns()
    times = ("PreviousSeen", "DateModified", "PreviousDateModified")
    texts = ("Publisher", "Current", "Previous", "SvcState", "SvcPreviousState", "SvcStartupType",
             "SvcPreviousStartupType", "Attributes", "PreviousAttributes", "Acls", "PreviousAcls", "RuleName",
             "FileContentChecksum", "PreviousFileContentChecksum", "ValueData", "PreviousValueData", "ExplainedBy",
             "InitiatingProcessName", "InitiatingProcessAccountName", "InitiatingProcessCommandLine")  # fmt: skip
    columns = {
        **{name: time_text(now - 1_234_567_891 - at) for at, name in enumerate(times)},
        **{name: f"{name} {HOSTILE}" for name in texts},
        "Size": 5_000_000_000,
        "PreviousSize": 0,
        "DetectedBy": "Poll",
        "ChangeCategory": "Modified",
        "FieldsChanged": "Size,DateModified",
        "TransactionId": "0b9f4a0e-67c6-4c38-8c0e-6a55a0a6d9c1",
    }
    send = Sender(portal, "every cell")
    send([("/srv/whole", now)], **columns)
    send([("/srv/bare", now - 10**9)])
    eventually(lambda: portal.installation.changes(machine="every cell"), what="the changes have arrived")
    every_cell_narrows(portal.signed_in("/changes?text=/srv/whole"), "/srv/whole")
    # Where there is nothing, nothing is what others must have as well.
    every_cell_narrows(portal.signed_in("/changes?text=/srv/bare"), "/srv/bare", menus=BOTH[:1])


@pytest.mark.parametrize("kind", ["Software", "Files"])
@pytest.mark.parametrize("machine", ["", "&is.machine={computer}"], ids=["names and versions", "items"])
def test_every_cell_of_the_inventory_narrows(portal: Portal, kind: str, machine: str) -> None:
    computer = "inventory of every cell"
    if kind == "Software":
        if not portal.installation.inventory("software", machine=computer):
            inventory(portal, computer, ("narrowed", "other"))
        named = "narrowed"
    else:
        named = "/srv/tree/before.conf"
        computer = portal.installation.inventory("files")[0]["Computer"]
    page = portal.signed_in(f"/inventory?kind={kind}&text={named}{machine.format(computer=computer)}")
    every_cell_narrows(page, named, without=("Machines", "Last refreshed"))  # these move
