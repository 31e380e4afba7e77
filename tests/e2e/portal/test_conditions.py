"""The filter's conditions: chosen from what is there, changed, and made by every cell of the lists."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import eventually
from e2e.portal.browser import AXE, HOSTILE, SHOWN, Portal, Sender, inventory, keep, row, violations
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
    keep(page, "filter")
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


def settled(page: Page) -> None:
    """Wait until the list is the answer to what the address says."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("progressbar")).to_have_count(0)


def every_cell_narrows(page: Page, named: str, other: str, *, without: tuple[str, ...] = ()) -> None:
    """Of each cell of a row: only what is the same lets rows through, and what is not the same does not."""
    mine, others = row(page, named), row(page, other)
    for one in (mine, others):
        expect(one).to_have_count(1)
    heads = everything_shown(page)
    address = page.url
    for number, head in enumerate(heads):
        if head in without:
            continue
        cells = [one.get_by_role("gridcell").nth(number).get_attribute("title") for one in (mine, others)]
        same = int(cells[0] == cells[1])
        for menu, counts in (("Only this", (1, same)), ("Not this", (0, 1 - same))):
            mine.get_by_role("gridcell").nth(number).click(button="right")
            page.get_by_role("menuitem", name=menu).click()
            page.wait_for_function("was => location.href !== was", arg=address)
            settled(page)
            expect(conditions(page), head).to_be_visible()
            for one, count in zip((mine, others), counts, strict=True):
                expect(one, f"{menu}: {head} {cells}").to_have_count(count)
            page.go_back()
            expect(page).to_have_url(address)
            settled(page)


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
    # In one request: they arrive at the same moment.
    Sender(portal, "every cell")([("/srv/every/whole", now, columns), ("/srv/every/bare", now - 10**9)])
    eventually(lambda: len(portal.installation.changes(machine="every cell")) == 2, what="the changes have arrived")
    page = portal.signed_in("/changes?text=/srv/every/")
    every_cell_narrows(page, "/srv/every/whole", "/srv/every/bare")
    # And of the one that has nothing in most of them.
    every_cell_narrows(page, "/srv/every/bare", "/srv/every/whole")


@pytest.mark.parametrize("kind", ["Software", "Files"])
@pytest.mark.parametrize("machine", ["", "&is.machine={computer}"], ids=["names and versions", "items"])
def test_every_cell_of_the_inventory_narrows(portal: Portal, kind: str, machine: str) -> None:
    computer, text, named, other = "inventory of every cell", "Inventory test", "narrowed", "other"
    if kind == "Files":
        computer = portal.installation.inventory("files")[0]["Computer"]
        text, named, other = ".conf", "/srv/tree/before.conf", "/srv/tree/first.conf"
    elif not portal.installation.inventory("software", machine=computer):
        inventory(portal, computer, (named, other))
    page = portal.signed_in(f"/inventory?kind={kind}&text={text}{machine.format(computer=computer)}")
    # How many have it, and when it was last looked at, is of no item.
    every_cell_narrows(page, named, other, without=("Machines", "Last refreshed", "Arrived"))


def test_a_list_is_compared_as_a_whole_or_by_what_stands_in_it(portal: Portal) -> None:
    send = Sender(portal, "lists")
    for name, fields in (("one", "Size"), ("two", "Size,Acls"), ("three", "Size,Acls,Attributes"), ("none", "")):
        send([(f"/srv/lists/{name}", now_ns())], ChangeCategory="Modified", FieldsChanged=fields)
    everything = {"one", "two", "three", "none"}
    for value, found in (("Size,Acls", {"two"}), ("Acls", {"two", "three"}), ("", {"none"})):
        for sign, names in (("is", found), ("not", everything - found)):
            page = portal.signed_in(f"/changes?text=/srv/lists/&{sign}.fields={value}")
            expect(row(page, "/srv/lists/")).to_have_count(len(names))
            for name in names:
                expect(row(page, f"/srv/lists/{name}")).to_be_visible()


