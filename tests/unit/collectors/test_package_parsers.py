"""The text formats of package databases, and those of package managers that cannot run here.

apk and snapd: fixtures, written after apk-tools' `apk_package(5)` and snapd's `overlord/snapstate` and `snap.yaml`
reference, with the shape of what Alpine 3.18 and Ubuntu 22.04 have. No apk is packaged for Debian; snapd installs
nothing without its store. The `deploy` file is one that flatpak 1.14.10 wrote.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.collectors.software import SoftwareCollector
from whatchanged.collectors.software.apk import apk_packages
from whatchanged.collectors.software.flatpak import flatpak_item
from whatchanged.collectors.software.gem import gem_item
from whatchanged.collectors.software.gvariant import decode
from whatchanged.collectors.software.npm import npm_item
from whatchanged.collectors.software.os_release import Distribution
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.pacman import pacman_item, sections
from whatchanged.collectors.software.python_packages import python_item, recorded_size
from whatchanged.collectors.software.snap import installed_snaps
from whatchanged.collectors.software.yaml_scalars import top_level
from whatchanged.records.items import SoftwareItem


def look(root: Path) -> Snapshot[SoftwareItem]:
    return SoftwareCollector(os.fsencode(root)).run()


# apk

INSTALLED = """C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:musl
V:1.2.4-r2
A:x86_64
S:388955
I:634880
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
o:musl
m:Timo Teräs <timo.teras@iki.fi>
t:1695059711
c:1695059711
F:lib
R:libc.musl-x86_64.so.1
a:0:0:777
Z:Q17yJ3JFNypA4mxhJJr0ou6CzsJVI=

P:py3-packaging
V:23.1-r1
A:noarch
I:311296
F:usr/lib/python3.11/site-packages/packaging-23.1.dist-info
R:METADATA
R:RECORD

P:.build-deps
V:20230927.101010
A:noarch

"""


def test_apk(tmp_path: Path) -> None:
    folder = tmp_path / "lib/apk/db"
    folder.mkdir(parents=True)
    (folder / "installed").write_text(INSTALLED)
    (folder / "lock").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=alpine\nVERSION_ID=3.18.4\n")
    info = tmp_path / "usr/lib/python3.11/site-packages/packaging-23.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: packaging\nVersion: 23.1\n\n")
    snapshot = look(tmp_path)
    assert [(i.source, i.name, i.version, i.architecture) for i in snapshot.items] == [
        ("apk", ".build-deps", "20230927.101010", "noarch"),
        ("apk", "musl", "1.2.4-r2", "x86_64"),
        ("apk", "py3-packaging", "23.1-r1", "noarch"),
    ]
    musl = snapshot.items[1]
    assert (musl.size, musl.publisher) == (634880, "Timo Teräs <timo.teras@iki.fi>")
    assert musl.purl == "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4"
    (folder / "installed").write_text("\n\nno database\n")
    assert look(tmp_path).outcome.status is RunStatus.FAILED
    (folder / "installed").write_bytes(b"")  # `apk del` of everything, or a root that was just begun
    assert look(tmp_path).outcome.status is RunStatus.OK


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_bytes_in_an_apk_database(raw: bytes, line: bytes) -> None:
    list(apk_packages(raw))
    found = list(apk_packages(b"P:a\nV:1\n" + line.replace(b"\n", b"") + b"\n\n" + raw))
    assert found[0].item(Distribution()).version == "1"


# snap

SNAP_YAML = """name: firefox
version: '128.0-2'
summary: "Mozilla \\"Firefox\\" — browser"
description: |
  name: no key
architectures:
- amd64
apps:
  firefox:
    version: nested
    command: x
