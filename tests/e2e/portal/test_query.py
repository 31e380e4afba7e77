"""The page of queries: written, run, looked at, kept, shared."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.portal.browser import AXE, PASSWORD, SHOWN, Portal, Sender, keep, row, violations
from whatchanged.records.times import now_ns

CONF = "ConfigurationChange | where Name endswith '.conf' | project TimeGenerated, Computer, Name, Size"


def address(query: str, more: str = "") -> str:
    return f"/query?q={quote(query)}{more}"


def opened(portal: Portal, path: str = "/query", **options: Any) -> Page:
    """Return the page, with the editor there."""
    page = portal.signed_in(path, **options)
    expect(page.locator(".monaco-editor .view-lines")).to_be_visible()
    return page


def editor(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Query, in the Kusto")


def written(page: Page) -> str:
    """Return what stands in the editor: Monaco shows spaces as hard ones."""
    lines = page.locator(".monaco-editor .view-line").all_inner_texts()
    return "\n".join(lines).replace("\u00a0", " ")


def write(page: Page, query: str) -> None:
    """Put a query into the editor instead of what is there."""
    editor(page).focus()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(query)


def status(page: Page) -> Locator:
    return page.get_by_role("status").filter(has_text="row")


def test_a_query_runs_and_its_rows_are_looked_at(portal: Portal) -> None:
    page = opened(portal)
    write(page, CONF)
    page.keyboard.press("Shift+Enter")
    expect(row(page, "first.conf")).to_be_visible()
    expect(status(page)).to_have_text(re.compile(r"^2 rows in \d+\.\d\d s$"))
    heads = page.get_by_role("columnheader")
    assert heads.all_inner_texts() == ["TimeGenerated [UTC]", "Computer", "Name", "Size"]
    names = page.get_by_role("grid").get_by_role("gridcell").filter(has_text=".conf")
    heads.nth(2).click()
    expect(heads.nth(2)).to_have_attribute("aria-sort", "ascending")
    expect(names.first).to_have_text("first.conf")
    heads.nth(2).click()
    expect(heads.nth(2)).to_have_attribute("aria-sort", "descending")
    expect(names.first).to_have_text("second.conf")
    size = row(page, "first.conf").get_by_role("gridcell").nth(3)
    assert size.evaluate("cell => getComputedStyle(cell).justifyContent") == "flex-end"
    row(page, "first.conf").click()
    details = page.get_by_role("complementary", name="Row")
    expect(details.get_by_role("term")).to_have_text(["TimeGenerated", "Computer", "Name", "Size"])
    expect(details.get_by_role("definition").nth(2)).to_have_text("first.conf")


def test_integers_are_exact_and_dynamics_readable(portal: Portal) -> None:
    query = "print n = 9007199254740993, r = 0.1, d = dynamic({'a': [1, 'x']}), t = 1d, e = ''"
    page = opened(portal, address(query))
    cells = page.get_by_role("grid").get_by_role("gridcell")
    expect(cells).to_have_text(["9007199254740993", "0.1", '{"a":[1,"x"]}', "1.00:00:00", ""])
    cells.first.click()
    shown = page.get_by_role("complementary", name="Row").get_by_role("definition").nth(2)
    assert json.loads(shown.inner_text()) == {"a": [1, "x"]}
    assert "\n" in shown.inner_text()


def test_completion_knows_our_tables_and_what_is_answered(portal: Portal) -> None:
    page = opened(portal)
    editor(page).focus()
    offered = page.locator(".suggest-widget.visible").get_by_role("option")

    def offers(query: str) -> Locator:
        write(page, "")
        page.keyboard.type(query)
        page.keyboard.press("Control+Space")
        return offered

    expect(offers("ConfigurationCha").filter(has_text="ConfigurationChange")).to_be_visible()
    page.keyboard.press("Escape")
    expect(offers("ConfigurationChange | where FileSystemP").filter(has_text="FileSystemPath").first).to_be_visible()
    page.keyboard.press("Enter")
    assert "FileSystemPath" in written(page)
    expect(offers("version_dr").filter(has_text="version_drift")).to_be_visible()  # a function of this server
    page.keyboard.press("Escape")
    expect(offers("print hash_sha").filter(has_text="hash_sha256")).to_be_visible()
    page.keyboard.press("Escape")
    # The language has it, this server does not answer it.
    expect(offers("print h").filter(has_text="hash_md5")).to_be_visible()
    expect(offered.filter(has_text="hll_merge")).to_have_count(0)


def test_a_mistake_is_marked_at_its_place_and_mended_there(portal: Portal) -> None:
    page = opened(portal, address("print x = '\U0001f600', Name = 1\n| where Nmae == 1"))
    alert = page.get_by_role("alert").filter(has_text="Line 2, column 9")
    expect(alert).to_contain_text("Nmae")
    expect(alert).to_contain_text("did you mean Name?")
    marked = page.locator(".squiggly-error")
    expect(marked).to_be_visible()
    line = page.locator(".monaco-editor .view-line").filter(has_text="Nmae")
    tops = [one.evaluate("element => element.getBoundingClientRect().top") for one in (marked, line)]
    assert abs(tops[0] - tops[1]) < 10
    keep(page, "query-error-light-1280")
    alert.get_by_role("button", name="Show the place").click()
    expect(editor(page)).to_be_focused()
    page.keyboard.type("Name")
    page.keyboard.press("Escape")
    expect(marked).to_have_count(0)
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_role("grid").get_by_role("gridcell").first).to_have_text("\U0001f600")
    expect(page.get_by_role("alert").filter(has_text="Line")).to_have_count(0)


def test_a_mistake_is_marked_while_one_writes(portal: Portal) -> None:
    page = opened(portal)
    write(page, "Heartbeat | where Computer = ")
    expect(page.locator(".squiggly-error")).to_be_visible()
    said = page.get_by_role("button", name="Line 1, column")
    expect(said).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="Line")).to_have_count(0)  # nobody asked yet
    said.click()
    expect(editor(page)).to_be_focused()
    write(page, "Heartbeat | take 1")
    expect(page.locator(".squiggly-error")).to_have_count(0)
    expect(said).to_have_count(0)
    # What this server refuses although the language has it.
    write(page, "externaldata(a:string)['https://example.org/x']")
    expect(page.locator(".squiggly-error")).to_be_visible()


COUNTED = "ConfigurationChange | summarize Count = count(), Machines = dcount(Computer) by "
DRAWN = {
    "timechart": COUNTED + "bin(TimeGenerated, 1h) | render timechart with (title='Changes')",
    "areachart": COUNTED + "bin(TimeGenerated, 1h) | render areachart with (kind=stacked)",
    "linechart": "range x from 1 to 9 step 1 | extend y = x * x | render linechart",
    "columnchart": COUNTED + "ChangeCategory | render columnchart with (kind=stacked100)",
    "barchart": COUNTED + "ChangeCategory | render barchart",
    "piechart": COUNTED + "Name | render piechart",
    "scatterchart": "range x from 1 to 9 step 1 | extend y = x * x | render scatterchart",
    "series": "ConfigurationChange | make-series Count = count() on TimeGenerated from ago(1d) to now() step 1h"
    " by ChangeCategory | render timechart",
}


@pytest.mark.parametrize("query", DRAWN.values(), ids=DRAWN)
def test_render_draws_a_chart(portal: Portal, query: str) -> None:
    page = opened(portal, address(query))
    kind = re.search(r"render (\w+)", query)
    assert kind is not None
    chart = page.get_by_role("img", name=re.compile(f"{kind.group(1)} of .* by "))
    expect(chart).to_be_visible()
    colours = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) seen.add(data.slice(at, at + 3).join());
        return seen.size;
    }"""
    assert chart.locator("canvas").evaluate(colours) > 3
    if "title" in query:
        keep(page, "query-chart-light-1280")
    page.get_by_role("tab", name="Results").click()
    expect(page.get_by_role("grid", name="Results")).to_be_visible()
    page.get_by_role("tab", name="Chart").click()
    expect(chart).to_be_visible()


