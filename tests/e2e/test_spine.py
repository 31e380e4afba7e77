"""From a change on the machine to the answer of the server, through the real processes."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2e.conftest import Installation, eventually, linux_rule
from whatchanged.cli import tracker_control
from whatchanged.cli.options import Values


def told(installation: Installation, kind: str = "Files") -> list[tuple[str, str]]:
    return sorted((r["ChangeCategory"], r["Name"]) for r in installation.changes() if r["ConfigChangeType"] == kind)


def deb(folder: Path, name: str, version: str) -> Path:
    """Build a real package."""
    source = folder / f"{name}-{version}"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Jo Doe <jo@example.org>\n"
        f"Description: a package\n with a long text\n"
    )
    target = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(source), str(target)], check=True, capture_output=True
    )
    return target


def dpkg(installation: Installation, *arguments: str) -> None:
    subprocess.run(
        ["dpkg", f"--root={installation.root}", "--force-not-root", "--force-script-chrootless", *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )


def test_files_appear_in_the_inventory_with_their_checksums(installation: Installation) -> None:
    tree = installation.real_tree
    (tree / "deep" / "er").mkdir(parents=True)
    for number in range(20):
        (tree / "deep" / f"f{number}").write_bytes(os.urandom(number * 1000))
    hostile = [b"new\nline", b"\xff\xfebytes", b"\x1b[31mred", b"x" * 255, "ü".encode()]
    for name in hostile:
        with open(os.fsencode(tree) + b"/" + name, "wb") as stream:
            stream.write(name)
    os.mkfifo(tree / "fifo")
    (tree / "loop").symlink_to(".")
    (tree / "dangling").symlink_to("nowhere")
    installation.start()
    installation.looked()
    rows = eventually(lambda: r if len(r := installation.inventory("files")) >= 26 else None, what="26 files")
    found = {r["FileSystemPath"]: r for r in rows}
    for number in range(20):
        content = (tree / "deep" / f"f{number}").read_bytes()
        row = found[f"/srv/tree/deep/f{number}"]
        assert row["FileContentChecksum"] == hashlib.sha256(content).hexdigest().upper()
        assert row["Size"] == len(content)
    assert len(rows) == 20 + len(hostile) + 1  # the dangling link is an item, the FIFO and the loop are none
    assert told(installation) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read all of /etc")
@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="needs dpkg")
def test_the_inventory_of_this_machine_is_what_its_tools_say(installation: Installation) -> None:
    rule = linux_rule(Path("/etc"))
    rule["properties"]["dataSources"]["extensions"][0]["extensionSettings"]["fileSettings"]["fileInfo"][0].update(
        links="Manage"
    )
    installation.rule_file.write_text(json.dumps(rule))
    installation.start("--root", "/")
    installation.looked()
    said = subprocess.run(["find", "/etc", "(", "-type", "f", "-o", "-type", "l", ")", "-print0"],
                          capture_output=True, check=True).stdout.split(b"\0")[:-1]  # fmt: skip
    rows = {r["FileSystemPath"]: r for r in json.loads(installation.command("inventory", "files", "--json").stdout)}
    assert sorted(rows) == sorted(os.fsdecode(path) for path in said)
    regular = [path for path in rows if not os.path.islink(path)]
    sums = subprocess.run(["sha256sum", "--zero", *regular], capture_output=True, check=True, text=True).stdout
    assert {line[66:]: line[:64].upper() for line in sums.split("\0")[:-1]} == {
        path: rows[path]["FileContentChecksum"] for path in regular
    }
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"]
    installed = subprocess.run(query, capture_output=True, check=True, text=True).stdout.splitlines()
    packages = json.loads(installation.command("inventory", "software", "--json").stdout)
    assert sorted([r["SoftwareName"], r["CurrentVersion"], r["Architecture"]] for r in packages) == sorted(
        line.split("\t")[1:] for line in installed if line.startswith("installed\t")
    )


def test_every_kind_of_file_change_is_one_row(installation: Installation) -> None:
    tree = installation.real_tree
    for name in ("edited", "removed", "chmodded", "linked"):
        (tree / name).write_text(name)
    installation.start()
    installation.looked()
    moment = time.monotonic()
    (tree / "edited").write_text("something else")
    (tree / "added").write_text("new")
    (tree / "removed").unlink()
    (tree / "chmodded").chmod(0o600)
    (tree / "linked").unlink()
    (tree / "linked").symlink_to("edited")
    expected = [
        ("Added", "added"),
        ("Modified", "chmodded"),
        ("Modified", "edited"),
        ("Modified", "linked"),
        ("Removed", "removed"),
    ]
    eventually(lambda: len(told(installation)) >= 5, seconds=20, what="five changes")
    took = time.monotonic() - moment
    assert told(installation) == expected
    assert took < 3.0 + 2.0, f"visible after {took:.1f} s: a cycle of 1 s plus 2 s is the promise"
    row = next(r for r in installation.changes() if r["Name"] == "edited")
    assert (row["PreviousSize"], row["Size"]) == (6, 14)
    assert row["SourceComputerId"]
    assert row["_ResourceId"].startswith("/subscriptions/")
    installation.settled()
    assert told(installation) == expected


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg")
def test_packages_installed_upgraded_and_removed(installation: Installation) -> None:
    dpkg(installation, "--install", str(deb(installation.folder, "old-one", "1.0")))
    installation.start()
    installation.looked()
    eventually(lambda: [r["SoftwareName"] for r in installation.inventory("software")] == ["old-one"])
    dpkg(installation, "--install", str(deb(installation.folder, "fresh", "1:2.0-1")))
    dpkg(installation, "--install", str(deb(installation.folder, "old-one", "1.1")))
    installation.settled()
    dpkg(installation, "--purge", "fresh")
    rows = eventually(
        lambda: r if len(r := [c for c in installation.changes() if c["ConfigChangeType"] == "Software"]) >= 3 else None
    )
    assert sorted((r["ChangeCategory"], r["SoftwareName"], r.get("Previous"), r.get("Current")) for r in rows) == [
        ("Added", "fresh", None, "1:2.0-1"),
        ("Modified", "old-one", "1.0", "1.1"),
        ("Removed", "fresh", "1:2.0-1", None),
    ]


def test_a_unit_file_added_and_enabled(installation: Installation) -> None:
    units = installation.root / "etc/systemd/system"
    (units / "one.service").write_text(
        "[Unit]\nDescription=One\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    )
    installation.start()
    installation.looked()
    eventually(lambda: "one.service" in [r["SvcName"] for r in installation.inventory("daemons")])
    (units / "multi-user.target.wants").mkdir()
    (units / "multi-user.target.wants" / "one.service").symlink_to("/etc/systemd/system/one.service")
    rows = eventually(lambda: [c for c in installation.changes() if c["ConfigChangeType"] == "Daemons"])
    installation.settled()
    (row,) = [c for c in installation.changes() if c["ConfigChangeType"] == "Daemons"]
    assert rows
    assert (row["SvcChangeType"], row["SvcPreviousRunlevels"], row["SvcRunlevels"]) == (
        "Runlevels",
        "disabled",
        "enabled",
    )


def test_changes_made_while_all_was_off_are_told_at_start(installation: Installation) -> None:
    (installation.real_tree / "a").write_text("one")
    installation.start()
    installation.looked()
    installation.settled()
    assert installation.stop(signal.SIGINT) == 0
    (installation.real_tree / "a").write_text("two!")
    installation.start()
    (row,) = eventually(installation.changes)
    assert (row["Name"], row["ChangeCategory"], row["DetectedBy"]) == ("a", "Modified", "Startup")


def test_an_untouched_machine_makes_no_rows_in_200_cycles(installation: Installation) -> None:
    """The tree is this test's own, packages and daemons are this machine's."""
    for number in range(50):
        (installation.real_tree / f"f{number}").write_text(str(number))
    for place in ("var/lib/dpkg", "etc/systemd", "etc/init.d", "usr/lib/systemd"):
        if Path("/", place).is_dir():
            shutil.copytree(
                Path("/", place),
                installation.root / place,
                symlinks=True,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("info", "lock*"),
            )
    (installation.root / "lib").symlink_to("usr/lib")
    installation.start()
    installation.looked()
    assert installation.settled() == []
    before = {kind: installation.inventory(kind) for kind in ("files", "software", "daemons")}
    assert len(before["files"]) == 50
    assert len(before["software"]) > 100
    for _ in range(200):
        tracker_control.ask(Values({"data": str(installation.data)}), "scan")
    assert installation.settled() == []
    # An item's place in its stream is that of the row that carried it: none was sent again.
    for kind, rows in before.items():
        now = installation.inventory(kind)
        assert [(r["Name"], r["Epoch"], r["Sequence"]) for r in now] == [
            (r["Name"], r["Epoch"], r["Sequence"]) for r in rows
        ]
    reasons = {r["Reason"] for r in installation.health()}
    assert not reasons & {"Resync", "Gap", "Fork", "NewEpoch"}, "tracker and server hold the same from the start"


def test_a_rule_over_the_program_s_own_data_does_not_feed_on_itself(installation: Installation) -> None:
    """What the agents and the server write while they tell of a change is no change to tell of."""
    folder = installation.folder
    installation.rule_file.write_text(json.dumps(linux_rule(folder)))
    installation.root = Path("/")
    (folder / "there").write_text("1")
    installation.start()
    installation.looked()
    (folder / "there").write_text("22")
    eventually(lambda: ("Modified", "there") in told(installation), what="the change")
    for _ in range(3):
        installation.settled()
    own = [row["FileSystemPath"] for row in installation.changes() if row["ConfigChangeType"] == "Files"]
    assert not [path for path in own if path.startswith(f"{installation.data}/")]
    items = {row["FileSystemPath"] for row in installation.inventory("files")}
    assert str(folder / "there") in items
    assert not [
        path for path in items if path.startswith((f"{installation.data}/server", f"{installation.data}/tracker"))
    ]
    said = installation.command("why", str(installation.data / "tracker/db/changetracking.db")).stdout
    assert "it is data of the tracking itself" in said
