"""An installation and a browser; every test fails on an error of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from e2e.conftest import Installation, eventually
from e2e.portal.browser import HOSTILE, Portal


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands here, so that a machine without a browser can leave it out."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with the module: as long as it runs, nothing else in this process can use asyncio."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Portal]:
    made = Installation(tmp_path_factory.mktemp("portal"))
    (made.real_tree / "before.conf").write_text("1\n")
    try:
        made.start()
        made.looked()
        for name in ("first.conf", "second.conf", HOSTILE):
            (made.real_tree / name).write_text("new\n")
        eventually(lambda: len(made.changes()) >= 3, what="the changes have arrived")
        yield Portal(made, browser)
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
