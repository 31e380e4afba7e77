"""What is looked at of each rule, how, and what is not; one folder at several paths; why a path is (not) tracked."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.watchers.tracking import Tracking

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SRV = {"name": "srv", "destinationPath": "/srv/*", "recurse": True, "type": "Any", "groupTag": "x"}


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    points: list[str] = []

    def do(*arguments: str) -> None:
        if subprocess.run(["mount", *arguments], capture_output=True).returncode != 0:
            pytest.skip("mounting is not allowed here")
        points.append(arguments[-1])

    yield do
    for point in reversed(points):
        subprocess.run(["umount", "--lazy", point], check=True)


def covered(tracking: Tracking) -> dict[str, Any]:
    return {row["RuleName"]: row for row in tracking.status()["coverage"]["rules"]}


def why(tracking: Tracking, path: str) -> Any:
    return tracking.ask(command="why", path=path)


def test_what_is_looked_at_of_each_rule(tracking: Tracking) -> None:
    (tracking.tree / "d").mkdir()
    for name, size in (("a", 10), ("d/b", 20)):
        (tracking.tree / name).write_bytes(b"x" * size)
    pipe = tracking.tree / "d/pipe"
    os.mkfifo(pipe)
    tracking.start(file_info=[SRV, {"name": "d,e", "destinationPath": "/srv/d/*", "groupTag": "x"}])
    rows = covered(tracking)
    assert (rows["srv"]["Items"], rows["srv"]["BytesHashed"], rows["srv"]["Denied"]) == (4, 30, 0)
    assert (rows["d,e"]["Items"], rows["d,e"]["BytesHashed"]) == (1, 20)
    assert rows["srv"]["Method"] in ("fanotify", "inotify")
    assert rows["srv"]["Since"]
    assert rows["srv"]["LastLooked"]
    (record,) = [row for row in tracking.health("Coverage") if row["RuleName"] == "srv"]
    assert (record["Status"], record["ItemsSeen"]) == ("Ok", 4)
    assert record["Detail"].startswith("watched by ")
    (tracking.tree / "d/c").write_bytes(b"x" * 5)
    tracking.change("/srv/d/c", "Added")
    tracking.scan()
    assert covered(tracking)["d,e"]["BytesHashed"] == 25
    assert len([row for row in tracking.health("Coverage") if row["RuleName"] == "srv"]) == 1


def test_what_is_not_looked_into_is_told_of_the_rule_concerned(tracking: Tracking, mount: Callable[..., None]) -> None:
    (tracking.root / "opt").mkdir()
    (tracking.root / "opt/x").write_text("x")
    # A path that is too long is denied even to root.
    names = b"".join(b"/" + b"n" * 250 for _ in range(140))
    deep = os.open(tracking.tree, os.O_RDONLY)
    for name in names.split(b"/")[1:]:
        os.mkdir(name, dir_fd=deep)
        inner = os.open(name, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    tracking.policy.write_text("watch = false\n")
    tracking.start(file_info=[SRV, {"name": "opt", "destinationPath": "/opt/*", "groupTag": "x"}])
    rows = covered(tracking)
    assert {rows["srv"]["Method"], rows["opt"]["Method"]} == {"poll"}
    assert "switched off" in rows["opt"]["Reason"]
    assert (rows["srv"]["Denied"], rows["opt"]["Denied"]) == (1, 0)
    said = {row["RuleName"]: row for row in tracking.health("Coverage")}
    assert (said["opt"]["Status"], said["srv"]["Status"]) == ("Ok", "Warning")
    assert "only polled, every 3600 s" in said["opt"]["Detail"]
    assert "not looked into: /srv/nnn" in said["srv"]["Detail"]
    assert said["srv"]["ItemsFailed"] == 1


def test_the_budget_is_shown(tracking: Tracking) -> None:
    (tracking.tree / "a").write_bytes(b"x" * 1000)
    tracking.policy.write_text("core_share = 0.5\nbytes_per_second = 1000000\n")
    tracking.start(core_share=64.0, bytes_per_second=500_000)
    budget = tracking.status()["budget"]
    # The policy bounds the one, the settings ask for less of the other.
    assert (budget["core_share"], budget["bytes_per_second"]) == (0.5, 500_000)
    assert budget["used_bytes_per_second"] > 0
    assert 0.25 <= budget["part"] <= 1.0


def test_one_folder_at_two_paths_is_two_items_each_told_of(tracking: Tracking, mount: Callable[..., None]) -> None:
    (tracking.tree / "one").mkdir()
    (tracking.tree / "two").mkdir()
    mount("--bind", str(tracking.tree / "one"), str(tracking.tree / "two"))
    (tracking.tree / "one/a").write_text("x")
    tracking.start()
    assert {"/srv/one/a", "/srv/two/a"} <= tracking.known()
    (tracking.tree / "one/a").write_text("longer")
    for path in ("/srv/one/a", "/srv/two/a"):
        assert tracking.change(path, "Modified")["DetectedBy"] == "Watch"
    (tracking.tree / "two/b").write_text("x")
    for path in ("/srv/one/b", "/srv/two/b"):
        tracking.change(path, "Added")


def test_a_mount_of_a_folder_into_itself_ends(tracking: Tracking, mount: Callable[..., None]) -> None:
    (tracking.tree / "loop/in").mkdir(parents=True)
    (tracking.tree / "loop/a").write_text("x")
    mount("--bind", str(tracking.tree), str(tracking.tree / "loop/in"))
    tracking.start()
    # What is mounted is the tree without the mount: a bind mount does not hold itself, mount(8).
    assert tracking.known() == {"/srv/loop", "/srv/loop/a", "/srv/loop/in", "/srv/loop/in/loop"} | {
        "/srv/loop/in/loop/a",
        "/srv/loop/in/loop/in",
    }


def test_a_mount_over_a_tracked_folder_hides_it_and_gives_it_back(
    tracking: Tracking, mount: Callable[..., None]
) -> None:
    folder = tracking.tree / "d"
    folder.mkdir()
    (folder / "below").write_text("x")
    tracking.start()
    mount("-t", "tmpfs", "none", str(folder))
    tracking.change("/srv/d/below", "Removed")
    (folder / "above").write_text("y")
    tracking.change("/srv/d/above", "Added")
    (folder / "e").mkdir()
    deeper = str(folder / "e")
    mount("-t", "tmpfs", "none", deeper)
    Path(deeper, "one").write_text("z")
    tracking.change("/srv/d/e/one", "Added")
    # Another one in its place, by the same names and probably the same numbers.
    subprocess.run(["sh", "-c", 'umount "$0" && mount -t tmpfs none "$0"', deeper], check=True)
    tracking.change("/srv/d/e/one", "Removed")
    Path(deeper, "two").write_text("z")
    tracking.change("/srv/d/e/two", "Added")


def test_why(tracking: Tracking, mount: Callable[..., None]) -> None:
    tree = tracking.tree
    for folder in ("cache", "d", "kept", "mounted"):
        (tree / folder).mkdir()
    for name in ("a.conf", "cache/x", "kept/x", "odd.txt", "d/late"):
        (tree / name).write_text("x")
    (tree / "way").symlink_to("d")
    os.mkfifo(tree / "pipe.conf")
    mount("-t", "proc", "none", str(tree / "mounted"))
    tracking.policy.write_text('excluded_paths = ["/srv/kept"]\n')
    items: list[dict[str, object]] = [
        {"name": "conf", "destinationPath": "/srv/*.conf", "type": "File", "links": "Manage"},
        {
            "name": "deep",
            "destinationPath": "/srv/**",
            "type": "File",
            "links": "Manage",
            "exclude": ["cache", "*.t?t"],
        },
        {"name": "off", "destinationPath": "/opt/*", "enabled": False},
        {"name": "wrong", "destinationPath": "opt"},
    ]
    tracking.start(file_info=[{**item, "groupTag": "x"} for item in items])

    def said(path: str) -> tuple[str, str]:
        found = why(tracking, path)
        return found["verdict"], "; ".join(found["explanation"])

    found = why(tracking, "/srv/a.conf")
    assert (found["verdict"], found["tracked"]) == ("Tracked", True)
    assert [rule["RuleName"] for rule in found["rules"]] == ["conf", "deep"]
    assert found["watch"]["method"] in ("fanotify", "inotify")
    assert found["lastLooked"]
    assert said("/srv/cache/x")[0] == "Excluded"
    assert said("/srv/cache/x")[1].startswith("rule deep (/srv/**) leaves it out: it excludes cache")
    assert said("/srv/odd.txt")[1].startswith("rule deep (/srv/**) leaves it out: it excludes *.t?t")
    assert said("/opt/x")[0] == "Disabled"
    assert "1 parts of the rules in force cannot work" in said("/etc/passwd")[1]
    assert said("/etc/passwd")[0] == "NoRule"
    assert said("/srv/kept/x")[0] == "ExcludedByPolicy"
    assert "excludes /srv/kept" in said("/srv/kept/x")[1]
    assert said("/srv/mounted/self/status")[0] == "PseudoFileSystem"
    assert "mount that is not entered: pseudo file system (proc)" in said("/srv/mounted/stat")[1]
    assert said("/srv/way/late")[0] == "LinkNotFollowed"
    assert said("/srv/way")[0] == "Tracked"
    assert said("/srv/d")[0] == "FilesOnly"
    assert said("/srv/pipe.conf")[0] == "NoFile"
    assert said("/srv/none/at/all")[0] == "Missing"
    assert said("/srv/" + "x" * 300)[0] == "TooLong"