def test_the_time_restricts(portal: Portal) -> None:
    Sender(portal, "old")([("/srv/old", now_ns() - 3 * 86_400 * 10**9)])
    page = opened(portal, address("ConfigurationChange | where Computer == 'old' | project Computer"))
    expect(page.get_by_text("The query has no rows in this time (last 24 hours).")).to_be_visible()
    time = page.get_by_role("combobox", name="Time")
    time.click()
    page.get_by_role("option", name="Last 7 days").click()
    expect(row(page, "old")).to_be_visible()
    assert "in=7d" in page.url
    time.click()
    page.get_by_role("option", name="Last hour").click()
    page.get_by_role("button", name="Ask without a time").click()
    expect(row(page, "old")).to_be_visible()
    expect(time).to_have_text("Set in query")
    page.go_back()
    expect(time).to_have_text("Last hour")
    expect(page.get_by_text("The query has no rows in this time (last hour).")).to_be_visible()


def test_a_query_with_parameters_wants_their_values(portal: Portal) -> None:
    page = opened(portal)
    write(page, "declare query_parameters(ending:string, most:long = 1);\n" + CONF.replace("'.conf'", "ending"))
    parameters = page.get_by_role("region", name="Parameters")
    expect(parameters.get_by_label("most (long)")).to_have_attribute("placeholder", "1")
    parameters.get_by_label("ending (string)").fill("first.conf")
    parameters.get_by_label("ending (string)").press("Enter")
    expect(status(page)).to_contain_text("1 row in")
    page.reload()
    expect(status(page)).to_contain_text("1 row in")
    expect(parameters.get_by_label("ending (string)")).to_have_value("first.conf")
    assert parse_qs(urlsplit(page.url).query)["p.ending"] == ["first.conf"]


