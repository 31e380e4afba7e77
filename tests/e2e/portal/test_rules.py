"""Rules: forms that leave alone what they do not know, previews, versions, associations, and who may what."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import eventually, linux_rule
from e2e.portal.browser import AXE, HOSTILE, PASSWORD, SHOWN, Portal, keep, row, violations
from whatchanged import rules

SAMPLES = sorted((Path(__file__).parents[2] / "samples" / "rules").glob("*.json"))
EXTENSIONS = ("properties", "dataSources", "extensions")


def put(portal: Portal, name: str, document: Any) -> Any:
    answer = portal.installation.client().put(f"/api/v1/rules/{name}", json=document)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def kept(portal: Portal, name: str) -> Any:
    answer = portal.installation.client().get(f"/api/v1/rules/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def made(path: str = "/srv/nowhere/*", **more: Any) -> Any:
    """A rule for Linux with one file item."""
    document = linux_rule(Path("/srv/tree"))
    (item,) = items_of(document)
    item |= {"name": "one", "destinationPath": path, **more}
    return document


def items_of(document: Any) -> Any:
    return document["properties"]["dataSources"]["extensions"][0]["extensionSettings"]["fileSettings"]["fileInfo"]


def details_of(page: Page) -> Any:
    return page.get_by_role("complementary", name="Rule")


def edit(portal: Portal, name: str, **options: Any) -> Page:
    page = portal.signed_in(f"/rules?edit={name}", **options)
    expect(page.get_by_role("tab", name="Basics")).to_be_visible()
    return page


def open_files(page: Page, system: str = "Linux") -> None:
    page.get_by_role("tab", name=system, exact=True).click()
    page.get_by_role("tab", name="Files").click()


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("grid", name="Rules")).to_be_visible()
    expect(details_of(page)).to_be_visible()


def test_a_rule_edited_in_the_form_reaches_the_tracker(portal: Portal) -> None:
    elsewhere = portal.installation.root / "srv" / "elsewhere"
    elsewhere.mkdir()
    page = portal.signed_in("/rules")
    expect(row(page, "up")).to_contain_text("Linux: 1 file item, software, services")
    expect(row(page, "up")).to_contain_text("1 of 1 machines")
    row(page, "up").click()
    expect(details_of(page)).to_contain_text("1 of 1 machines hold it as it is now")
    keep(page, "rule-details-light-1280")
    details_of(page).get_by_role("button", name="Edit").click()
    open_files(page)
    page.get_by_role("button", name="Add file item").click()
    item = page.get_by_role("dialog", name="File item")
    item.get_by_role("textbox", name="Name").fill("elsewhere")
    item.get_by_role("textbox", name="Path").fill("/srv/elsewhere/*")
    keep(page, "rule-item-light-1280")
    item.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_enabled()
    keep(page, "rule-form-light-1280")
    save(page)
    expect(row(page, "up")).to_contain_text("Linux: 2 file items")
    expect(row(page, "up")).to_contain_text("1 of 1 machines")
    status = portal.installation.command
    eventually(lambda: "/srv/elsewhere" in status("status", "--json").stdout, what="the tracker follows the rule")
    portal.installation.settled()
    (elsewhere / "new.conf").write_text("new\n")
    page.get_by_role("tab", name="Changes").click()
    expect(row(page, "/srv/elsewhere/new.conf")).to_be_visible()


def test_a_preview_counts_before_anything_is_saved(portal: Portal) -> None:
    big = portal.installation.root / "srv" / "big"
    (big / "below").mkdir(parents=True)
    for name in ("a", "b", "below/c"):
        (big / name).write_bytes(b"x" * 1024)
    before = put(portal, "previewed", made())
    page = edit(portal, "previewed")
    open_files(page)
    page.get_by_role("button", name="Edit one").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Path").fill("/srv/big/*")
    page.get_by_role("dialog").get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Add file item").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Name").fill("nothing")
    page.get_by_role("dialog").get_by_role("textbox", name="Path").fill("/srv/missing/*")
    page.get_by_role("dialog").get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Preview").click()
    preview = page.get_by_role("complementary", name="Preview")
    preview.get_by_role("combobox", name="Machine").click()
    page.get_by_role("option").first.click()
    preview.get_by_role("button", name="Count").click()
    counts = preview.get_by_role("table", name="Counts")
    expect(counts.get_by_role("row").filter(has_text="/srv/big/*")).to_contain_text("3")
    expect(counts.get_by_role("row").filter(has_text="/srv/big/*")).to_contain_text("3.0 KiB")
    expect(counts.get_by_role("row").filter(has_text="/srv/missing/*")).to_contain_text("matches nothing")
    expect(counts.get_by_role("row").filter(has_text="Together")).to_contain_text("3.0 KiB")
    keep(page, "rule-preview-light-1280")
    assert violations(page, AXE.read_text(encoding="utf-8")) == []
    assert kept(portal, "previewed")["etag"] == before["etag"]


def test_what_is_wrong_is_said_at_its_place(portal: Portal) -> None:
    put(portal, "faulty", made())
    page = edit(portal, "faulty")
    open_files(page)
    page.get_by_role("textbox", name="Frequency").fill("never")
    expect(page.get_by_text("is no number: 'never'; 900.0 is used")).to_be_visible()
    page.get_by_role("textbox", name="Frequency").fill("600")
    page.get_by_role("button", name="Edit one").click()
    dialog = page.get_by_role("dialog")
    path = dialog.get_by_role("textbox", name="Path")
    path.fill("relative/path")
    expect(path).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_role("alert").filter(has_text="relative/path")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_role("table", name="Files")).to_contain_text("error")
    expect(page.get_by_role("tab", name="Findings (1)")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    asked = page.get_by_role("dialog", name="Save with errors?")
    expect(asked).to_contain_text("1 part of the rule cannot work")
    asked.get_by_role("button", name="Go on editing").click()
    # What Cancel takes back is as it was.
    page.get_by_role("button", name="Edit one").click()
    dialog.get_by_role("textbox", name="Path").fill("/srv/right/*")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("table", name="Files")).to_contain_text("relative/path")


def test_json_has_its_error_located_and_what_the_form_does_not_know_stays(portal: Portal) -> None:
    path = f"/srv/{HOSTILE}/*"
    document = made(path, name=HOSTILE, groupTag=HOSTILE, recursive="TRUE", ourOwn={"deep": [1, None]})
    document["properties"]["description"] = HOSTILE
    document["properties"]["dataSources"]["performanceCounters"] = [{"name": "perf", "counterSpecifiers": ["\\x"]}]
    items_of(document)[0].pop("recurse")
    put(portal, "odd", document)
    page = edit(portal, "odd")
    open_files(page)
    table = page.get_by_role("table", name="Files")
    expect(table).to_contain_text(f"/srv/{SHOWN}/*")
    expect(table.get_by_role("row").nth(1)).to_contain_text("yes")  # `recursive`, as text
    page.get_by_role("button", name=f"Edit {SHOWN}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("switch", name="Recursive").click()
    dialog.get_by_role("textbox", name="Leave out").fill("*.swp\n/srv/nowhere/cache")
    dialog.get_by_role("button", name="Done").click()
    page.get_by_role("tab", name="JSON").click()
    text = page.get_by_role("textbox", name="Document")
    expect(text).to_have_value(re.compile('"recursive": false'))
    page.get_by_role("tab", name="Basics").click()
    save(page)
    expect(row(page, "odd")).to_contain_text(SHOWN)
    items_of(document)[0] |= {"recursive": False, "exclude": ["*.swp", "/srv/nowhere/cache"]}
    assert kept(portal, "odd")["document"] == document

    details_of(page).get_by_role("button", name="Edit").click()
    page.get_by_role("tab", name="JSON").click()
    good = text.input_value()
    text.fill(good.replace('"enableFiles": true,', '"enableFiles": true', 1))
    line = good[: good.index('"enableFiles"')].count("\n") + 2
    expect(page.get_by_role("alert")).to_contain_text(f"Line {line}, column")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    expect(page.get_by_role("tab", name="Basics")).to_be_disabled()
    text.fill(good)
    expect(page.get_by_role("tab", name="Basics")).to_be_enabled()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_real_rules_go_through_the_form_unchanged(portal: Portal, sample: Path, tmp_path: Path) -> None:
    """Imported, touched in the form, put back, saved, exported: the document is the one of the file."""
    document = json.loads(sample.read_text(encoding="utf-8-sig"))
    assert len(rules.read(document)) == 1
    name = f"sample {sample.stem}"
    page = portal.signed_in("/rules")
    page.get_by_role("button", name="Import").click()
    dialog = page.get_by_role("dialog", name="Import a data collection rule")
    dialog.locator("input[type=file]").set_input_files(sample)
    # What the file says is put in first; then it is another name that is wanted.
    expect(dialog.get_by_role("textbox", name="Name")).not_to_have_value("")
    expect(dialog).to_contain_text(sample.name)
    dialog.get_by_role("textbox", name="Name").fill(name)
    dialog.get_by_role("button", name="Continue").click()
    for system in ("Windows", "Linux"):
        page.get_by_role("tab", name=system, exact=True).click()
        page.get_by_role("tab", name="Software").click()
        enabled = page.get_by_role("switch", name="Collect software")
        expect(enabled).to_be_visible()
        if "enableSoftware" in sample.read_text(encoding="utf-8"):
            enabled.click()
            enabled.click()
    save(page)
    assert kept(portal, name)["document"] == document
    with page.expect_download() as downloading:
        details_of(page).get_by_role("button", name="Export").click()
    target = tmp_path / "exported.json"
    downloading.value.save_as(target)
    assert json.loads(target.read_text(encoding="utf-8")) == document


def test_a_number_that_a_browser_would_change_is_not_saved_by_it(portal: Portal) -> None:
    document = made(ourOwn=2**53 + 1)
    put(portal, "exact", document)
    page = portal.signed_in("/rules?id=exact")
    details_of(page).get_by_role("button", name="Export").click()
    expect(page.get_by_role("alert")).to_contain_text("which a browser cannot hold exactly")
    details_of(page).get_by_role("button", name="Edit").click()
    text = page.get_by_role("textbox", name="Document")
    text.fill(text.input_value().replace('"name": "one"', '"name": "two"'))
    expect(page.get_by_role("status")).to_contain_text("changed, not saved")
    expect(page.get_by_text("which a browser cannot hold exactly")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    assert kept(portal, "exact")["document"] == document


def test_a_new_rule_from_a_template_and_recommended_keys(portal: Portal) -> None:
    page = portal.signed_in("/rules")
    page.get_by_role("button", name="New", exact=True).click()
    dialog = page.get_by_role("dialog", name="New data collection rule")
    dialog.get_by_role("textbox", name="Name").fill("../etc")
    expect(dialog.get_by_role("alert")).to_contain_text("letters, digits")
    dialog.get_by_role("textbox", name="Name").fill("UP")
    expect(dialog.get_by_role("alert")).to_contain_text("There is a rule of this name already")
    dialog.get_by_role("textbox", name="Name").fill("Fresh")
    dialog.get_by_role("radio", name="Empty").check()
    dialog.get_by_role("button", name="Continue").click()
    page.get_by_role("tab", name="Windows", exact=True).click()
    page.get_by_role("tab", name="Registry").click()
    expect(page.get_by_text("No registry item yet")).to_be_visible()
    page.get_by_role("button", name="Add recommended").click()
    page.get_by_role("menuitem", name="Registry (28)").click()
    table = page.get_by_role("table", name="Registry")
    expect(table.get_by_role("row")).to_have_count(29)
    expect(table).to_contain_text("Image File Execution Options")
    expect(page.get_by_role("button", name="Add recommended")).to_have_count(0)
    page.get_by_role("button", name="Remove Registry_1", exact=True).click()
    expect(table.get_by_role("row")).to_have_count(28)
    # Another page is looked at, and nothing is lost by it.
    page.get_by_role("tab", name="Machines").click()
    expect(row(page, "Active")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("status")).to_contain_text("new, not saved")
    save(page)
    assert kept(portal, "Fresh")["sources"][0]["registry"] == 27


def test_associations_come_and_go(portal: Portal) -> None:
    put(portal, "bound", made())
    page = portal.signed_in("/rules?id=bound")
    details = details_of(page)
    details.get_by_role("tab", name="Associations (0)").click()
    details.get_by_role("combobox", name="Group").fill("web")
    details.get_by_role("button", name="Associate", exact=True).click()
    group = details.get_by_role("listitem").filter(has_text="Group web (0 machines)")
    expect(group).to_be_visible()
    details.get_by_role("radio", name="one machine").check()
    details.get_by_role("combobox", name="Machine").click()
    page.get_by_role("option").first.click()
    details.get_by_role("button", name="Associate", exact=True).click()
    expect(details.get_by_role("listitem").filter(has_text="Machine ")).to_be_visible()
    expect(row(page, "bound")).to_contain_text("1 machine, 1 group")
    details.get_by_role("button", name="Delete").click()
    asked = page.get_by_role("dialog", name="Delete bound?")
    asked.get_by_role("button", name="Delete").click()
    expect(asked).to_contain_text("the rule is associated; remove its associations first")
    asked.get_by_role("button", name="Show associations").click()
    for one in ("Group web", "Machine "):
        details.get_by_role("listitem").filter(has_text=one).get_by_role("button", name="Remove").click()
        details.get_by_role("button", name="Remove it").click()
        expect(details.get_by_role("listitem").filter(has_text=one)).to_have_count(0)
    details.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row(page, "bound")).to_have_count(0)
    assert portal.installation.client().get("/api/v1/rules/bound").status_code == 404


def test_every_version_is_there_and_comes_back(portal: Portal) -> None:
    for path in ("/srv/first/*", "/srv/second/*"):
        put(portal, "versioned", made(path))
    page = portal.signed_in("/rules?id=versioned")
    details = details_of(page)
    details.get_by_role("tab", name="History").click()
    versions = details.get_by_role("list", name="Versions").get_by_role("listitem")
    expect(versions).to_have_count(2)
    expect(versions.first).to_contain_text("by owner of this installation (as it is now)")
    versions.first.get_by_role("button").click()
    difference = details.get_by_role("group", name="Difference to the version before")
    expect(difference).to_contain_text('- "destinationPath": "/srv/first/*"'.replace("- ", ""))
    expect(difference).to_contain_text("/srv/second/*")
    keep(page, "rule-history-light-1280")
    expect(details.get_by_role("button", name="Restore this version")).to_have_count(0)
    versions.nth(1).get_by_role("button").first.click()
    details.get_by_role("button", name="Restore this version").click()
    expect(versions).to_have_count(3)
    assert items_of(kept(portal, "versioned")["document"])[0]["destinationPath"] == "/srv/first/*"


def test_two_editors_do_not_overwrite_each_other(portal: Portal) -> None:
    put(portal, "shared", made())
    page = edit(portal, "shared")
    page.get_by_role("textbox", name="Description").fill("mine")
    theirs = made()
    theirs["properties"]["description"] = "theirs"
    put(portal, "shared", theirs)
    page.get_by_role("button", name="Save", exact=True).click()
    conflict = page.get_by_role("dialog", name="Somebody else changed this rule")
    expect(conflict).to_contain_text("owner of this installation saved it at")
    conflict.get_by_role("button", name="Compare").click()
    difference = conflict.get_by_role("group", name="Theirs and yours")
    expect(difference).to_contain_text("theirs")
    expect(difference).to_contain_text("mine")
    assert kept(portal, "shared")["description"] == "theirs"
    conflict.get_by_role("button", name="Overwrite with mine").click()
    expect(details_of(page)).to_contain_text("mine")
    assert kept(portal, "shared")["description"] == "mine"


def sign_in(portal: Portal, name: str, path: str) -> Page:
    page = portal.open()
    page.goto(portal.url + path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    return page


CALL = """async ([method, path, body]) => (await fetch(path, { method, body: JSON.stringify(body),
            headers: { "content-type": "application/json" } })).status"""


def test_a_reader_sees_and_changes_nothing(portal: Portal) -> None:
    put(portal, "seen", made())
    portal.account("rita", "Reader")
    page = sign_in(portal, "rita", "/rules?id=seen")
    details = details_of(page)
    expect(details.get_by_role("button", name="Export")).to_be_enabled()
    for tab in ("Associations", "History", "JSON", "Overview"):
        details.get_by_role("tab", name=tab).click()
        expect(details.get_by_role("progressbar")).to_have_count(0)
        for name in ("New", "Import", "Edit", "Delete", "Associate", "Restore this version"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    machine = portal.installation.rows("/api/v1/machines")[0]["id"]
    for method, path, body in (
        ("PUT", "/api/v1/rules/seen", made("/x")),
        ("DELETE", "/api/v1/rules/seen", None),
        ("POST", "/api/v1/rule-checks", made()),
        ("PUT", "/api/v1/associations/x", {"rule": "seen", "group": "default"}),
        ("POST", f"/api/v1/machines/{machine}/requests", {"request": "preview", "rule": "seen"}),
    ):
        assert page.evaluate(CALL, [method, path, body]) == 403, (method, path)
    # The address of the form leads to the list.
    page.goto(f"{portal.url}/rules?edit=seen")
    expect(page.get_by_role("grid", name="Rules")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)


def test_a_contributor_of_a_group_associates_there_and_nowhere_else(portal: Portal) -> None:
    put(portal, "lent", made())
    owner = portal.installation.client()
    body = {"name": "gina", "role": "Contributor", "password": PASSWORD, "machineGroups": ["shop"]}
    assert owner.post("/api/v1/accounts", json=body).status_code == 201
    token = owner.post("/api/v1/enrollment-tokens", json={"machineGroup": "shop"}).json()["token"]
    facts = {"computer": "till-1", "osType": "Linux"}
    headers = {"authorization": f"Bearer {token}"}
    till = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False).json()["machineId"]
    other = next(one["id"] for one in portal.installation.rows("/api/v1/machines") if one["id"] != till)
    page = sign_in(portal, "gina", "/rules?id=lent")
    details = details_of(page)
    for name in ("New", "Import", "Edit", "Delete"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    details.get_by_role("tab", name="Associations").click()
    details.get_by_role("combobox", name="Group").click()
    expect(page.get_by_role("option")).to_have_count(1)
    page.get_by_role("option", name="shop").click()
    details.get_by_role("button", name="Associate", exact=True).click()
    expect(details.get_by_role("listitem").filter(has_text="Group shop (1 machine)")).to_be_visible()
    expect(row(page, "lent")).to_contain_text("0 of 1 machines")
    preview = {"request": "preview"}
    for method, path, asked, status in (
        ("PUT", "/api/v1/rules/lent", made("/x"), 403),
        ("PUT", "/api/v1/associations/y", {"rule": "lent", "group": "default"}, 403),
        ("PUT", "/api/v1/associations/y", {"rule": "lent", "machine": other}, 404),
        ("POST", f"/api/v1/machines/{other}/requests", {**preview, "rule": "lent"}, 404),
        # A rule that nobody saved would count any path there, which no rule of hers could collect.
        ("POST", f"/api/v1/machines/{till}/requests", {**preview, "document": made("/root/*")}, 403),
        ("POST", f"/api/v1/machines/{till}/requests", {**preview, "rule": "lent"}, 202),
    ):
        assert page.evaluate(CALL, [method, path, asked]) == status, (method, path, asked)


def test_a_silent_machine_is_said_to_be_silent(portal: Portal) -> None:
    put(portal, "patient", made())
    owner = portal.installation.client()
    token = owner.post("/api/v1/enrollment-tokens", json={}).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    facts = {"computer": "sleeper", "osType": "Linux"}
    httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False).raise_for_status()
    page = portal.signed_in("/rules")
    page.clock.install()
    page.goto(f"{portal.url}/rules?edit=patient")
    page.get_by_role("button", name="Preview").click()
    preview = page.get_by_role("complementary", name="Preview")
    preview.get_by_role("combobox", name="Machine").press_sequentially("SLEE")
    page.get_by_role("option", name="sleeper").click()
    preview.get_by_role("button", name="Count").click()
    expect(preview.get_by_text("sleeper is asked")).to_be_visible()
    page.clock.fast_forward(101_000)
    expect(preview).to_contain_text("sleeper has not answered within 100 seconds; its last contact was")


def test_by_keyboard_alone(portal: Portal) -> None:
    put(portal, "keys", made())
    page = edit(portal, "keys")
    linux = page.get_by_role("tab", name="Linux", exact=True)
    expect(linux).to_be_visible()
    page.get_by_role("tab", name="Basics").focus()
    page.keyboard.press("ArrowRight")
    expect(linux).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Edit one")).to_be_visible()
    reach(page, "Edit one")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("textbox", name="Name")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("textbox", name="Path")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("/srv/typed/*")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("table", name="Files")).to_contain_text("/srv/typed/*")
    save = page.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_enabled()
    save.focus()
    expect(save).to_be_focused()
    page.keyboard.press("Enter")
    expect(details_of(page)).to_be_visible()
    assert items_of(kept(portal, "keys")["document"])[0]["destinationPath"] == "/srv/typed/*"


def reach(page: Page, name: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate("() => document.activeElement.getAttribute('aria-label') ?? ''")
        if focused == name:
            return
    pytest.fail(f"the Tab key does not reach {name!r}")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_form_is_accessible_and_fits(portal: Portal, width: int, dark: bool) -> None:
    axe = AXE.read_text(encoding="utf-8")
    put(portal, "wide", rules.DEFAULT_RULE)
    page = edit(portal, "wide", width=width, dark=dark)
    theme = "dark" if dark else "light"
    for tab in ("Basics", "Findings (0)", "JSON", "Windows", "Linux"):
        page.get_by_role("tab", name=tab, exact=True).click()
        assert violations(page, axe) == [], tab
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), tab
    keep(page, f"rule-source-{theme}-{width}")
    page.get_by_role("button", name="Edit").nth(3).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page, axe) == []
    keep(page, f"rule-dialog-{theme}-{width}")
