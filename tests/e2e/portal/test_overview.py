"""The overview: everything leads to the list of what it counts."""

from __future__ import annotations

from datetime import UTC, datetime

from playwright.sync_api import expect

from e2e.portal.browser import Portal, row


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
