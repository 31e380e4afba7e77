"""The portal over a large installation: the real server, Chromium, and what a person would wait for.

Goals are absolute; each stands as the peer, so that a ratio above 1 is a goal that was missed. One figure has a real
peer: the first page of changes, as the page gets it, beside the same SQL straight on the engine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.installation_data import make
from benchmarks.table import Measure
from whatchanged.records.carrier import new_epoch
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.storage import open_storage

__all__ = ["measure"]

_LIST_MS, _OVERVIEW_MS, _PAINT_MS, _TASK_MS = 300.0, 1000.0, 1500.0, 100.0
_ROUNDS = 3
_STEPS = 60
"""Turns of the wheel, and presses of PageDown."""
_LISTS = (
    "/changes?in=all",
    "/changes",
    "/changes?in=all&is.machine=web-00010",
    "/changes?in=all&text=application-17",
    "/changes?in=all&is.kind=Software",
    "/changes?in=all&is.program=%2Fusr%2Fbin%2Fvim",
    "/changes?in=all&is.account=deploy",
    "/changes?in=all&sort=machine",
    "/changes?in=all&sort=item",
    "/changes?in=all&group=transaction",
    "/machines",
    "/machines?text=web-001",
    "/machines?sort=-lastContact",
    "/machines?trouble=Gap",
    "/inventory",
    "/inventory?text=package-01",
    "/inventory?sort=item",
    "/inventory?is.machine=web-00010",
)
# What a browser tells of itself while a page runs.
_WATCH = """() => {
    window.longTasks = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.longTasks.push([entry.startTime, entry.duration]);
    }).observe({ type: "longtask", buffered: true });
    performance.setResourceTimingBufferSize(5000);
}"""
_ASKED = """() => performance.getEntriesByType("resource")
    .filter(({ initiatorType, name }) => initiatorType === "fetch" && !name.includes("/arrivals"))
    .map(({ name, duration }) => [new URL(name).pathname, duration])"""
_ALL_DRAWN = """() => document.querySelectorAll("[role=group]").length >= 8
    && document.querySelectorAll("canvas").length >= 2 && !document.querySelector("[role=progressbar]")
    && performance.now()"""
# Two frames in which nothing turns: what was asked for has come, and was drawn.
_QUIET = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
    for (let still = 0; still < 2; still = document.querySelector("[role=progressbar]") ? 0 : still + 1) await frame();
}"""
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
_FRAME = "() => new Promise((done) => requestAnimationFrame(() => done()))"
_SQL = (
    "SELECT ChangeId, TransactionId, TimeGenerated, Computer, ConfigChangeType, ChangeCategory, FieldsChanged, Name, "
    "FileSystemPath, SoftwareName, SvcName, Current, Previous, Size, InitiatingProcessName "
    "FROM ConfigurationChange ORDER BY TimeGenerated DESC, ChangeId DESC LIMIT 200"
)


def measure(data: str, machines: int, changes: int) -> list[Measure]:
    """Return what was measured over an installation of so many machines and changes.

    `data`: folder in which it is kept and looked for; empty: a new one that is thrown away.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = data or scratch
        if not os.path.exists(os.path.join(folder, "server", "telemetry")):
            began = time.monotonic()
            make(os.path.join(folder, "server"), machines, changes)
            print(f"{machines:,} machines, {changes:,} changes made in {time.monotonic() - began:.0f} s", flush=True)
        straight = _straight(folder)
        with _server(folder) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            try:
                return _measured(_Portal(browser, folder, address), straight)
            finally:
                browser.close()


def _measured(portal: _Portal, straight: float) -> list[Measure]:
    lists = _lists(portal)
    first = _first_page(portal)
    overview, paint = _overview(portal)
    wheel, keys = _scrolled(portal)
    return [
        _goal("a list request, p95", _share(lists, 0.95), _LIST_MS),
        _goal("overview, from navigation to its last part", overview, _OVERVIEW_MS),
        _goal("first contentful paint, cold", paint, _PAINT_MS),
        _goal("longest task while the wheel turns and changes arrive", wheel, _TASK_MS),
        _goal("longest task while PageDown is pressed", keys, _TASK_MS),
        Measure("first page of changes, by the portal / SQL on the engine", first, straight, "ms"),
    ]


def _goal(name: str, figure: float, goal: float) -> Measure:
    return Measure(f"{name} / {goal:g} ms", figure, goal, "ms", goal=1.0)


def _share(figures: list[float], share: float) -> float:
    figures.sort()
    return figures[max(0, round(len(figures) * share) - 1)]


class _Portal:
    """A browser, and a server that it is signed in at."""

    def __init__(self, browser: Browser, folder: str, address: str) -> None:
        self._browser = browser
        self.address = address
        token = Path(folder, "server", "local.token").read_text(encoding="utf-8").strip()
        self.owner = httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, trust_env=False)

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A page of a browser that has nothing in its cache."""
        context = self._browser.new_context(viewport={"width": 1280, "height": 800})
        try:
            link = self.owner.post("/api/v1/sign-in-links").json()["link"]
            made = context.request.post(f"{self.address}/api/v1/sign-in", data={"link": link})
            if made.status != 200:
                raise RuntimeError(f"cannot sign in: {made.text()}")
            context.add_init_script(f"({_WATCH})()")
            yield context.new_page()
        finally:
            context.close()

    def show(self, page: Page, path: str) -> None:
        """Open an address, and wait for its rows."""
        page.goto(self.address + path)
        page.get_by_role("grid").get_by_role("row").nth(1).wait_for()


