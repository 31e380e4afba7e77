"""A browser that looks at the portal of an installation, and what tests of its pages share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request

from e2e.conftest import Installation
from whatchanged.records.carrier import Confirmation, new_epoch
from whatchanged.records.items import Kind
from whatchanged.records.keys import checksum, item_digest, row_key
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, time_text

AXE = Path(__file__).parents[3] / "portal/node_modules/axe-core/axe.min.js"
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}\u202egnp.exe"
SHOWN = HOSTILE.replace("\u202e", "⟨U+202E⟩")
PASSWORD = "correct horse battery"


class Portal:
    """An installation and a browser."""

    def __init__(self, installation: Installation, browser: Browser) -> None:
        self.installation = installation
        self.browser = browser
        self.url = str(installation.client().base_url).rstrip("/")
        self.troubles: list[str] = []

    def open(self, *, width: int = 1280, dark: bool = False) -> Page:
        """Return a page in a browser of its own, nobody signed in."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", self._error)
        page.on("dialog", self._dialog)
        page.on("console", self._said)
        page.on("request", self._asked)
        return page

    def _error(self, error: Error) -> None:
        self.troubles.append(f"error: {error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, said: ConsoleMessage) -> None:
        # Also what the policy refuses. An answer of 4xx is said by the page itself.
        if said.type in ("error", "warning") and "Failed to load resource" not in said.text:
            self.troubles.append(f"{said.type}: {said.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"asked elsewhere: {request.url}")

    def link(self) -> str:
        made: str = self.installation.client().post("/api/v1/sign-in-links").json()["link"]
        return f"{self.url}/sign-in#{made}"

    def signed_in(self, path: str = "/changes", **options: Any) -> Page:
        """Return a page of the owner's."""
        page = self.open(**options)
        link = self.link().rpartition("#")[2]
        answer = page.request.post(f"{self.url}/api/v1/sign-in", data={"link": link})
        assert answer.status == 200, answer.text()
        page.goto(self.url + path)
        return page

    def account(self, name: str, role: str) -> None:
        body = {"name": name, "role": role, "password": PASSWORD}
        made = self.installation.client().post("/api/v1/accounts", json=body)
        assert made.status_code in (201, 409), made.text

    def write(self, name: str, content: str) -> None:
        (self.installation.real_tree / name).write_text(content)


class Sender:
    """A machine whose changes a test makes up."""

    def __init__(self, portal: Portal, computer: str, os_type: str = "Linux") -> None:
        made = portal.installation.client().post("/api/v1/enrollment-tokens", json={}).json()["token"]
        facts = {"computer": computer, "osType": os_type}
        headers = {"authorization": f"Bearer {made}"}
        machine = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False).json()
        self._computer = computer
        self._path = f"{portal.url}/dataCollectionRules/{machine['implicitRuleId']}/streams/CONFIG_CHANGE_BLOB_V2"
        self._headers = {"authorization": f"Bearer {machine['credential']}", "x-whatchanged-instance": "one"}
        self._epoch, self._sent = new_epoch(), 0

    def lose(self, records: int) -> None:
        """Number so many records that are never sent."""
        self._sent += records

    def __call__(self, changes: Sequence[tuple[str, int, *tuple[dict[str, Any], ...]]], **columns: Any) -> None:
        """Send a change of a file for each path and time, with its own columns; `columns` stand in every row."""
        rows = []
        for path, time_ns, *own in changes:
            self._sent += 1
            rows.append(
                {
                    "_Stream": "CONFIG_CHANGE_BLOB_V2",
                    "_Epoch": self._epoch,
                    "_Sequence": self._sent,
                    "TimeGenerated": time_text(time_ns),
                    "Computer": self._computer,
                    "ConfigChangeType": "Files",
                    "ChangeCategory": "Added",
                    "FileSystemPath": path,
                    **columns,
                    **(own[0] if own else {}),
                }
            )
        sent = httpx.post(
            f"{self._path}?api-version=2023-01-01", json=rows, headers=self._headers, trust_env=False, timeout=30
        )
        assert sent.status_code == 204, sent.text


def inventory(portal: Portal, computer: str, packages: tuple[str, ...]) -> None:
    """Enrol a machine that has these packages, of the publisher `Inventory test`."""
    made = portal.installation.client().post("/api/v1/enrollment-tokens", json={}).json()["token"]
    headers = {"authorization": f"Bearer {made}"}
    facts = {"computer": computer, "osType": "Linux"}
    machine = httpx.post(f"{portal.url}/api/v1/enroll", json=facts, headers=headers, trust_env=False).json()
    now, epoch = time_text(now_ns()), new_epoch()
    items = [
        {"ConfigDataType": "Software", "SoftwareName": name, "Name": name, "CurrentVersion": "1", "Architecture": "all",
         "Publisher": "Inventory test", "Location": "/var/lib/dpkg/status"} for name in packages
    ]  # fmt: skip
    pairs = sorted((row_key(item)[1], item_digest(item)) for item in items)
    confirmed = Confirmation(kind=Kind.SOFTWARE, time_ns=now_ns(), items=len(items), checksum=checksum(pairs))
    snapshot = {"_Record": "Snapshot", "ConfigDataType": "Software"}
    told = [snapshot, *({**item, "TimeGenerated": now, "Computer": computer} for item in items), confirmed.fields()]
    stream = DataType.CONFIG_DATA_V2
    rows = [{**one, "_Stream": stream.value, "_Epoch": epoch, "_Sequence": at} for at, one in enumerate(told, 1)]
    sent = httpx.post(
        f"{portal.url}/dataCollectionRules/{machine['implicitRuleId']}/streams/{stream.value}?api-version=2023-01-01",
        json=rows,
        headers={"authorization": f"Bearer {machine['credential']}", "x-whatchanged-instance": "one"},
        trust_env=False,
        timeout=30,
    )
    assert sent.status_code == 204, sent.text


def row(page: Page, text: str) -> Any:
    return page.get_by_role("grid").get_by_role("row").filter(has_text=text)


def violations(page: Page, axe: str) -> list[Any]:
    """Return what axe finds, but for what Fluent puts at the ends of the document to keep the focus in."""
    page.evaluate(axe)
    found: list[Any] = page.evaluate(
        """async () => {
            const found = await axe.run({ exclude: [["[data-tabster-dummy]"]] });
            return found.violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html.slice(0, 200))]);
        }"""
    )
    return found


def keep(page: Page, name: str) -> None:
    folder = os.environ.get("WHATCHANGED_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png", animations="disabled")
