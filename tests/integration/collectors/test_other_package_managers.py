"""pacman, flatpak, gem, npm, pip and dpkg at work below a folder, against their own answers."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import gzip
import io
import json
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from integration.collectors.conftest import look, needs, said
from whatchanged.collectors import RunStatus
from whatchanged.tracker.differ import change_rows


def found(root: Path, source: str) -> list[tuple[str, str, str]]:
    return sorted((i.name, i.version, i.architecture) for i in look(root).items if i.source == source)


# pacman


def pacman_package(folder: Path, name: str, version: str, architecture: str = "any", file: str = "") -> Path:
    facts = f"pkgname = {name}\npkgver = {version}\npkgdesc = Test {name}\npackager = Jane <j@x>\n"
    facts += f"size = 4096\narch = {architecture}\nbuilddate = 1700000000\n"
    path = folder / f"{name}-{version}-{architecture}.pkg.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, content in ((".PKGINFO", facts), (file or f"usr/share/{name}", "content")):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return path


class PacmanRoot:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "root"
        self.database = self.path / "var/lib/pacman"
        self.database.mkdir(parents=True)
        (self.path / "etc").mkdir()
        (self.path / "etc/os-release").write_text("ID=arch\n")
        self._configuration = folder / "pacman.conf"
        self._configuration.write_text(
            "[options]\nArchitecture = x86_64\nSigLevel = Never\nLocalFileSigLevel = Never\n"
        )

    def __call__(self, *arguments: str | Path) -> str:
        folders = ("--root", self.path, "--dbpath", self.database, "--cachedir", self.path, "--hookdir", self.path)
        return said("pacman", "--config", self._configuration, *folders, "--noconfirm", *arguments)

    def answer(self) -> list[tuple[str, ...]]:
        return sorted(tuple(line.split()) for line in self("-Q").splitlines())


@needs("pacman")
def test_pacman(tmp_path: Path) -> None:
    pacman = PacmanRoot(tmp_path)
    assert look(pacman.path).outcome.status is RunStatus.OK
    pacman(
        "-U",
        pacman_package(tmp_path, "foo", "1.0-1"),
        pacman_package(tmp_path, "bar", "2:3.0-1", architecture="x86_64"),
    )
    assert [line[:2] for line in found(pacman.path, "pacman")] == pacman.answer()
    before = {item.key(): item for item in look(pacman.path).items}
    foo = next(item for item in before.values() if item.name == "foo")
    assert (foo.publisher, foo.description, foo.size) == ("Jane <j@x>", "Test foo", 4096)
    assert foo.purl == "pkg:alpm/arch/foo@1.0-1?arch=any&distro=arch"
    information = pacman("-Qi", "foo")
    assert "Packager        : Jane <j@x>" in information
    pacman("-U", pacman_package(tmp_path, "foo", "1.1-1"))
    after = {item.key(): item for item in look(pacman.path).items}
    rows = [row for key in after for row in change_rows(before[key], after[key])]
    assert [(r["Previous"], r["Current"]) for r in rows] == [("1.0-1", "1.1-1")]
    (pacman.database / "db.lck").touch()
    snapshot = look(pacman.path)
    assert set(snapshot.items) == set(after.values())
    assert b"pacman" in snapshot.kept
    assert snapshot.soon
    os.utime(pacman.database / "db.lck", (0, 0))  # left behind by a pacman that died
    assert look(pacman.path).kept == ()
    (pacman.database / "db.lck").unlink()
    pacman("-R", "bar")
    assert [line[:2] for line in found(pacman.path, "pacman")] == pacman.answer() == [("foo", "1.1-1")]
    (pacman.database / "local/foo-1.1-1/desc").write_text("%NAME%\n")
    snapshot = look(pacman.path)
    assert (snapshot.outcome.status, snapshot.kept) == (RunStatus.PARTIAL, (b"pacman",))


# flatpak


def flatpak_export(folder: Path, name: str, version: str, content: str) -> None:
    tree = folder / name
    (tree / "files/share/app-info/xmls").mkdir(parents=True, exist_ok=True)
    (tree / "export").mkdir(exist_ok=True)
    (tree / "files/content").write_text(content)
    (tree / "metadata").write_text(f"[Application]\nname={name}\nruntime=org.acme.Platform/x86_64/1\ncommand=x\n")
    component = f"<id>{name}.desktop</id><name>App</name><summary>Does it</summary>"
    release = f'<releases><release version="{version}" timestamp="1"/></releases>'
    text = f'<?xml version="1.0"?><components version="0.8"><component>{component}{release}</component></components>'
    (tree / f"files/share/app-info/xmls/{name}.xml.gz").write_bytes(gzip.compress(text.encode()))


@needs("flatpak")
def test_flatpak(tmp_path: Path) -> None:
    installation = tmp_path / "root/var/lib/flatpak"
    installation.parent.mkdir(parents=True)
    (tmp_path / "home").mkdir()

    def flatpak(*arguments: str | Path) -> str:
        return said("flatpak", *arguments, FLATPAK_SYSTEM_DIR=str(installation), HOME=str(tmp_path / "home"))

    runtime = tmp_path / "runtime"
    (runtime / "files").mkdir(parents=True)
    platform = "org.acme.Platform/x86_64/1"
    (runtime / "metadata").write_text(f"[Runtime]\nname=org.acme.Platform\nruntime={platform}\nsdk={platform}\n")
    repository = tmp_path / "repository"
    flatpak("build-export", "--runtime", "--arch=x86_64", "--files=files", repository, runtime, "1")

    def publish(version: str, content: str, branch: str = "stable") -> None:
        flatpak_export(tmp_path, "org.acme.App", version, content)
        flatpak("build-export", "--arch=x86_64", repository, tmp_path / "org.acme.App", branch)
        flatpak("build-update-repo", repository)

    def answer() -> list[tuple[str, ...]]:
        columns = "--columns=application,arch,branch,version,active,origin"
        return sorted(tuple(line.split("\t")) for line in flatpak("list", "--system", columns).splitlines())

    def looked() -> list[tuple[str, ...]]:
        items = (item for item in look(tmp_path / "root").items if item.source == "flatpak")
        # VERSION+COMMIT here, two columns there
        return sorted((i.name, i.architecture, i.instance, *i.version.split("+"), i.publisher) for i in items)

    publish("3.1", "one")
    flatpak("remote-add", "--system", "--no-gpg-verify", "acme", repository)
    flatpak("install", "--system", "--assumeyes", "--noninteractive", "acme", "org.acme.App//stable")
    assert looked() == answer()
    assert len(looked()) == 2
    before = {item.key(): item for item in look(tmp_path / "root").items}
    app = next(item for item in before.values() if item.name == "org.acme.App")
    assert (app.description, app.software_type, app.location()) == ("Does it", "Application", "flatpak/stable")
    publish("3.1", "rebuilt")
    flatpak("update", "--system", "--assumeyes", "--noninteractive")
    assert looked() == answer()
    after = {item.key(): item for item in look(tmp_path / "root").items}
    rows = [row for key in after for row in change_rows(before[key], after[key])]
    assert [row["FieldsChanged"] for row in rows] == ["CurrentVersion"]
    publish("4.0", "next", "beta")
    flatpak("install", "--system", "--assumeyes", "--noninteractive", "acme", "org.acme.App//beta")
    assert looked() == answer()
    assert len(looked()) == 3
    flatpak("uninstall", "--system", "--assumeyes", "--noninteractive", "org.acme.App//stable")
    assert looked() == answer()


# gem


@needs("gem")
def test_gem(tmp_path: Path) -> None:
    home = tmp_path / "root/var/lib/gems/3.1.0"
    home.mkdir(parents=True)

    def gem(*arguments: str | Path) -> str:
        return said("gem", *arguments, GEM_HOME=str(home), GEM_PATH=str(home), HOME=str(tmp_path))

    def answer() -> list[tuple[str, str]]:
        lines = [re.fullmatch(r"(\S+) \(([^:]*)\)", line) for line in gem("list", "--local").splitlines()]
        return sorted((m[1], version) for m in lines if m for version in m[2].split(", "))

    for version in ("1.0.0", "1.1.0"):
        specification = tmp_path / "x.gemspec"
        specification.write_text(
            f'Gem::Specification.new {{ |s| s.name = "acme-thing"; s.version = "{version}"; s.files = []\n'
            's.summary = "A \\"thing\\", ü"; s.authors = ["Jane \\"J\\" Doe", "Zoë"]; s.homepage = "http://localhost"\n'
            's.license = "MIT" }\n'
        )
        package = tmp_path / f"acme-thing-{version}.gem"
        said("gem", "build", "--output", package, specification, HOME=str(tmp_path))
        gem("install", "--local", "--no-document", "--install-dir", home, package)
    assert [line[:2] for line in found(tmp_path / "root", "gem")] == answer()
    one, _ = (item for item in look(tmp_path / "root").items if item.source == "gem")
    assert (one.publisher, one.description) == ('Jane "J" Doe, Zoë', 'A "thing", ü')
    assert one.location() == "gem/var/lib/gems/3.1.0/1.0.0"
    assert one.purl == "pkg:gem/acme-thing@1.0.0"
    gem("cleanup")
    assert [line[:2] for line in found(tmp_path / "root", "gem")] == answer() == [("acme-thing", "1.1.0")]


# npm


@needs("npm")
def test_npm(tmp_path: Path) -> None:
    prefix = tmp_path / "root/usr/local"
    (prefix / "lib").mkdir(parents=True)

    def npm(*arguments: str | Path) -> str:
        quiet = {"npm_config_update_notifier": "false", "npm_config_cache": str(tmp_path / "cache")}
        return said("npm", *arguments, "--global", "--offline", "--prefix", prefix, HOME=str(tmp_path), **quiet)

    def answer() -> list[tuple[str, str]]:
        listed = json.loads(npm("ls", "--depth=0", "--json")).get("dependencies", {})
        return sorted((name, facts["version"]) for name, facts in listed.items())

    def package(name: str, version: str) -> Path:
        folder = tmp_path / f"{name.replace('/', '-')}-{version}"
        folder.mkdir()
        author = {"name": "Jane", "email": "j@x"}
        facts = {"name": name, "version": version, "description": "A  tool", "author": author}
        (folder / "package.json").write_text(json.dumps(facts))
        return Path(folder / said("npm", "pack", folder, "--pack-destination", folder, HOME=str(tmp_path)).strip())

    npm("install", package("@acme/tool", "1.2.3"), package("plain", "0.1.0"))
    linked = package("linked", "7.0.0").parent
    npm("install", linked)
    assert [line[:2] for line in found(tmp_path / "root", "npm")] == [
        entry for entry in answer() if entry[0] != "linked"
    ], "a link that leads out of the root is none of its packages"
    before = {item.key(): item for item in look(tmp_path / "root").items}
    tool = next(item for item in before.values() if item.name == "@acme/tool")
    assert (tool.publisher, tool.description, tool.purl) == ("Jane", "A tool", "pkg:npm/%40acme/tool@1.2.3")
    npm("install", package("@acme/tool", "1.3.0"))
    after = {item.key(): item for item in look(tmp_path / "root").items}
    rows = [row for key in after for row in change_rows(before[key], after[key])]
    assert [(r["SoftwareName"], r["Previous"], r["Current"]) for r in rows] == [("@acme/tool", "1.2.3", "1.3.0")]
    npm("uninstall", "plain")
    assert [line[0] for line in found(tmp_path / "root", "npm")] == ["@acme/tool"]


# Python


def wheel(folder: Path, name: str, version: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "x = 1\n")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: Does ü\nAuthor-email: j@x\n"
        archive.writestr(f"{info}/METADATA", metadata + "\nVersion: no header\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def test_pip(tmp_path: Path) -> None:
    prefix = tmp_path / "root/usr/local"
    location = f"usr/local/lib/python3.{sys.version_info.minor}/site-packages"
    folder = tmp_path / "root" / location
    said(sys.executable, "-m", "venv", "--without-pip", prefix)

    def pip(*arguments: str | Path) -> str:
        return said(sys.executable, "-m", "pip", "--python", prefix / "bin/python", *arguments, PIP_NO_INDEX="1")

    def install(*wheels: Path) -> None:
        pip("install", "--upgrade", *wheels)

    def answer() -> list[tuple[str, str]]:
        return sorted((e["name"], e["version"]) for e in json.loads(pip("list", "--format=json", "--path", folder)))

    install(wheel(tmp_path, "acme_thing", "1.0"), wheel(tmp_path, "other", "2.0+local.1"))
    assert [line[:2] for line in found(tmp_path / "root", "python")] == answer()
    before = {item.key(): item for item in look(tmp_path / "root").items}
    one = next(item for item in before.values() if item.name == "acme_thing")
    assert (one.publisher, one.description, one.purl) == ("j@x", "Does ü", "pkg:pypi/acme-thing@1.0")
    assert one.location() == f"python/{location}"
    assert one.size is not None
    assert one.size > (folder / "acme_thing.py").stat().st_size
    (folder / "acme_thing-1.0.dist-info").rename(folder / "~cme_thing-1.0.dist-info")  # as pip does while it upgrades
    snapshot = look(tmp_path / "root")
    assert [item.name for item in snapshot.items] == ["other"]
    assert snapshot.unsettled == {one.key()}
    (folder / "~cme_thing-1.0.dist-info").rename(folder / "acme_thing-1.0.dist-info")
    install(wheel(tmp_path, "acme_thing", "1.1"))
    assert [line[:2] for line in found(tmp_path / "root", "python")] == answer()
    after = {item.key(): item for item in look(tmp_path / "root").items}
    rows = [row for key in after for row in change_rows(before[key], after[key])]
    assert [(r["Previous"], r["Current"]) for r in rows] == [("1.0", "1.1")]


# dpkg


def deb(folder: Path, name: str, version: str, file: str = "") -> Path:
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Jane <j@x>\nInstalled-Size: 7\n"
    (tree / "DEBIAN/control").write_text(f"{control}Description: Test {name}\n")
    if file:
        (tree / file).parent.mkdir(parents=True)
        (tree / file).write_text(f"Name: {name.removeprefix('python3-')}\nVersion: {version}\n\n")
    said("dpkg-deb", "--build", "--root-owner-group", tree, folder / f"{name}.deb")
    return folder / f"{name}.deb"


@needs("dpkg", "dpkg-deb")
@pytest.mark.root
def test_dpkg_and_what_its_packages_bring_along(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")

    def dpkg(*arguments: str | Path) -> str:
        return said("dpkg", f"--root={root}", "--force-not-root,depends,script-chrootless", *arguments)

    owned = "usr/lib/python3/dist-packages/acme-1.0.egg-info"
    dpkg("-i", deb(tmp_path, "plain", "1:1.0-1"), deb(tmp_path, "python3-acme", "1.0", owned))
    (root / "usr/lib/python3/dist-packages/mine-3.0.egg-info").write_text("Name: mine\nVersion: 3.0\n\n")
    items = {(item.source, item.name): item for item in look(root).items}
    assert list(items) == [("dpkg", "plain"), ("dpkg", "python3-acme"), ("python", "mine")]
    plain = items["dpkg", "plain"]
    assert (plain.version, plain.size, plain.publisher) == ("1:1.0-1", 7 * 1024, "Jane <j@x>")
    assert plain.purl == "pkg:deb/debian/plain@1:1.0-1?arch=all&distro=debian-12"
    assert plain.installed_ns == (root / "var/lib/dpkg/info/plain.list").stat().st_mtime_ns
    dpkg("-r", "python3-acme")
    assert [(item.source, item.name) for item in look(root).items] == [("dpkg", "plain"), ("python", "mine")]
    (root / "var/lib/dpkg/status").rename(tmp_path / "status")
    (root / "var/lib/dpkg/status").symlink_to(tmp_path / "status")  # leads out of the root
    snapshot = look(root)
    assert [item.name for item in snapshot.items if item.source == "dpkg"] == []