confinement: strict # as usual
base: core22
"""
STATE: dict[str, Any] = {
    "data": {
        "auth": {"macaroon": "x"},
        "snaps": {
            "core22": {
                "type": "base",
                "sequence": [{"name": "core22", "snap-id": "", "revision": "864"}],
                "active": True,
                "current": "864",
            },
            "firefox": {
                "type": "app",
                "sequence": [
                    {"name": "firefox", "snap-id": "3wdHCAVyZEmYsCMFDE9qt92UV8rC8Wdk", "revision": "4539"},
                    {"name": "firefox", "snap-id": "3wdHCAVyZEmYsCMFDE9qt92UV8rC8Wdk", "revision": "4540"},
                ],
                "active": True,
                "current": "4540",
                "channel": "latest/stable",
            },
            "../evil": {"current": "1"},
            "evil": {"current": "../1"},
        },
    },
    "changes": {},
}


def test_snap(tmp_path: Path) -> None:
    snapd = tmp_path / "var/lib/snapd"
    assertions = snapd / "assertions/asserts-v0"
    for folder, text in (
        (
            "snap-declaration/16/3wdHCAVyZEmYsCMFDE9qt92UV8rC8Wdk",
            "type: snap-declaration\npublisher-id: OgeoZuqQpVvSr9eG\n",
        ),
        ("account/OgeoZuqQpVvSr9eG", "type: account\ndisplay-name: Mozilla\n"),
    ):
        (assertions / folder).mkdir(parents=True)
        (assertions / folder / "active").write_text(text)
    (snapd / "state.json").write_text(json.dumps(STATE))
    (snapd / "snaps").mkdir()
    (snapd / "snaps/firefox_4540.snap").write_bytes(bytes(1000))
    meta = tmp_path / "snap/firefox/4540/meta"
    meta.mkdir(parents=True)
    (meta / "snap.yaml").write_text(SNAP_YAML)
    (tmp_path / "snap/firefox/current").symlink_to("4540")
    core, firefox = look(tmp_path).items
    assert (core.name, core.version, core.software_type, core.publisher) == ("core22", "+864", "Package", "")
    assert (firefox.name, firefox.version, firefox.architecture) == ("firefox", "128.0-2+4540", "amd64")
    assert (firefox.publisher, firefox.size, firefox.purl) == ("Mozilla", 1000, "")
    assert firefox.description == 'Mozilla "Firefox" — browser'
    assert firefox.installed_ns == (tmp_path / "snap/firefox/current").lstat().st_mtime_ns
    (snapd / "state.json").write_text("{")
    snapshot = look(tmp_path)
    assert snapshot.outcome.denied == (b"snap",)
    assert snapshot.kept == (b"snap",)


def test_top_level_scalars() -> None:
    found = top_level(SNAP_YAML.encode())
    assert found["version"] == ["128.0-2"]
    assert found["architectures"] == ["amd64"]
    assert found["confinement"] == ["strict"]
    assert found["description"] == []
    assert top_level(b"architectures: [amd64, 'arm64']\nname: 'it''s'\n") == {
        "architectures": ["amd64", "arm64"],
        "name": ["it's"],
    }


@given(st.binary(max_size=200))
def test_any_bytes_instead_of_documents(raw: bytes) -> None:
    top_level(raw)
    list(sections(raw))
    recorded_size(raw.split(b"\n"))
    for parse in (
        installed_snaps,
        lambda raw: pacman_item(raw, Distribution()),
        lambda raw: python_item(raw, b"/x"),
        lambda raw: npm_item(raw, b"/x"),
        lambda raw: gem_item(raw, b"/x"),
        lambda raw: flatpak_item(raw, "a", "b", "c"),
    ):
        with contextlib.suppress(PackageDatabaseError):
            parse(raw)


# flatpak

COMMIT = "16a9f9e40cd12629c08b6081a15baa379995e66439389167470db9db67482644"
DEPLOY = bytes.fromhex(
    "61636d6500" + COMMIT.encode().hex() + "0000000000000000000600"
    "617070646174612d6e616d650000000041636d65204170700000730d00000000617070646174612d76657273696f6e00332e3100007310"
    "006465706c6f792d76657273696f6e00000400000000690f00617070646174612d6c6963656e7365004d495400007310007275"
    "6e74696d65006f72672e61636d652e506c6174666f726d2f7838365f36342f31000073080000617070646174612d73756d6d61"
    "727900446f657320697400007310000000000074696d657374616d7000000000000000b6d7056b0000000000740a1c374f678e"
    "abcb460046000500"
)


def test_a_deploy_file_of_flatpak() -> None:
    item = flatpak_item(DEPLOY, "org.acme.App", "x86_64", "stable")
    assert (item.version, item.publisher, item.size) == (f"3.1+{COMMIT[:12]}", "acme", 1536)
    assert (item.description, item.location()) == ("Does it", "flatpak/stable")


@given(st.data())
def test_a_damaged_deploy_file(data: st.DataObject) -> None:
    raw = bytearray(DEPLOY)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PackageDatabaseError):
        flatpak_item(bytes(raw[: data.draw(st.integers(0, len(raw)))]), "a", "b", "c")


# The examples of the GVariant specification, section 2.7, little endian.
EXAMPLES: list[tuple[str, bytes, Any]] = [
    ("s", b"hello world\0", "hello world"),
    ("(si)", b"foo\0\xff\xff\xff\xff\4", ("foo", -1)),
    ("a{si}", b"hi\0\0\xfe\xff\xff\xff\3\0\0\0bye\0\xff\xff\xff\xff\4\x09\x15", {"hi": -2, "bye": -1}),
    ("as", b"i\0can\0has\0strings?\0\2\6\x0a\x13", ["i", "can", "has", "strings?"]),
    ("((ys)as)", b"ican\0has\0strings?\0\4\x0d\5", ((b"i"[0], "can"), ["has", "strings?"])),
    ("ay", b"\4\5\6\7", [4, 5, 6, 7]),
    ("(yy)", b"\x70\x80", (0x70, 0x80)),
    ("a(iy)", b"\x60\0\0\0\x70\0\0\0\x10\0\0\0\xff\0\0\0", [(96, 0x70), (16, 0xFF)]),
    ("v", b"\x2a\0\0\0\0i", 42),
]


@pytest.mark.parametrize(("signature", "raw", "value"), EXAMPLES)
def test_gvariant_examples(signature: str, raw: bytes, value: Any) -> None:
    assert decode(signature, raw) == value


SIGNATURES = st.text("sbytuxdva({})", min_size=1, max_size=8)


@given(SIGNATURES, st.binary(max_size=60))
def test_any_bytes_of_any_type(signature: str, raw: bytes) -> None:
    with contextlib.suppress(PackageDatabaseError):
        decode(signature, raw)
    with contextlib.suppress(PackageDatabaseError):
        decode("v", raw + b"\0" + signature.encode())


# Python, npm, gem


def test_python_forms(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/python3.11/site-packages"
    folder.mkdir(parents=True)
    text = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\nAuthor: UNKNOWN\nMaintainer: Jane\n\nName: no header\n"
    for name in (
        "a-1.0.dist-info/METADATA",
        "b-1.0.egg-info/PKG-INFO",
        "c-1.0.egg/EGG-INFO/PKG-INFO",
        "d-1.0.egg-info",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.format(name[0]))
    (folder / "left-over-1.0.dist-info").mkdir()
    os.utime(folder / "left-over-1.0.dist-info", (0, 0))
    (folder / "evil-1.0.dist-info").symlink_to("/usr/lib")
    snapshot = look(tmp_path)
    assert [(item.name, item.publisher) for item in snapshot.items] == [(name, "Jane") for name in "abcd"]
    # What has no metadata and is fresh is being written: nothing is removed meanwhile.
    assert (snapshot.soon, snapshot.kept) == (True, (b"python",))
    (folder / "left-over-1.0.dist-info").rmdir()
    (folder / "evil-1.0.dist-info").unlink()
    snapshot = look(tmp_path)
    assert (snapshot.soon, snapshot.kept, snapshot.outcome.status) == (False, (), RunStatus.OK)
    # The same distribution in two places is two items.
    other = tmp_path / "usr/local/lib/python3.11/dist-packages/a-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text(text.format("a"))
    assert [item.name for item in look(tmp_path).items] == ["a", "b", "c", "d", "a"]


@pytest.mark.parametrize(
    "raw",
    [
        b"Name: a\n",
        b"Name: a/b\nVersion: 1\n",
        b"Name: a\x00b\nVersion: 1\n",
        b"Name: a\nVersion: 1 2\n",
        b"\nName: a\nVersion: 1\n",
    ],
)
def test_what_is_no_distribution(raw: bytes) -> None:
    with pytest.raises(PackageDatabaseError):
        python_item(raw, b"/x")


def test_npm_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "usr/local/lib/node_modules"
    for name, version in ((".tool-x1", "1.0.0"), ("other", "2.0.0"), ("@acme/.thing-x2", "3.0.0")):
        (folder / name).mkdir(parents=True)
        plain = name.replace(".tool-x1", "tool").replace(".thing-x2", "thing")
        (folder / name / "package.json").write_text(json.dumps({"name": plain, "version": version, "author": "Jane"}))
    (folder / "broken").mkdir()
    (folder / "broken/package.json").write_text('{"name": "\\ud800", "version": 3}')
    os.utime(folder / "broken", (0, 0))
    snapshot = look(tmp_path)
    assert [item.name for item in snapshot.items] == ["other"]
    location = b"npm/usr/local/lib/node_modules"
    assert snapshot.unsettled == {location + b"\0tool\0", location + b"\0@acme/thing\0"}
    assert snapshot.soon


def test_gem_without_a_stub() -> None:
    item = gem_item(
        b'Gem::Specification.new do |s|\n  s.name = %q{x}\n  s.name = "x-y"\n  s.version = "1.2"\n'
        b'  s.platform = "java"\n  s.authors = ["A\\u00EB", "B\\x21"]\n',
        b"/var/lib/gems/2.5.0",
    )
    assert (item.name, item.version, item.architecture) == ("x-y", "1.2", "java")
    assert item.publisher == "Aë, B!"
    assert item.purl == "pkg:gem/x-y@1.2?platform=java"
    with pytest.raises(PackageDatabaseError):
        gem_item(b"# stub: ../x 1 ruby lib\n", b"/x")
