"""The page of changes: live, filtered, by keyboard, with details."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from playwright.sync_api import expect

from e2e.conftest import eventually
from e2e.portal.browser import AXE, SHOWN, Portal, Sender, keep, row, violations
from whatchanged.records.times import now_ns


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
    page.get_by_role("button", name=re.compile("^Item is not .* Remove$")).click()
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


def test_long_values_are_compared(portal: Portal) -> None:
    send = Sender(portal, "windows", "Windows")
    send(
        [(r"C:\Windows\win.ini", now_ns() - 10**9)],
        ChangeCategory="Modified",
        FieldsChanged="Acls",
        PreviousAcls="O:BAG:SYD:(A;;FA;;;BA)(A;ID;0x1200a9;;;BU)",
        Acls="O:BAG:SYD:(A;;FA;;;BA)(A;;0x1301bf;;;WD)(D;;FA;;;S-1-5-21-1-2-3-1001)\u202e",
    )
    page = portal.signed_in("/changes?is.machine=windows")
    row(page, "win.ini").click()
    details = page.get_by_role("complementary", name="Change")
    acls = details.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Acls"))
    expect(acls.get_by_role("cell").first).to_contain_text("allow read and run: Users (inherited)")
    expect(acls.get_by_role("cell").last).to_contain_text("allow modify: Everyone")
    expect(acls.get_by_role("cell").last).to_contain_text("deny full control: S-1-5-21-1-2-3-1001")
    expect(details.get_by_role("button", name="Show difference")).to_have_count(1)
    details.get_by_role("button", name="Show difference").press("Enter")
    dialog = page.get_by_role("dialog", name="Acls: before and after")
    before, after = (dialog.locator(f".editor.{name} .view-lines") for name in ("original", "modified"))
    expect(before).to_contain_text("allow read and run: Users (inherited)".replace(" ", "\u00a0"))
    expect(after).to_contain_text("allow modify: Everyone".replace(" ", "\u00a0"))
    expect(after).to_contain_text("⟨U+202E⟩")
    both = dialog.locator(".monaco-diff-editor")
    expect(both).to_have_class(re.compile("side-by-side"))
    expect(dialog.locator(".char-insert, .line-insert").first).to_be_visible()
    assert violations(page, AXE.read_text(encoding="utf-8")) == []
    keep(page, "difference-light-1280")
    dialog.get_by_role("switch", name="Inline").click()
    expect(both).not_to_have_class(re.compile("side-by-side"))
    removed = dialog.locator(".editor.modified .view-lines.line-delete")  # between the lines
    expect(removed.first).to_contain_text("Users")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(details).to_be_visible()


def test_a_list_is_sorted_by_head_and_shows_the_columns_that_one_chose(portal: Portal) -> None:
    send = Sender(portal, "sorted")
    start = now_ns() - 600 * 10**9
    send([(f"/sorted/{name}", start + at * 10**9) for at, name in enumerate(("b", "c", "a"))])
    page = portal.signed_in("/changes?is.machine=sorted")
    expect(row(page, "/sorted/")).to_have_count(3)
    cells = page.get_by_role("gridcell").filter(has_text="/sorted/")
    time, item = (page.get_by_role("columnheader", name=name) for name in ("Time", "Item"))
    expect(time).to_have_attribute("aria-sort", "descending")
    expect(cells).to_have_text(["/sorted/a", "/sorted/c", "/sorted/b"])
    item.click()
    expect(item).to_have_attribute("aria-sort", "ascending")
    expect(cells).to_have_text(["/sorted/a", "/sorted/b", "/sorted/c"])
    # Without a pointer: above the first row stand the heads.
    page.get_by_role("grid").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(item).to_have_attribute("aria-sort", "descending")
    expect(cells).to_have_text(["/sorted/c", "/sorted/b", "/sorted/a"])
    # What arrives takes its place in this order, too.
    send([("/sorted/bb", start)])
    expect(cells).to_have_text(["/sorted/c", "/sorted/bb", "/sorted/b", "/sorted/a"])
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("menuitemcheckbox", name="Transaction").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="Transaction")).to_be_visible()
    assert "columns=" in page.url
    page.goto(f"{portal.url}/changes?is.machine=sorted&sort=-item")
    expect(page.get_by_role("columnheader", name="Transaction")).to_be_visible()
    expect(cells).to_have_text(["/sorted/c", "/sorted/bb", "/sorted/b", "/sorted/a"])
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("menuitem", name="As they were").click()
    expect(page.get_by_role("columnheader", name="Transaction")).to_have_count(0)


def test_what_is_not_known_stands_where_it_is_missing(portal: Portal) -> None:
    send = Sender(portal, "lossy")
    start = now_ns() - 600 * 10**9
    send([("/lossy/before", start)])
    send.lose(3)
    send([("/lossy/after", start + 60 * 10**9)])
    page = portal.signed_in("/changes?is.machine=lossy")
    note = row(page, "Nothing is known from")
    expect(note).to_contain_text("on lossy: 3 records are missing")
    expect(page.get_by_role("grid").get_by_role("row").nth(1)).to_contain_text("/lossy/after")
    expect(page.get_by_role("grid").get_by_role("row").nth(2)).to_contain_text("Nothing is known")
    expect(page.get_by_role("grid").get_by_role("row").nth(3)).to_contain_text("/lossy/before")
    page.goto(f"{portal.url}/?is.machine=lossy")
    unknown = page.get_by_role("group", name="Changes over time").get_by_role("list", name="What is not known")
    expect(unknown).to_contain_text("on lossy: 3 records are missing")
    health = page.get_by_role("group", name="Health")
    expect(health.get_by_role("listitem").filter(has_text="Records were lost")).to_contain_text("1")
    health.get_by_role("link", name="Records were lost").click()
    expect(row(page, "lossy")).to_contain_text("Records were lost")
    expect(row(page, "Active")).to_have_count(1)


def test_an_upgrade_of_a_package_is_one_line_that_opens(portal: Portal, tmp_path: Path) -> None:
    """By dpkg itself: the package and its files."""
    installed = portal.installation

    def dpkg(version: str) -> None:
        source, target = tmp_path / version, tmp_path / f"{version}.deb"
        (source / "DEBIAN").mkdir(parents=True)
        (source / "DEBIAN/control").write_text(
            f"Package: upgraded\nVersion: {version}\nArchitecture: all\nMaintainer: Jo <j@example.org>\n"
            "Description: x\n"
        )
        (source / "srv/tree/upgraded").mkdir(parents=True)
        for name in ("one", "two"):
            (source / "srv/tree/upgraded" / name).write_text(f"{name} of {version}\n" * int(version))
        for command in (
            ["dpkg-deb", "--build", "--root-owner-group", str(source), str(target)],
            ["dpkg", f"--root={installed.root}", "--force-script-chrootless", "--log=/dev/null", "-i", str(target)],
        ):
            environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
            subprocess.run(command, check=True, capture_output=True, env=environment)

    dpkg("1")
    eventually(lambda: [one for one in installed.changes() if one.get("SoftwareName") == "upgraded"])
    eventually(
        lambda: len([one for one in installed.changes() if "/upgraded/" in one.get("FileSystemPath", "")]) >= 2,
        what="its files have arrived",
    )
    dpkg("2")
    page = portal.signed_in("/changes?group=transaction&text=upgraded&is.category=Modified")
    line = row(page, "3 changes (")
    expect(line).to_have_count(1)
    expect(line).to_have_attribute("aria-expanded", "false")
    expect(row(page, "1 → 2")).to_have_count(0)
    page.get_by_role("grid").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(line).to_have_attribute("aria-expanded", "true")
    expect(row(page, "1 → 2")).to_contain_text("upgraded")
    for name in ("one", "two"):
        expect(row(page, f"/srv/tree/upgraded/{name}")).to_be_visible()
    line.click()
    expect(row(page, "1 → 2")).to_have_count(0)