def _lists(portal: _Portal) -> list[float]:
    """Return how long the requests of lists took, as the browser saw it: first pages and those after them."""
    by_path: dict[str, list[float]] = {}
    for _ in range(_ROUNDS):
        with portal.page() as page:
            for path in _LISTS:
                portal.show(page, path)
                page.get_by_role("grid").focus()
                for _ in range(4):
                    page.keyboard.press("End")
                    page.evaluate(_QUIET)
                by_path.setdefault(path, []).extend(took for _, took in page.evaluate(_ASKED))
    for path, figures in by_path.items():
        print(
            f"{path}: {len(figures)} requests, median {statistics.median(figures):.0f} ms, most {max(figures):.0f} ms"
        )
    return [figure for figures in by_path.values() for figure in figures]


def _first_page(portal: _Portal) -> float:
    best: list[float] = []
    with portal.page() as page:
        for _ in range(_ROUNDS):
            portal.show(page, "/changes?in=all")
            best.append(min(took for path, took in page.evaluate(_ASKED) if path.endswith("/query")))
    return min(best)


def _overview(portal: _Portal) -> tuple[float, float]:
    """Return the median time until everything is drawn, and until anything is, both with an empty cache."""
    drawn, painted = [], []
    for _ in range(_ROUNDS):
        with portal.page() as page:
            page.goto(f"{portal.address}/", wait_until="commit")
            drawn.append(float(page.wait_for_function(_ALL_DRAWN, polling="raf").json_value()))
            paints = page.evaluate(
                "() => performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)"
            )
            painted.append(float(paints[0]))
    print(f"overview drawn after {[round(one) for one in drawn]} ms, first paint {[round(one) for one in painted]} ms")
    return statistics.median(drawn), statistics.median(painted)


def _scrolled(portal: _Portal) -> tuple[float, float]:
    """Return the longest tasks of the browser while a list of a million is scrolled, by wheel and by keyboard."""
    send = _Sender(portal)
    with portal.page() as page:
        portal.show(page, "/changes?in=all")
        page.wait_for_function("() => performance.now() > 3000")
        page.mouse.move(600, 400)
        began = page.evaluate("() => performance.now()")
        for step in range(_STEPS):
            if step % 20 == 0:
                send()
            page.mouse.wheel(0, 900)
            page.evaluate(_FRAME)
        page.wait_for_timeout(1500)  # what arrived is drawn at the pace of the page
        middle = page.evaluate("() => performance.now()")
        page.get_by_role("grid").focus()
        for _ in range(_STEPS):
            page.keyboard.press("PageDown")
            page.evaluate(_FRAME)
        tasks = page.evaluate("() => window.longTasks")
        print(f"scrolled to {page.get_by_role('status').inner_text()}; long tasks {[round(took) for _, took in tasks]}")
    wheel = [took for at, took in tasks if began <= at < middle]
    keys = [took for at, took in tasks if at >= middle]
    # A task of less than 50 ms is no long one, and not told of.
    return max(wheel, default=50.0), max(keys, default=50.0)


class _Sender:
    """A machine of which changes arrive."""

    def __init__(self, portal: _Portal) -> None:
        token = portal.owner.post("/api/v1/enrollment-tokens", json={}).json()["token"]
        machine = httpx.post(
            f"{portal.address}/api/v1/enroll",
            json={"computer": "arrives", "osType": "Linux"},
            headers={"authorization": f"Bearer {token}"},
            trust_env=False,
        ).json()
        self._path = (
            f"{portal.address}/dataCollectionRules/{machine['implicitRuleId']}/streams/CONFIG_CHANGE_BLOB_V2"
            "?api-version=2023-01-01"
        )
        self._headers = {"authorization": f"Bearer {machine['credential']}", "x-whatchanged-instance": "one"}
        self._epoch, self._sent = new_epoch(), 0

    def __call__(self) -> None:
        rows = []
        for _ in range(20):
            self._sent += 1
            rows.append(
                {
                    "_Stream": "CONFIG_CHANGE_BLOB_V2", "_Epoch": self._epoch, "_Sequence": self._sent,
                    "TimeGenerated": time_text(now_ns()), "Computer": "arrives", "ConfigChangeType": "Files",
                    "ChangeCategory": "Added", "FileSystemPath": f"/arrives/{self._sent}",
                }
            )  # fmt: skip
        sent = httpx.post(self._path, json=rows, headers=self._headers, trust_env=False, timeout=30)
        if sent.status_code != 204:
            raise RuntimeError(f"the server did not take changes: {sent.text}")


def _straight(folder: str) -> float:
    """Return the best time of the first page's SQL in milliseconds."""
    best = []
    with open_storage(os.path.join(folder, "server", "telemetry")) as storage:
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            storage.query(_SQL)
            best.append((time.perf_counter() - began) * 1000)
    return min(best)


@contextmanager
def _server(folder: str) -> Iterator[str]:
    """The server on a folder, as it is run; its address."""
    where = Path(folder, "server", "address.json")
    where.unlink(missing_ok=True)
    command = [sys.executable, "-m", "whatchanged", "server", "--data", folder, "--port", "0", "--tls", "false"]
    with Path(folder, "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not where.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the server ended: {Path(folder, 'server.log').read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield str(json.loads(where.read_text(encoding="utf-8"))["url"])
    finally:
        process.terminate()
        process.wait(60)
