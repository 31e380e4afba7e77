"""Service units on disk, their enablement and what triggers them: what `systemctl --root=DIR list-unit-files` says, by
reading.

The search path is systemd.unit(5)'s; the words and their order of precedence follow systemd's
`unit_file_lookup_state` (src/shared/install.c). Works on mounted images and in containers without systemd, and
gives the same answer whether a unit happens to be loaded or not.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import re
import stat

import msgspec

from whatchanged.collectors.files.links import Resolver
from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.outcome import Failure, Tally, reason_of
from whatchanged.collectors.services.unit_file import UnitText, parse_unit

__all__ = ["ABSENT", "SEARCH_PATH", "Stamp", "UnitFile", "UnitTree", "is_service_name", "stamp_of", "template_of"]

_CONFIG = b"/etc/systemd/system"
_RUNTIME = b"/run/systemd/"
SEARCH_PATH = (
    b"/etc/systemd/system.control",
    b"/run/systemd/system.control",
    b"/run/systemd/transient",
    b"/run/systemd/generator.early",
    b"/etc/systemd/system",
    b"/etc/systemd/system.attached",
    b"/run/systemd/system",
    b"/run/systemd/system.attached",
    b"/run/systemd/generator",
    b"/usr/local/lib/systemd/system",
    b"/lib/systemd/system",
    b"/usr/lib/systemd/system",
    b"/run/systemd/generator.late",
)
_GENERATED = (b"/run/systemd/generator", b"/run/systemd/generator.early", b"/run/systemd/generator.late")
_TRANSIENT = b"/run/systemd/transient"
Stamp = tuple[bytes, int, int]
"""Path, change time and inode of something that was read: what moves when it changes, whatever else is forged."""
ABSENT = (0, 0)
"""The time and inode of what is not there: it may come."""
_NAME = re.compile(rb"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\@-]*)?\.(service|timer|socket|path)\Z")
_DROP_INS = re.compile(rb"(.+\.)?(service|timer|socket|path)\.d\Z")
_MOST_CAUSES = 100
_LARGEST = 1024 * 1024
_MAX_NAME = 255
_MAX_LINKS = 16


class _Entry(msgspec.Struct):
    """A name in a unit folder."""

    path: bytes
    link: bytes | None = None


class UnitFile(msgspec.Struct, frozen=True):
    """A service unit file."""

    name: str
    path: str
    state: str
    """The word of `systemctl is-enabled`."""
    text: UnitText


class _Found(msgspec.Struct):
    name: bytes
    """Name that the search ended at: another one for an alias."""
    path: bytes
    mode: str
    text: UnitText


def stamp_of(path: bytes, status: os.stat_result) -> Stamp:
    """Return the stamp of `path`."""
    return path, status.st_ctime_ns, status.st_ino


def is_service_name(name: bytes) -> bool:
    """Say whether systemd would take `name` for that of a service unit."""
    return name.endswith(b".service") and _is_unit_name(name)


def _is_unit_name(name: bytes) -> bool:
    return len(name) <= _MAX_NAME and _NAME.match(name) is not None


def template_of(name: bytes) -> bytes | None:
    """Return `foo@.service` for `foo@bar.service`, None for anything but an instance."""
    stem, dot, suffix = name.rpartition(b".")
    stem, at, instance = stem.partition(b"@")
    return stem + b"@" + dot + suffix if at and instance else None


class UnitTree:
    """All unit folders of one root, as one look saw them."""

    def __init__(self, tree: Tree, tally: Tally) -> None:
        self._tree = tree
        self._tally = tally
        self._resolver = Resolver(tree, ())
        self._folders: dict[bytes, dict[bytes, _Entry]] = {}
        self._real: set[bytes] = set()
        self._wants: dict[bytes, set[bytes]] = {}
        self._drop_ins: dict[bytes, list[bytes]] = {}
        self.stamp: list[Stamp] = []
        """Everything that was read."""
        self.unreadable: set[bytes] = set()
        """Names of services that are there, but could not be read."""
        for folder in SEARCH_PATH:
            self._read_folder(folder)

    def units(self) -> list[UnitFile]:
        """Return the service unit files, each name once, sorted."""
        units = []
        names = {name for entries in self._folders.values() for name in entries if is_service_name(name)}
        for name in sorted(names):
            found = self._discover(name)
            if found is not None:
                shown = found.path if found.mode != "masked" else self._first(name).path
                units.append(UnitFile(name.decode(), os.fsdecode(shown), self._state(name, found), found.text))
        return units

    def triggers(self) -> dict[str, str | None]:
        """Return service → the timers, sockets and paths that start it: name, enablement and when; by name.

        None if one of them could not be read. Units that aliases stand for, and transient ones, are left out.
        """
        found: dict[str, list[str]] = {}
        untold: set[str] = set()
        names = {
            n for entries in self._folders.values() for n in entries if _is_unit_name(n) and not is_service_name(n)
        }
        for name in sorted(names):
            trigger = self._discover(name)
            if trigger is None:
                untold.add(_started_by(name, UnitText()))
            elif (state := self._state(name, trigger)) not in ("alias", "bad", "transient"):
                causes = _shown_causes(trigger.text)
                text = f"{name.decode()} ({'; '.join((state, *causes))})"
                found.setdefault(_started_by(name, trigger.text), []).append(text)
        return {**{name: ", ".join(texts) for name, texts in found.items()}, **dict.fromkeys(untold)}

    # Reading

    def _read_folder(self, folder: bytes) -> None:
        try:
            real = self._resolver.canonical(folder)
        except OSError as error:
            self._tally.deny(folder, reason_of(error))
            return
        if real is None:
            self.stamp.append((folder, *ABSENT))
            return
        if real in self._real:  # /lib is a link to /usr/lib
            return
        self._real.add(real)
        entries: dict[bytes, _Entry] = {}
        wants: set[bytes] = set()
        try:
            for name, mode in self._list(real):
                path = folder + b"/" + name
                if stat.S_ISDIR(mode):
                    if name.endswith((b".wants", b".requires", b".upholds")):
                        wants.update(n for n, m in self._list_inner(real + b"/" + name) if stat.S_ISLNK(m))
                    elif _DROP_INS.match(name):
                        found = (n for n, _ in self._list_inner(real + b"/" + name) if n.endswith(b".conf"))
                        self._drop_ins.setdefault(name, []).extend(path + b"/" + n for n in found)
                elif stat.S_ISLNK(mode) and _is_unit_name(name):
                    entries[name] = _Entry(path, self._tree.status_and_link(real + b"/" + name)[1])
                elif stat.S_ISREG(mode) and _is_unit_name(name):
                    entries[name] = _Entry(path)
        except FileNotFoundError:
            pass  # changed while it was read: the next look comes soon, because the stamp moved
        except OSError as error:
            self._tally.deny(folder, reason_of(error))
        self._folders[folder] = entries
        self._wants[folder] = wants

    def _list(self, folder: bytes) -> list[tuple[bytes, int]]:
        fd = self._tree.open_folder(folder)
        try:
            status = os.fstat(fd)
            self.stamp.append(stamp_of(folder, status))
            with os.scandir(fd) as found:
                return [(os.fsencode(e.name), e.stat(follow_symlinks=False).st_mode) for e in found]
        finally:
            os.close(fd)

    def _list_inner(self, folder: bytes) -> list[tuple[bytes, int]]:
        """List a folder beside the units; if that fails, the units are still there."""
        try:
            return self._list(folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._tally.deny(folder, reason_of(error))
            return []

    def _first(self, name: bytes) -> _Entry:
        return next(entries[name] for entries in self._folders.values() if name in entries)

    def _content(self, path: bytes) -> bytes | None:
        """Return the text of a unit file; None if it is masked (empty, or a device such as /dev/null)."""
        target = self._resolver.resolve(b"/", path)
        if target is None:
            self.stamp.append((path, *ABSENT))
            raise FileNotFoundError(2, "no such unit file", path)
        status = target.status
        self.stamp.append(stamp_of(target.path, status))
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return None
        with os.fdopen(self._tree.open_file(target.path), "rb") as file:
            return file.read(_LARGEST)

    # Discovery: from a name to a file

    def _discover(self, name: bytes) -> _Found | None:
        mode = ""
        asked = name
        for _ in range(_MAX_LINKS):
            found = self._find(asked)
            if found is None:
                return None
            entry = found
            if entry.link is None:
                return self._load(asked, entry.path, mode or ("alias" if asked != name else "regular"), name)
            target = self._absolute(entry)
            if target == b"/dev/null":
                return _Found(asked, entry.path, "masked", UnitText())
            base = target.rpartition(b"/")[2]
            if not self._in_search_path(target):
                return self._load(asked, entry.path, "linked", name)
            if base == asked:
                # A link to the file of the same name further down the search path.
                return self._load(asked, target, mode or ("alias" if asked != name else "regular"), name)
            asked = base
        return None

    def _find(self, name: bytes) -> _Entry | None:
        for candidate in (name, template_of(name)):
            for entries in self._folders.values():
                if candidate is not None and candidate in entries:
                    return entries[candidate]
        return None

    def _load(self, name: bytes, path: bytes, mode: str, asked: bytes) -> _Found | None:
        try:
            raw = self._content(path)
        except FileNotFoundError:
            return _Found(name, path, "bad", UnitText())
        except OSError as error:
            self._tally.fail(Failure(path, reason_of(error)))
            if is_service_name(asked):
                self.unreadable.add(asked)
            return None
        if raw is None:
            return _Found(name, path, "masked", UnitText())
        return _Found(name, path, mode, parse_unit([raw, *self._extra(asked)]))

    def _extra(self, name: bytes) -> list[bytes]:
        """Return the texts of the drop-ins, by file name; a folder earlier in the search path wins."""
        chosen: dict[bytes, bytes] = {}
        names = [name] if (template := template_of(name)) is None else [name, template]
        kind = name.rpartition(b".")[2] + b".d"
        for stem in (*(stem for one in names for stem in _drop_in_folders(one)), kind):
            for path in self._drop_ins.get(stem, ()):
                chosen.setdefault(path.rpartition(b"/")[2], path)
        texts = []
        for _, path in sorted(chosen.items()):
            try:
                texts.append(self._content(path) or b"")
            except OSError as error:
                self._tally.fail(Failure(path, reason_of(error)))
        return texts

    def _absolute(self, entry: _Entry) -> bytes:
        return os.path.normpath(os.path.join(entry.path.rpartition(b"/")[0], entry.link or b""))

    def _in_search_path(self, path: bytes) -> bool:
        folder = path.rpartition(b"/")[0]
        return folder in SEARCH_PATH

    # Enablement

    def _state(self, name: bytes, found: _Found) -> str:
        runtime = "-runtime" if found.path.startswith(_RUNTIME) else ""
        if found.mode in ("masked", "linked"):
            return found.mode + runtime
        if found.mode in ("alias", "bad"):
            return found.mode
        folder = found.path.rpartition(b"/")[0]
        if folder in _GENERATED:
            return "generated"
        if folder == _TRANSIENT:
            return "transient"
        if state := self._linked_from(name, found, known=True):
            return state
        if self._linked_from(name, found, known=False):
            return "indirect"
        if found.text.wanted_by or found.text.alias:
            return "disabled"
        return "indirect" if found.text.also else "static"

    def _linked_from(self, name: bytes, found: _Found, *, known: bool) -> str:
        """Return in which way links enable the unit, "" if in none."""
        at_all = runtime = False
        same_name = ""
        for folder, entries in self._folders.items():
            hit, same = self._hits(folder, entries, name, found, known=known)
            if hit:
                if folder == _CONFIG:
                    return "enabled"
                runtime = runtime or folder.startswith(_RUNTIME)
                at_all = True
            elif same and not same_name:
                same_name = "linked" if folder == _CONFIG else "linked-runtime" if folder.startswith(_RUNTIME) else ""
        if runtime:
            return "enabled-runtime"
        if at_all and template_of(name) is not None:
            return "static"
        return same_name

    def _hits(
        self, folder: bytes, entries: dict[bytes, _Entry], name: bytes, found: _Found, *, known: bool
    ) -> tuple[bool, bool]:
        names = self._known_names(name, found.text) if known else None
        for wanted in self._wants[folder]:
            if (wanted == name or template_of(wanted) == name) and (names is None or wanted in names):
                return True, False
        same = False
        for link, entry in entries.items():
            if entry.link is None or self._absolute(entry).rpartition(b"/")[2] != name:
                continue
            if link == name:
                same = True
            elif names is None or link in names:
                return True, same
        return False, same

    def _known_names(self, name: bytes, text: UnitText) -> set[bytes]:
        """Return the link names that `systemctl enable` would make."""
        names = {name, *(alias.encode() for alias in text.alias)}
        if b"@." in name and text.default_instance:
            names.add(name.replace(b"@.", b"@" + text.default_instance.encode() + b"."))
        return names


def _started_by(trigger: bytes, text: UnitText) -> str:
    """Return the service that a timer, socket or path unit starts."""
    stem = trigger.rpartition(b".")[0].decode()
    if text.starts:
        # Of a template, whatever the instance.
        prefix = stem.partition("@")[0]
        return re.sub("%[iIpP]", lambda found: "" if found[0] in ("%i", "%I") else prefix, text.starts)
    return f"{stem}@.service" if text.accept and "@" not in stem else f"{stem}.service"


def _shown_causes(text: UnitText) -> list[str]:
    causes = [*text.causes, *([f"RandomizedDelaySec={text.delay}"] if text.delay else [])]
    more = len(causes) - _MOST_CAUSES
    return causes if more <= 0 else [*causes[:_MOST_CAUSES], f"and {more} more"]


def _drop_in_folders(name: bytes) -> list[bytes]:
    """Return the drop-in folders of a unit: of `a-b.service` those of `a-b.service` and of `a-.service`."""
    stem, dot, suffix = name.rpartition(b".")
    cuts = [at + 1 for at in range(len(stem) - 1) if stem[at : at + 1] == b"-"]
    return [name + b".d", *(stem[:cut] + dot + suffix + b".d" for cut in reversed(cuts))]
