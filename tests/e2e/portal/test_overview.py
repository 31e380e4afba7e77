"""The overview: everything leads to the list of what it counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from e2e.portal.browser import Portal, Sender, keep, row
from whatchanged.records.times import now_ns


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
    # All of it in words and links, too: a canvas has no keys.
    over_time = page.get_by_role("group", name="Changes over time")
    over_time.get_by_role("button", name="Show as table").press("Enter")
    expect(over_time.get_by_role("table").get_by_role("link").last).to_be_visible()
    over_time.get_by_role("button", name="Show as chart").press("Enter")
    by_hour = page.get_by_role("group", name="By hour and weekday")
    by_hour.get_by_role("button", name="Show as table").press("Enter")
    cell = by_hour.get_by_role("cell").get_by_role("link").last
    count = cell.inner_text()
    cell.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(f"{count} change")
    assert "zone=" in page.url
    page.go_back()
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


def test_hours_are_those_of_the_clock_where_one_looks(portal: Portal) -> None:
    send = Sender(portal, "clock")
    # 20:45 in UTC is a quarter past midnight of the next day in Tehran.
    moment = datetime.now(UTC).replace(hour=20, minute=45, second=0, microsecond=0) - timedelta(days=1)
    send([("/clock/one", int(moment.timestamp()) * 10**9), ("/clock/two", int(moment.timestamp() - 7200) * 10**9)])
    context = portal.browser.new_context(timezone_id="Asia/Tehran")
    page = context.new_page()
    link = portal.link().rpartition("#")[2]
    assert page.request.post(f"{portal.url}/api/v1/sign-in", data={"link": link}).status == 200
    page.goto(f"{portal.url}/?in=7d&is.machine=clock")
    by_hour = page.get_by_role("group", name="By hour and weekday (Asia/Tehran)")
    by_hour.get_by_role("button", name="Show as table").click()
    midnight = by_hour.get_by_role("row").filter(has=page.get_by_role("rowheader", name="0", exact=True))
    midnight.get_by_role("link").click()
    expect(row(page, "/clock/one")).to_be_visible()
    expect(row(page, "/clock/two")).to_have_count(0)
    assert "zone=Asia%2FTehran" in page.url
    assert "is.hour=0" in page.url
    # Whoever gets the link, elsewhere, sees the same.
    other = portal.signed_in(page.url.removeprefix(portal.url))
    expect(row(other, "/clock/one")).to_be_visible()
    expect(row(other, "/clock/two")).to_have_count(0)
    expect(other.get_by_role("toolbar", name="Conditions")).to_contain_text("Hour (Asia/Tehran) is 0")


def test_new_software_leads_to_the_inventory(portal: Portal) -> None:
    installed = portal.installation
    status = installed.root / "var/lib/dpkg/status"
    status.write_text(
        status.read_text()
        + "\nPackage: brand-new\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n"
        + "Maintainer: A <a@example.org>\nDescription: none\n"
    )
    page = portal.signed_in("/")
    page.get_by_role("group", name="New software this week").get_by_role("link", name="brand-new 1.0").click()
    expect(page.get_by_role("grid", name="Software")).to_be_visible()
    expect(row(page, "brand-new")).to_contain_text("on 1 of 1")


def test_changes_of_a_day_are_counted_by_kind_and_machine(portal: Portal) -> None:
    now, hour = now_ns(), 3600 * 10**9
    of_kind, of_machine = Counter[str](), Counter[str]()
    kinds = {
        "Files": {"InitiatingProcessName": "/usr/bin/vim"},
        "Software": {"FileSystemPath": "", "SoftwareName": "openssl", "Publisher": "Debian"},
        "Daemons": {"FileSystemPath": "", "SvcName": "nginx.service"},
    }
    for often, machine in enumerate(("db-01", "web-02", "web-01"), 1):
        send = Sender(portal, machine)
        for rare, (kind, columns) in enumerate(kinds.items(), 1):
            times = [now - ago * hour + at for ago in range(1, 23) for at in range(ago * ago * often % (9 // rare))]
            send([(f"/etc/{machine}/{time % 10**5}.conf", time) for time in times], ConfigChangeType=kind, **columns)
            of_kind[kind] += len(times)
            of_machine[machine] += len(times)
    page = portal.signed_in("/?is.machine=db-01&is.machine=web-02&is.machine=web-01")
    over_time = page.get_by_role("group", name="Changes over time")
    for label, kind in (("File", "Files"), ("Software", "Software"), ("Daemon", "Daemons")):
        expect(over_time.get_by_role("link", name=label)).to_have_text(f"{label}: {of_kind[kind]}")
    listed = page.get_by_role("group", name="Most changed machines").get_by_role("listitem")
    expect(listed).to_have_text([f"{machine}{count}" for machine, count in of_machine.most_common()])
    expect(page.get_by_role("group", name="Publishers of changed software")).to_contain_text("Debian")
    page.goto(portal.url)
    expect(over_time.get_by_role("img")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    keep(page, "overview-light-1280")
