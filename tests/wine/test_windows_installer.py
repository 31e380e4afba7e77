"""Packages of Windows Installer, built by wixl: what the collector says before, between and after."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # Wine runs elsewhere

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

from integration.collectors.conftest import needs
from wine.conftest import Windows

pytestmark = [pytest.mark.wine, pytest.mark.timeout(600), needs("wixl")]

PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
  <Product Id="{code}" Name={name} Version="{version}" UpgradeCode="{line}" Language="1033"
      Manufacturer="Contoso &amp; Co">
    <Package InstallerVersion="500" Compressed="yes" InstallScope="perMachine"/>
    <MajorUpgrade DowngradeErrorMessage="A newer version is there."/>
    <Property Id="ARPCOMMENTS" Value="Tests software"/>
    <Media Id="1" Cabinet="c.cab" EmbedCab="yes"/>
    <Directory Id="TARGETDIR" Name="SourceDir">
      <Directory Id="{programs}">
        <Directory Id="INSTALLDIR" Name={name}>
          <Component Id="C" Guid="{component}"><File Id="F" Source="file.txt"/></Component>
        </Directory>
      </Directory>
    </Directory>
    <Feature Id="All" Level="1"><ComponentRef Id="C"/></Feature>
  </Product>
</Wix>
"""
RUN = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
FORGET = """
import sys, winreg
place = r"SOFTWARE\\Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall"
with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as uninstall:
    for name in [winreg.EnumKey(uninstall, number) for number in range(winreg.QueryInfoKey(uninstall)[0])]:
        with winreg.OpenKey(uninstall, name) as entry:
            mine = winreg.QueryValueEx(entry, "DisplayName")[0] == sys.argv[1]
        if mine:
            winreg.DeleteKey(uninstall, name)
"""

Key = tuple[str, str, str]


class Product:
    """A product in two versions, of which the second replaces the first."""

    def __init__(self, windows: Windows, folder: Path) -> None:
        self.name = f"Whatchanged {uuid.uuid4().hex}"
        self._windows = windows
        self._folder = folder
        self._line, self._component = (str(uuid.uuid4()) for _ in range(2))
        (folder / "file.txt").write_text("content")

    def build(self, version: str, architecture: str = "x64") -> Path:
        """Return the package of a version."""
        source = self._folder / f"{version}.wxs"
        source.write_text(
            PACKAGE.format(
                programs="ProgramFiles64Folder" if architecture == "x64" else "ProgramFilesFolder",
                code=uuid.uuid4(),
                name=quoteattr(self.name),
                version=version,
                line=self._line,
                component=self._component,
            ),
            encoding="utf-8",
        )
        package = source.with_suffix(".msi")
        # wixl looks for files beside the folder that it runs in.
        subprocess.run(["wixl", "-a", architecture, "-o", str(package), source.name], cwd=self._folder, check=True)
        return package

    def msiexec(self, action: str, package: Path) -> None:
        """Install (`/i`) or remove (`/x`) a package."""
        done = self._windows.python("-c", RUN, "msiexec", action, self._windows.path(package), "/qn", seconds=300)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def product(windows: Windows, tmp_path: Path) -> Iterator[Product]:
    """A product that is not installed, and is not so in the end."""
    made = Product(windows, tmp_path)
    yield made
    for package in tmp_path.glob("*.msi"):
        windows.python("-c", RUN, "msiexec", "/x", windows.path(package), "/qn", seconds=300)


def software(windows: Windows) -> dict[Key, dict[str, Any]]:
    """Return the rows of the collector by what identifies them."""
    done = windows.python("-m", "whatchanged", "inventory", "software", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    found = {(row["Location"], row["SoftwareName"], row.get("Architecture", "")): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_product_is_installed_upgraded_and_removed(windows: Windows, product: Product) -> None:
    first, second = product.build("1.2.3"), product.build("2.0.0")
    key = ("uninstall", product.name, "x64")
    before = software(windows)
    assert key not in before

    product.msiexec("/i", first)
    installed = software(windows)
    row = installed[key]
    assert installed == {**before, key: row}
    assert {name: row[name] for name in ("CurrentVersion", "Publisher", "SoftwareType", "SoftwareDescription")} == {
        "CurrentVersion": "1.2.3",
        "Publisher": "Contoso & Co",
        "SoftwareType": "Application",
        "SoftwareDescription": "Tests software",
    }
    assert software(windows) == installed

    product.msiexec("/i", second)
    upgraded = software(windows)
    assert upgraded[key]["CurrentVersion"] == "2.0.0"
    assert upgraded == {**before, key: upgraded[key]}
    assert software(windows) == upgraded

    product.msiexec("/x", second)
    assert software(windows) == before


def test_a_32_bit_product_and_what_windows_installer_alone_knows_of_it(windows: Windows, product: Product) -> None:
    product.msiexec("/i", product.build("1.2.3", "x86"))
    assert [key for key in software(windows) if key[1] == product.name] == [("uninstall", product.name, "x86")]
    done = windows.python("-c", FORGET, product.name)
    assert done.returncode == 0, done.stderr
    assert [key for key in software(windows) if key[1] == product.name] == [("msi", product.name, "")]