def test_a_query_is_saved_opened_replaced_and_deleted(portal: Portal) -> None:
    page = opened(portal)
    write(page, CONF)
    page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog", name="Save the query")
    dialog.get_by_label("Name").fill("removed-software")
    expect(dialog).to_contain_text("built in and stays")
    expect(dialog.get_by_role("button", name="Save")).to_be_disabled()
    dialog.get_by_label("Name").fill("Conf files (all)")
    dialog.get_by_label("Description").fill("What ends with <b>.conf</b>\u202e")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)

    page = opened(portal)
    page.get_by_role("button", name="Queries", exact=True).click()
    queries = page.get_by_role("complementary", name="Queries")
    expect(queries.get_by_role("button", name="stopped-auto-services")).to_be_visible()
    expect(queries.get_by_role("button", name="Delete stopped-auto-services")).to_have_count(0)
    queries.get_by_role("searchbox").fill("conf files")
    expect(queries.get_by_role("listitem")).to_have_count(1)
    expect(queries).to_contain_text("What ends with <b>.conf</b>⟨U+202E⟩")
    queries.get_by_role("button", name="Conf files (all)").first.click()
    expect(page.locator(".monaco-editor .view-lines")).to_contain_text("endswith")
    page.get_by_role("button", name="Run").click()
    expect(row(page, "first.conf")).to_be_visible()
    write(page, CONF + " | take 1")
    page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog", name="Save the query")
    expect(dialog.get_by_label("Name")).to_have_value("Conf files (all)")
    expect(dialog).to_contain_text("It is replaced for everybody.")
    dialog.get_by_role("button", name="Replace").click()
    expect(dialog).to_have_count(0)
    client = portal.installation.client()
    assert client.get("/api/v1/queries/Conf files (all)").json()["query"].endswith("| take 1")
    queries.get_by_role("button", name="Delete Conf files (all)").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    assert client.get("/api/v1/queries/Conf files (all)").status_code == 200
    queries.get_by_role("button", name="Delete Conf files (all)").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(queries).to_contain_text("No query has this")
    assert client.get("/api/v1/queries/Conf files (all)").status_code == 404


def test_a_query_that_is_none_is_not_saved(portal: Portal) -> None:
    page = opened(portal)
    write(page, "Heartbeat | nonsense")
    page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog", name="Save the query")
    dialog.get_by_label("Name").fill("none")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("(line 1, column 13)")
    assert portal.installation.client().get("/api/v1/queries/none").status_code == 404


