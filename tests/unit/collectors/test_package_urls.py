"""Package URLs against the reference implementation, packageurl-python."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from whatchanged.collectors.software.os_release import Distribution, parse_os_release
from whatchanged.collectors.software.purl import distribution_purl, gem_purl, npm_purl, pypi_purl

NAMES = st.text(string.ascii_letters + string.digits + "+._-", min_size=1, max_size=12).filter(
    lambda name: name.strip("._-") == name
)
VERSIONS = st.text(string.ascii_letters + string.digits + ".+~^:-_%ü", min_size=1, max_size=12)
DEBIAN = Distribution("debian", "12")


def same(text: str, reference: PackageURL) -> bool:
    # The reference makes the digits of an escape lower case when it does so with a name.
    return PackageURL.from_string(text) == reference and text.lower() == reference.to_string().lower()


@given(NAMES, VERSIONS, st.sampled_from(["deb", "rpm", "apk", "alpm"]), st.sampled_from(["", "4"]))
def test_distributions(name: str, version: str, kind: str, epoch: str) -> None:
    text = distribution_purl(kind, DEBIAN, name, version, architecture="amd64", epoch=epoch)
    name = name if kind == "rpm" else name.lower()  # as purl-spec says; packageurl-python leaves it to its caller
    qualifiers = {"arch": "amd64", "distro": "debian-12"} | ({"epoch": epoch} if epoch else {})
    assert same(text, PackageURL(kind, "debian", name, version, qualifiers))
    assert distribution_purl(kind, Distribution(), name, version, architecture="amd64") == ""


@given(NAMES, VERSIONS)
def test_languages(name: str, version: str) -> None:
    assert same(pypi_purl(name, version), PackageURL("pypi", None, name, version))
    assert same(npm_purl(f"@acme/{name}", version), PackageURL("npm", "@acme", name, version))
    assert same(npm_purl(name, version), PackageURL("npm", None, name, version))
    assert same(gem_purl(name, version, "ruby"), PackageURL("gem", None, name, version))
    assert same(gem_purl(name, version, "java"), PackageURL("gem", None, name, version, {"platform": "java"}))


def test_os_release() -> None:
    assert parse_os_release(b'NAME="x"\nID=debian\nVERSION_ID="12"\n').label() == "debian-12"
    assert parse_os_release(b"ID='opensuse-tumbleweed'\n").label() == "opensuse-tumbleweed"
    assert parse_os_release(b'ID="a b"\nVERSION_ID=$(x)\n') == Distribution()


@given(st.binary(max_size=100))
def test_any_os_release(raw: bytes) -> None:
    parse_os_release(b"ID=" + raw + b'\nVERSION_ID="' + raw)
