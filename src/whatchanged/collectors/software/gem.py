"""Ruby gems in the system's folders: what `gem list` says there, without running it.

A gem is a file `specifications/NAME-VERSION[-PLATFORM].gemspec` in a gem folder. It is Ruby code, which is not run:
RubyGems itself writes a line `# stub: NAME VERSION PLATFORM PATHS` at its top so that it need not be (RubyGems'
lib/rubygems/stub_specification.rb); older ones are asked for `s.name = "…"`. Versions of a gem stand side by side by
design, so the version is part of a gem's identity: an update is an Added, and `gem cleanup` a Removed.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re

import msgspec

from whatchanged.collectors.software.instances import beside
from whatchanged.collectors.software.language_packages import Trouble, clean, version_folders
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.purl import gem_purl
from whatchanged.records.items import SoftwareItem

__all__ = ["Gem", "gem_item"]

_BASES = (
    b"/var/lib/gems",
    b"/usr/lib/ruby/gems",
    b"/usr/lib64/ruby/gems",
    b"/usr/local/lib/ruby/gems",
    b"/usr/share/rubygems-integration",
)
_SINGLE_BASES = (b"/usr/share", b"/usr/local/share")  # Fedora's have no folder a version
_VERSION_FOLDER = re.compile(rb"all|[0-9][0-9.]{0,20}")
_GEMS = re.compile(rb"gems")
_BELOW = (b"specifications", b"specifications/default")
_STUB = re.compile(r"# stub: (\S+) (\S+) (\S+)(?: |$)")
_FIELD = re.compile(r"^ *s\.(name|version|platform|summary|authors) = (.*)$", re.MULTILINE)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(u\{[0-9A-Fa-f]{1,6}\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{1,2}|.)")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,250}")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "e": "", "0": ""}
_PURE_RUBY = "ruby"


class Gem:
    """The gem folders of the system's Ruby."""

    source = "gem"
    owns_files = False

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the gems that no package of the system owns. Raises OSError."""
        items: dict[bytes, SoftwareItem] = {}
        trouble = Trouble(root)
        for folder in (
            *version_folders(root, _BASES, _VERSION_FOLDER, *_BELOW),
            *version_folders(root, _SINGLE_BASES, _GEMS, *_BELOW),
        ):
            home = folder.removesuffix(b"/default").removesuffix(b"/specifications")
            for name in root.entries(folder):
                path = folder + b"/" + name
                if not name.endswith(b".gemspec") or path in owned:
                    continue
                try:
                    item = gem_item(root.content(path), home)
                    modified = root.tree.lstat(path).st_mtime_ns
                except (OSError, PackageDatabaseError) as error:
                    trouble.take(path, error)
                else:
                    items[item.key()] = msgspec.structs.replace(item, installed_ns=modified)
        return Look(items=tuple(items.values()), moving=trouble.moving, incomplete=trouble.incomplete)


def gem_item(raw: bytes, home: bytes) -> SoftwareItem:
    """Return the gem that a gemspec describes. Raises PackageDatabaseError. Pure.

    `home` is the gem folder it is installed in.
    """
    text = raw.decode(errors="replace")
    fields = {match[1]: _strings(match[2]) for match in _FIELD.finditer(text)}
    stub = next(filter(None, map(_STUB.match, text.split("\n", 3)[:3])), None)
    if stub is not None:
        name, version, platform = stub.groups()
    else:
        name, version, platform = ((fields.get(key) or [""])[0] for key in ("name", "version", "platform"))
    platform = platform or _PURE_RUBY
    if not all(map(_WORD.fullmatch, (name, version, platform))):
        raise PackageDatabaseError("no gem: its name, version or platform is none")
    return beside(
        SoftwareItem(
            name=name,
            version=version,
            architecture="" if platform == _PURE_RUBY else platform,
            source=Gem.source,
            publisher=clean(", ".join(fields.get("authors", []))),
            description=clean((fields.get("summary") or [""])[0]),
            instance=home.lstrip(b"/").decode(errors="replace"),
            purl=gem_purl(name, version, platform),
        )
    )


def _strings(code: str) -> list[str]:
    return [_ESCAPE.sub(_unescaped, match[1]) for match in _STRING.finditer(code)]


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 1:
        return _ESCAPES.get(code, code)
    number = int(code[1:].strip("{}"), 16)
    return chr(number) if number < 0xD800 or 0xDFFF < number < 0x110000 else "\ufffd"