def test_a_reader_asks_and_saves_nothing(portal: Portal) -> None:
    kept = {"query": "Heartbeat | count"}
    portal.installation.client().put("/api/v1/queries/kept", json=kept).raise_for_status()
    portal.account("eve", "Reader")
    page = portal.open()
    page.goto(f"{portal.url}{address(CONF)}")
    page.get_by_label("Name").fill("eve")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(row(page, "first.conf")).to_be_visible()
    expect(page.get_by_role("button", name="Share")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Queries", exact=True).click()
    queries = page.get_by_role("complementary", name="Queries")
    expect(queries.get_by_role("button", name="kept")).to_be_visible()
    expect(queries.get_by_role("button", name="Delete kept")).to_have_count(0)
    # Not only hidden: asked for by the page's own means it is refused.
    refused = """async (method) => (await fetch("/api/v1/queries/kept", { method,
        ...(method === "PUT" ? { body: '{"query": "print 1"}', headers: { "content-type": "application/json" } } : {}),
    })).status"""
    assert [page.evaluate(refused, method) for method in ("PUT", "DELETE")] == [403, 403]
    assert portal.installation.client().get("/api/v1/queries/kept").json()["query"] == "Heartbeat | count"


def test_the_address_holds_the_query(portal: Portal) -> None:
    page = opened(portal, "/query?in=7d")
    long = CONF + "".join(f"\n// {number}: a line that makes it long" for number in range(200))
    write(page, CONF)
    page.keyboard.press("Shift+Enter")
    expect(row(page, "first.conf")).to_be_visible()
    assert parse_qs(urlsplit(page.url).query)["q"] == [CONF]
    write(page, long + "\n| take 1")
    page.keyboard.press("Shift+Enter")
    expect(status(page)).to_contain_text("1 row in")
    assert "qz=" in page.url
    assert len(page.url) < 1500
    page.get_by_role("button", name="Share").click()
    link = page.get_by_role("textbox", name="Link").input_value()
    assert "in=7d" in link
    page.get_by_role("button", name="Close").click()
    page.go_back()
    expect(status(page)).to_contain_text("2 rows in")
    expect(page.locator(".monaco-editor .view-line")).to_have_count(1)
    assert written(page) == CONF
    # Written and not run: a reload and another page keep it.
    write(page, "print draft = 1")
    page.reload()
    expect(page.locator(".monaco-editor .view-lines")).to_contain_text("draft")
    expect(status(page)).to_contain_text("2 rows in")
    page.get_by_role("tab", name="Changes").click()
    page.get_by_role("tab", name="Query").click()
    expect(page.locator(".monaco-editor .view-lines")).to_contain_text("draft")

    portal.account("kim", "Reader")
    other = portal.open()
    other.goto(link)
    other.get_by_label("Name").fill("kim")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_label("Password").press("Enter")
    expect(status(other)).to_contain_text("1 row in")
    expect(other.get_by_role("combobox", name="Time")).to_have_text("Last 7 days")
    other.goto(f"{portal.url}/query?qz=nothing-of-the-kind")
    expect(other.get_by_role("alert").filter(has_text="damaged")).to_be_visible()


def test_what_a_filter_lets_through_becomes_a_query(portal: Portal) -> None:
    machine = quote('a"\u202e')
    page = portal.signed_in(f"/changes?in=7d&text=onerror&not.machine={machine}")
    page.get_by_role("button", name="Query this").click()
    expect(row(page, "onerror")).to_be_visible()
    assert "in=7d" in page.url
    assert "text=" not in page.url
    assert 'Computer !in ("a\\"\\u202e")' in parse_qs(urlsplit(page.url).query)["q"][0]
    expect(page.locator(".squiggly-error")).to_have_count(0)


def test_rows_are_exported_and_no_cell_is_a_formula(portal: Portal) -> None:
    query = "datatable(a:string, b:long, ['c\"']:dynamic)['=cmd|1', 1, dynamic([1,2]), 'x,\"y', 2, dynamic(null)]"
    page = opened(portal, address(query))
    expect(row(page, "=cmd|1")).to_be_visible()

    def exported(form: str) -> str:
        with page.expect_download() as started:
            page.get_by_role("button", name="Export").click()
            page.get_by_role("menuitem", name=form).click()
        assert re.fullmatch(rf"query-\d{{4}}-\d\d-\d\d\.{form.lower()}", started.value.suggested_filename)
        return Path(started.value.path()).read_text(encoding="utf-8")

    rows = list(csv.reader(exported("CSV").splitlines()))
    assert rows == [["a", "b", 'c"'], ["'=cmd|1", "1", "[1,2]"], ['x,"y', "2", ""]]
    assert json.loads(exported("JSON")) == [
        {"a": "=cmd|1", "b": 1, 'c"': "[1,2]"},
        {"a": 'x,"y', "b": 2, 'c"': None},
    ]


def test_hostile_values_and_names_are_text(portal: Portal) -> None:
    hostile = "<img src=x onerror=alert(1)>\\u202egnp.exe"
    query = f'print ["{hostile}"] = "{hostile}", n = 1 | render columnchart'
    page = opened(portal, address(query))
    seen = "<img src=x onerror=alert(1)>⟨U+202E⟩gnp.exe"
    expect(page.get_by_role("img", name=f"columnchart of n by {seen}, 1 points")).to_be_visible()
    chart = page.get_by_role("img").locator("canvas").bounding_box()
    assert chart is not None
    page.mouse.move(chart["x"] + chart["width"] / 2, chart["y"] + chart["height"] * 0.8)
    page.get_by_role("tab", name="Results").click()
    expect(page.get_by_role("columnheader").first).to_have_text(seen)
    page.get_by_role("gridcell").filter(has_text=seen).click()
    expect(page.get_by_role("complementary", name="Row").get_by_role("definition").first).to_have_text(seen)
    expect(page.locator("img")).to_have_count(0)
    page.goto(
        portal.url + address("ConfigurationChange | where Name contains 'onerror' | project Name, FileSystemPath")
    )
    expect(row(page, SHOWN)).to_be_visible()
    page.goto(portal.url + address("print ['<img src=x onerror=alert(1)>\u202e'] | where nothing == 1"))
    expect(page.get_by_role("alert").filter(has_text="Line 1")).to_be_visible()
    expect(page.locator("img")).to_have_count(0)


def test_a_query_that_lasts_is_cancelled(portal: Portal) -> None:
    page = opened(portal)
    write(page, "range x from 1 to 1000000000000 step 1 | summarize max(hash(tostring(x)))")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("progressbar", name="The query runs")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").filter(has_text="Cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    write(page, "print done = 1")
    page.keyboard.press("Shift+Enter")
    expect(status(page)).to_contain_text("1 row in")


def test_an_answer_that_was_cut_says_so(portal: Portal) -> None:
    page = opened(portal, address("range x from 1 to 500001 step 1"))
    expect(page.get_by_text("These are not all rows: the answer has more than 500000 rows.")).to_be_visible()
    expect(status(page)).to_contain_text("500,000 rows, not all in")


def test_the_keyboard_reaches_everything(portal: Portal) -> None:
    page = opened(portal, address(CONF))
    grid = page.get_by_role("grid", name="Results")
    expect(row(page, "first.conf")).to_be_visible()
    editor(page).focus()
    page.keyboard.press("Tab")  # a letter there, until one says that it is not
    expect(editor(page)).to_be_focused()
    page.keyboard.press("Control+M")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Queries", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(editor(page)).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Tab")
        if grid.evaluate("grid => grid === document.activeElement"):
            break
    expect(grid).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("f")
    page.get_by_role("menuitem", name="Sort descending").press("Enter")
    expect(page.get_by_role("columnheader").nth(2)).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    details = page.get_by_role("complementary", name="Row")
    expect(details).to_be_visible()
    details.get_by_role("button", name="Close").press("Enter")
    expect(details).to_have_count(0)


