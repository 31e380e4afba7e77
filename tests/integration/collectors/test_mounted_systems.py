"""`whatchanged inventory software --root`: of a mounted system it says what the system's own tools say."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import datetime
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from e2e import container
from integration.collectors.conftest import RpmBuilder, RpmRoot, needs, said

COLUMNS = ("SoftwareName", "CurrentVersion", "Architecture", "Publisher", "SoftwareDescription")


def inventory(root: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the rows, and what was said beside them."""
    command = [sys.executable, "-m", "whatchanged", "inventory", "software", "--root", str(root), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    return json.loads(done.stdout), done.stderr


def facts(rows: list[dict[str, Any]], *more: str) -> list[list[str]]:
    return sorted([str(row.get(name, "")) for name in (*COLUMNS, *more)] for row in rows)


def second(row: dict[str, Any]) -> int:
    return int(datetime.datetime.fromisoformat(row["InstalledAt"][:19] + "+00:00").timestamp())


@needs("dpkg-query", "debootstrap")
@pytest.mark.skipif(bool(container.missing()), reason="needs a debootstrapped system")
def test_a_debootstrapped_system(tmp_path: Path) -> None:
    base = container.base_system()
    shutil.copytree(base / "var/lib/dpkg", tmp_path / "var/lib/dpkg", symlinks=True)
    for name in ("etc/os-release", "usr/lib/os-release"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(base / name, tmp_path / name, follow_symlinks=False)
    folder = tmp_path / "var/lib/dpkg"
    # Held back is no other state: dpkg's third word says what is installed.
    selection = f"dpkg --root={tmp_path} --set-selections"
    subprocess.run(selection.split(), input="bash hold\nlibc6 hold\n", text=True, check=True)
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${Maintainer}\t${binary:Summary}\t"
    answer = said("dpkg-query", f"--admindir={folder}", "-W", "-f", form + "${Installed-Size}\\n").splitlines()
    installed = [line.split("\t")[1:] for line in answer if line.startswith("installed\t")]
    rows, trouble = inventory(tmp_path)
    assert len(rows) > 80
    assert facts(rows, "Size") == sorted([*fields, str(int(size) * 1024)] for *fields, size in installed)
    assert trouble.startswith("Ok: ")
    bash = next(row for row in rows if row["SoftwareName"] == "bash")
    assert bash["PackageUrl"].startswith(f"pkg:deb/debian/bash@{quote(bash['CurrentVersion'])}?arch=")
    assert second(bash) == int((folder / "info/bash.list").stat().st_mtime)
    status = folder / "status"
    status.write_bytes(status.read_bytes()[: status.stat().st_size // 2])
    rows, trouble = inventory(tmp_path)
    assert rows == []
    assert "Failed: 0 items" in trouble
    assert "dpkg: " in trouble


@needs("rpm", "rpmbuild")
def test_an_rpm_system(rpm_root: RpmRoot, rpm_package: RpmBuilder) -> None:
    rpm_root.rpm(
        "-i",
        rpm_package("plain", "1.0", "1", "BuildArch: noarch", "Packager: Jane <j@x>", file="/usr/share/plain"),
        rpm_package("epoch", "2.0", "3", "Epoch: 4", "Vendor: ACME Ltd"),
    )
    form = "%{n}\\t%|epoch?{%{epoch}:}|%{v}-%{r}\\t%{arch}\\t%|vendor?{%{vendor}}:{%|packager?{%{packager}}|}|\\t"
    answer = [line.split("\t") for line in rpm_root.answer(form + "%{summary}\\t%{longsize}\\t%{installtime}")]
    rows, trouble = inventory(rpm_root.path)
    assert facts(rows, "Size") == sorted(fields[:-1] for fields in answer)
    assert sorted(map(second, rows)) == sorted(int(fields[-1]) for fields in answer)
    assert {row["PackageUrl"].partition("?")[0] for row in rows} == {
        "pkg:rpm/fedora/plain@1.0-1",
        "pkg:rpm/fedora/epoch@2.0-3",
    }
    assert trouble.startswith("Ok: ")
    database = rpm_root.database / "rpmdb.sqlite"
    database.write_bytes(database.read_bytes()[:5000])
    rows, trouble = inventory(rpm_root.path)
    assert rows == []
    assert "Failed: 0 items" in trouble
    assert "rpm: " in trouble