def test_a_list_is_cut_at_the_time_of_a_change(portal: Portal) -> None:
    now = now_ns()
    Sender(portal, "cut")([(f"/srv/cut/{at}", now - at * 60 * 10**9) for at in (70, 3, 2, 1)])
    page = portal.signed_in("/changes?text=/srv/cut/&in=1h")
    expect(row(page, "/srv/cut/")).to_have_count(3)
    row(page, "/srv/cut/2").get_by_role("gridcell").first.click(button="right")
    page.get_by_role("menuitem", name="Until here").click()
    expect(row(page, "/srv/cut/1")).to_have_count(0)
    expect(row(page, "/srv/cut/2")).to_be_visible()
    expect(row(page, "/srv/cut/3")).to_be_visible()
    expect(row(page, "/srv/cut/70")).to_have_count(0)  # the hour still counts
    row(page, "/srv/cut/2").get_by_role("gridcell").first.click(button="right")
    page.get_by_role("menuitem", name="From here on").click()
    expect(row(page, "/srv/cut/3")).to_have_count(0)
    expect(row(page, "/srv/cut/2")).to_be_visible()


def test_conditions_of_one_field_are_one(portal: Portal) -> None:
    """What is added to a condition that there is goes to it, and nothing of it is dropped."""
    Sender(portal, "added")([(f"/srv/added/{name}", now_ns()) for name in "abcd"])
    page = portal.signed_in("/changes?text=/srv/added/&not.item=/srv/added/a&is.machine=added")
    expect(row(page, "/srv/added/")).to_have_count(3)
    page.get_by_role("button", name="Add filter").click()
    form = page.get_by_role("dialog", name="Add a condition")
    form.get_by_label("Field").select_option(label="Item")
    form.get_by_role("radio", name="is none of").check()
    expect(form.get_by_role("checkbox", name="/srv/added/a")).to_be_checked()
    form.get_by_role("checkbox", name="/srv/added/b").check()
    form.get_by_role("button", name="Apply").click()
    expect(row(page, "/srv/added/")).to_have_count(2)
    tag = conditions(page).get_by_role("button", name="Item is not /srv/added/a or /srv/added/b", exact=True)
    tag.click()
    form = page.get_by_role("dialog", name="Condition: Item")
    form.get_by_role("radio", name="is any of").check()
    form.get_by_role("button", name="Apply").press("Enter")
    expect(row(page, "/srv/added/")).to_have_count(2)
    expect(row(page, "/srv/added/b")).to_be_visible()
    # The condition keeps the focus, whatever became of it.
    expect(
        conditions(page).get_by_role("button", name="Item is /srv/added/a or /srv/added/b", exact=True)
    ).to_be_focused()


def test_values_of_the_inventory_are_those_of_the_day(portal: Portal) -> None:
    inventory(portal, "of the day", ("offered",))
    page = portal.signed_in("/inventory?kind=Software&text=offered")
    expect(row(page, "offered")).to_be_visible()
    page.get_by_role("button", name="Add filter").click()
    form = page.get_by_role("dialog", name="Add a condition")
    form.get_by_label("Field").select_option(label="Publisher")
    form.get_by_role("checkbox", name="Inventory test").check()
    form.get_by_role("button", name="Apply").click()
    expect(row(page, "offered")).to_be_visible()
    # What only an item on its machine has is looked for item by item.
    page.get_by_role("button", name="Add filter").click()
    form = page.get_by_role("dialog", name="Add a condition")
    form.get_by_label("Field").select_option(label="Location")
    form.get_by_role("checkbox", name="/var/lib/dpkg/status").check()
    form.get_by_role("button", name="Apply").click()
    expect(row(page, "offered")).to_contain_text("of the day")
    page.goto(f"{portal.url}/inventory?kind=Software&at=2020-01-01T00:00:00Z")
    page.get_by_role("button", name="Add filter").click()
    expect(page.get_by_role("dialog", name="Add a condition").get_by_text("There are none here.")).to_be_visible()


def test_a_condition_that_a_page_does_not_have_is_said_to_be_unused(portal: Portal) -> None:
    page = portal.signed_in("/machines?is.publisher=nobody")
    expect(conditions(page)).to_contain_text("Publisher is nobody (not used here)")
    expect(page.get_by_role("grid").get_by_role("row").nth(1)).to_be_visible()