def test_other_pages_do_not_load_the_editor(portal: Portal) -> None:
    page = portal.open()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.request.post(f"{portal.url}/api/v1/sign-in", data={"link": portal.link().rpartition("#")[2]})
    for path in ("/", "/changes", "/inventory", "/machines"):
        page.goto(portal.url + path)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        expect(page.get_by_role("progressbar")).to_have_count(0)
    heavy = re.compile(r"/assets/(kusto|editor|Editor|monaco|codicon|Difference)[^/]*$")
    assert [url for url in loaded if heavy.search(url)] == []
    page.goto(f"{portal.url}/query")
    expect(page.locator(".monaco-editor .view-lines")).to_be_visible()
    write(page, "Heartbeat | ")
    expect(page.locator(".monaco-editor .Table")).to_have_text("Heartbeat")  # the worker coloured it
    assert [url for url in loaded if heavy.search(url)] != []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_and_fits(portal: Portal, width: int, dark: bool) -> None:
    axe = AXE.read_text(encoding="utf-8")
    shade = "dark" if dark else "light"
    query = (
        "// Which files\nConfigurationChange\n| where Name endswith '.conf' and isnotempty(Computer)\n"
        "| project TimeGenerated, Computer, Name, Size = tolong(Size)"
    )
    page = opened(portal, address(query), width=width, dark=dark)
    expect(row(page, "first.conf")).to_be_visible()
    expect(page.locator(".monaco-editor .Table")).to_have_text("ConfigurationChange")
    assert violations(page, axe) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    keep(page, f"query-{shade}-{width}")
    row(page, "first.conf").click()
    expect(page.get_by_text("Copy row")).to_be_visible()
    assert violations(page, axe) == []
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Queries", exact=True).click()
    expect(page.get_by_role("button", name="removed-software")).to_be_visible()
    assert violations(page, axe) == []
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog", name="Save the query")).to_be_visible()
    assert violations(page, axe) == []
    page.goto(portal.url + address("ConfigurationChange\n| where Nmae == 1"))
    expect(page.locator(".squiggly-error")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="Line 2")).to_be_visible()
    assert violations(page, axe) == []
    page.goto(portal.url + address(DRAWN["timechart"]))
    expect(page.get_by_role("img", name="timechart of")).to_be_visible()
    assert violations(page, axe) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
