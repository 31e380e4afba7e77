"""The matcher: which paths do the file rules take?

All patterns together are one automaton over path segments, built as it is walked. A `FolderScope` is one of its
states: it says what holds for the names in a folder. Folders about which the rules say the same share one state,
so below a folder that is taken whole every folder is the same object, and a name costs nothing. What a rule excludes
is patterns of the same automaton: where one of them is fitted, the rule ends, and nothing below costs anything.

Paths are exact bytes. Whether a rule takes folders is a matter of `FileRule.type`: File rules do not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from whatchanged.rules.items import FileRule, FileType, Links, links_of
from whatchanged.rules.patterns import Segment, Wild, excluded, expand, parts_of
from whatchanged.rules.windows_patterns import fold, fold_pattern

__all__ = ["FileScope", "FolderScope", "Reason"]

_Place = tuple[int, int]
"""Number of a pattern, and how many of its segments have been fitted."""
_MAX_WEIGHT = 1_000_000
"""Places, moves and folders kept (about 100 bytes each): hostile patterns could make exponentially many states, and
each of as many places as there are patterns. Beyond it the automaton starts afresh."""
_STATE_WEIGHT = 10
_MAX_NEAR = 5


class Reason(msgspec.Struct, frozen=True):
    """Why a path is taken, or is not."""

    code: str
    """`Taken`; or `Disabled`, `Excluded`, `FilesOnly`, `NotRecursive`, `OtherName`, `NoRule`, …: for programs."""
    text: str
    """For people."""
    rule: str = ""
    """Name of the rule that it is about."""


class _Pattern(msgspec.Struct, frozen=True):
    segments: tuple[Segment, ...]
    """As names are compared with it."""
    written: tuple[Segment, ...]
    """As the rule has it (of what it excludes as above): where a walk begins."""
    rule: int
    """Number of its rule."""
    excludes: bytes = b""
    """The entry of `exclude` that it is, empty for what the rule takes."""


def _patterns(number: int, rule: FileRule, *, folds: bool) -> Iterator[_Pattern]:
    written = expand(rule)
    for segments, as_written in zip(expand(_folded(rule)) if folds else written, written, strict=True):
        yield _Pattern(segments, as_written, number)
    for entry in rule.exclude:
        segments = excluded(fold_pattern(entry) if folds else entry)
        yield _Pattern(segments, segments, number, entry)


def _folded(rule: FileRule) -> FileRule:
    return msgspec.structs.replace(rule, destination_path=fold_pattern(rule.destination_path))


class _Automaton:
    def __init__(self, rules: Sequence[FileRule], *, folds: bool) -> None:
        self.rules = rules
        self.folds = folds
        self.patterns: list[_Pattern] = []
        for number, rule in enumerate(rules):
            self.patterns += _patterns(number, rule, folds=folds)
        # What is asked of every place of every new state, side by side.
        self._ends = [len(pattern.segments) for pattern in self.patterns]
        self._owners = [pattern.rule for pattern in self.patterns]
        self._excludes = [bool(pattern.excludes) for pattern in self.patterns]
        self._any_excludes = any(self._excludes)
        self._deep = {
            (number, at)
            for number, pattern in enumerate(self.patterns)
            for at, segment in enumerate(pattern.segments)
            if segment is Wild.DEEP
        }
        self._states: dict[frozenset[_Place], FolderScope] = {}
        self.folders: dict[bytes, FolderScope] = {}
        """States by the folder they were asked for."""
        self._weight = 0

    def start(self) -> FolderScope:
        return self.state((pattern, 0) for pattern in range(len(self.patterns)))

    def state(self, places: Iterable[_Place]) -> FolderScope:
        closed = self._settled(places)
        found = self._states.get(closed)
        if found is None:
            self.grow(len(closed) + _STATE_WEIGHT)
            found = self._states[closed] = FolderScope(self, closed)
        return found

    def grow(self, weight: int) -> None:
        """Take note of what is about to be kept; forget everything if that is too much."""
        self._weight += weight
        if self._weight > _MAX_WEIGHT:
            for state in list(self._states.values()):
                state.forget()
            self._states.clear()
            self.folders.clear()
            self._weight = weight

    def _closed(self, places: Iterable[_Place]) -> set[_Place]:
        """Return `places`, and behind each `**` that may stand for nothing what follows it."""
        closed = set(places)
        deep = self._deep
        closed.update([(pattern, at + 1) for pattern, at in closed if (pattern, at) in deep])
        return closed

    def _settled(self, places: Iterable[_Place]) -> frozenset[_Place]:
        """Return what is left of `places`: nothing of a rule that is excluded, no exclusion where nothing is taken."""
        closed = self._closed(places)
        gone = self._excluding(closed)
        ends, owners, excludes = self._ends, self._owners, self._excludes
        if gone:
            closed = {(pattern, at) for pattern, at in closed if owners[pattern] not in gone}
        if self._any_excludes:
            live = {owners[pattern] for pattern, at in closed if at < ends[pattern] and not excludes[pattern]}
            closed = {place for place in closed if not excludes[place[0]] or owners[place[0]] in live}
        return frozenset(closed)

    def _excluding(self, closed: Iterable[_Place]) -> set[int]:
        if not self._any_excludes:
            return set()
        ends, owners, excludes = self._ends, self._owners, self._excludes
        return {owners[pattern] for pattern, at in closed if at == ends[pattern] and excludes[pattern]}

    def _taking(self, closed: Iterable[_Place]) -> set[int]:
        ends, owners, excludes = self._ends, self._owners, self._excludes
        return {owners[pattern] for pattern, at in closed if at == ends[pattern] and not excludes[pattern]}

    def fitted(self, settled: frozenset[_Place]) -> tuple[FileRule, ...]:
        """Return the rules that take what is at the places of a state."""
        return tuple([self.rules[number] for number in sorted(self._taking(settled))])

    def live(self, settled: frozenset[_Place]) -> tuple[FileRule, ...]:
        """Return the rules that can still take something below the places of a state."""
        ends, owners, excludes = self._ends, self._owners, self._excludes
        live = {owners[pattern] for pattern, at in settled if at < ends[pattern] and not excludes[pattern]}
        return tuple([self.rules[number] for number in sorted(live)])

    def judge(self, places: Iterable[_Place]) -> tuple[set[int], set[int]]:
        """Return the numbers of the rules that take what is at `places`, and of those that leave it out."""
        closed = self._closed(places)
        gone = self._excluding(closed)
        return self._taking(closed) - gone, gone


class FolderScope:
    """What the rules say about the names in a folder. Of a name that is no folder only `files` is ever worked out."""

    __slots__ = (
        "_automaton",
        "_links",
        "_literals",
        "_live",
        "_matchers",
        "_moves",
        "_onward",
        "_places",
        "_same",
        "_sorted",
        "_take_all",
        "files",
        "folders",
    )

    files: tuple[FileRule, ...]
    """The rules that take this folder's own path when it is no folder."""
    folders: tuple[FileRule, ...]
    """The rules that take this folder itself, as an item."""

    def __init__(self, automaton: _Automaton, places: frozenset[_Place]) -> None:
        self._automaton = automaton
        self._places = places
        self._sorted = False
        self._onward: tuple[_Place, ...] = ()
        self._literals: dict[bytes, tuple[_Place, ...]] = {}
        self._matchers: tuple[tuple[Callable[[bytes], object], tuple[_Place, ...]], ...] = ()
        self._moves: dict[object, FolderScope] = {}
        self._same: FolderScope | None = None
        self._live: tuple[FileRule, ...] | None = None
        self._links: Links | None = None
        self._take_all: tuple[tuple[FileRule, ...] | None] | None = None
        self.files = automaton.fitted(places)
        self.folders = tuple(rule for rule in self.files if rule.type is not FileType.FILE)

    def _sort(self) -> None:
        """Part the places by what they wait for; once, when something below is asked for."""
        onward: list[_Place] = []
        literals: dict[bytes, list[_Place]] = {}
        matchers: dict[bytes, tuple[Callable[[bytes], object], list[_Place]]] = {}
        for pattern, at in sorted(self._places):
            segments = self._automaton.patterns[pattern].segments
            if at == len(segments):
                continue
            segment, following = segments[at], (pattern, at + 1)
            if segment is Wild.DEEP:
                onward.append((pattern, at))
            elif isinstance(segment, Wild):
                onward.append(following)
            elif isinstance(segment, bytes):
                literals.setdefault(segment, []).append(following)
            else:
                matchers.setdefault(segment.pattern, (segment.match, []))[1].append(following)
        self._onward = tuple(onward)
        self._literals = {name: tuple(found) for name, found in literals.items()}
        self._matchers = tuple((match, tuple(found)) for match, found in matchers.values())
        self._sorted = True  # last: the policy's scope is asked by several threads

    @property
    def live(self) -> tuple[FileRule, ...]:
        """The rules that can still take something here or below."""
        if self._live is None:
            self._live = self._automaton.live(self._places)
        return self._live

    @property
    def links(self) -> Links:
        """Most watchful policy of those."""
        if self._links is None:
            self._links = links_of(self.live)
        return self._links

    @property
    def take_all(self) -> tuple[FileRule, ...] | None:
        """The rules that take *every* non-folder here (empty: none takes any); None if it depends on the name."""
        if self._take_all is None:
            self._take_all = (self._all(),)
        return self._take_all[0]

    def _all(self) -> tuple[FileRule, ...] | None:
        if not self._sorted:
            self._sort()
        automaton = self._automaton
        always, _ = automaton.judge(self._onward)
        for places in [*(found for _, found in self._matchers), *self._literals.values()]:
            taking, gone = automaton.judge(places)
            if taking - always or gone & always:
                return None
        return tuple(automaton.rules[number] for number in sorted(always))

    def __bool__(self) -> bool:
        """Whether anything in this folder or below can be taken."""
        if not self._sorted:
            self._sort()
        return bool(self._onward or self._literals or self._matchers)

    @property
    def chooses_names(self) -> bool:
        """Whether names in this folder are compared with patterns."""
        if not self._sorted:
            self._sort()
        return bool(self._matchers)

    def forget(self) -> None:
        """Drop the moves already worked out."""
        self._moves.clear()
        self._same = None

    def step(self, name: bytes) -> FolderScope:
        """Return the state of `name` in this folder."""
        if not self._sorted:
            self._sort()
        if self._automaton.folds and (self._matchers or self._literals):
            name = fold(name)
        if not self._matchers and name not in self._literals:
            same = self._same
            if same is None:
                same = self._same = self._automaton.state(self._onward)
            return same
        hits = tuple([number for number, (match, _) in enumerate(self._matchers) if match(name)])
        move = (name if name in self._literals else None, hits)
        found = self._moves.get(move)
        if found is None:
            places = [*self._onward, *self._literals.get(name, ())]
            for number in hits:
                places += self._matchers[number][1]
            state = self._automaton.state(places)
            # May forget every move, this state's too: what it found is still right.
            self._automaton.grow(len(hits) + 2)
            found = self._moves[move] = state
        return found

    def descend(self, name: bytes) -> FolderScope | None:
        """Return what holds in the folder `name` of this folder; None if nothing there or below can be taken."""
        state = self.step(name)
        return state or None

    def matching(self, name: bytes, *, folder: bool = False) -> tuple[FileRule, ...]:
        """Return the rules that take `name`; `folder` says that it is one (File rules take none)."""
        if folder:
            return self.step(name).folders
        return self.step(name).files if self.take_all is None else self.take_all

    def link_policy(self, name: bytes) -> Links:
        """Return what to do with the link `name`: the most watchful policy of the rules that take it or go below it."""
        state = self.step(name)
        return links_of([*state.files, *state.live])

    def names(self, names: Sequence[bytes]) -> list[bytes]:
        """Return those of `names` (no folders) that some rule takes."""
        if self.take_all is not None:
            return list(names) if self.take_all else []
        step = self.step
        return [name for name in names if step(name).files]


class FileScope:
    """Everything that the enabled ones of `rules` take. Raises RuleError for a rule that cannot work."""

    def __init__(self, rules: Sequence[FileRule], *, folds: bool = sys.platform == "win32") -> None:
        """`folds`: names that differ in case alone are one name, as on Windows."""
        self.all_rules: tuple[FileRule, ...] = tuple(rules)
        self.rules: tuple[FileRule, ...] = tuple(rule for rule in rules if rule.enabled)
        self._folds = folds
        self._automaton = _Automaton(self.rules, folds=folds)

    def __bool__(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self.rules)

    def roots(self) -> tuple[bytes, ...]:
        """Return the folders in which a walk must begin, sorted; none is below another."""
        roots: list[bytes] = []
        same = fold if self._folds else bytes
        begins = {_root(pattern.written) for pattern in self._automaton.patterns if not pattern.excludes}
        for root in sorted(begins, key=lambda root: (parts_of(same(root)), root)):
            # A folder that its own rule excludes holds nothing to take.
            if (not roots or not _below(same(root), same(roots[-1]))) and self.descend(root):
                roots.append(root)
        return tuple(roots)

    def for_folder(self, folder: bytes) -> FolderScope:
        """Return what holds for the names in `folder`."""
        found = self._automaton.folders.get(folder)
        if found is None:
            found = self._automaton.start()
            for name in parts_of(folder):
                found = found.step(name)
            self._automaton.grow(len(folder) // 100 + 2)
            self._automaton.folders[folder] = found
        return found

    def descend(self, folder: bytes) -> bool:
        """Whether `folder` or anything below can hold something to take."""
        return bool(self.for_folder(folder))

    def match(self, path: bytes, *, folder: bool | None = None) -> tuple[FileRule, ...]:
        """Return the enabled rules that take `path`, in their order.

        `folder` says whether the path is a folder; None leaves the type of the rules out of account.
        """
        parent, _, name = path.rstrip(b"/").rpartition(b"/")
        if not name:
            return ()
        state = self.for_folder(parent).step(name)
        return state.folders if folder else state.files

    def _of(self, rules: Sequence[FileRule]) -> FileScope:
        return FileScope(rules, folds=self._folds)

    def subset(self, names: Collection[str]) -> FileScope:
        """Return the scope of the rules with these names."""
        return self._of([rule for rule in self.all_rules if rule.name in names])

    def by_frequency(self) -> dict[float, FileScope]:
        """Return a scope for each frequency (seconds), the most frequent first."""
        return {
            frequency: self._of([rule for rule in self.rules if rule.frequency == frequency])
            for frequency in sorted({rule.frequency for rule in self.rules})
        }

    def explain(self, path: bytes, *, folder: bool = False) -> list[Reason]:
        """Say which rules take `path` (a `folder` or not), or why none does."""
        if not path.startswith(b"/"):
            return [Reason("NotAbsolute", "the path is not absolute, so no rule can take it")]
        taking = self.match(path, folder=folder)
        reasons = [Reason("Taken", _taken(rule), rule.name) for rule in taking]
        reasons += [
            Reason("FilesOnly", f"rule {rule} takes files only, and this is a folder", rule.name)
            for rule in self.match(path)
            if rule not in taking
        ]
        reasons += [
            Reason("Disabled", f"rule {rule} would take it, but is disabled", rule.name)
            for rule in self._of([_enabled(rule) for rule in self.all_rules if not rule.enabled]).match(path)
        ]
        reasons += [
            Reason("Excluded", f"rule {rule} leaves it out: it excludes {os.fsdecode(entry)}", rule.name)
            for rule, entry in self.excluded_by(path)
        ]
        if reasons:
            return reasons
        if not self.rules:
            return [Reason("NoRule", "there is no enabled file rule")]
        return [Reason("NoRule", "no rule takes it"), *self._nearly(path)]

    def excluded_by(self, path: bytes) -> list[tuple[FileRule, bytes]]:
        """Return the enabled rules that would take `path` if they did not exclude it, and the entry by which."""
        found = []
        for number in self._numbers(path, [msgspec.structs.replace(rule, exclude=()) for rule in self.rules]):
            rule = self.rules[number]
            for entry in rule.exclude:
                everything = FileRule(name="", destination_path=b"/", recurse=True, type=FileType.ANY, exclude=(entry,))
                if not self._of([everything]).match(path):
                    found.append((rule, entry))
                    break
        return found

    def _numbers(self, path: bytes, variants: Sequence[FileRule]) -> list[int]:
        """Return which of `variants` (of our rules, in their order) take `path`."""
        named = [msgspec.structs.replace(rule, name=str(number)) for number, rule in enumerate(variants)]
        return [int(rule.name) for rule in self._of(named).match(path)]

    def _nearly(self, path: bytes) -> list[Reason]:
        deeper = [msgspec.structs.replace(rule, recurse=True) for rule in self.rules]
        shallow = [self.rules[number] for number in self._numbers(path, deeper) if not self.rules[number].recurse]
        near = [Reason("NotRecursive", f"rule {rule} does not go that deep: it is not recursive", rule.name)
                for rule in shallow]  # fmt: skip
        near += [
            Reason("OtherName", f"rule {rule} looks into this folder, but not for this name", rule.name)
            for rule in self._near(path)
            if rule not in shallow
        ]
        if len(near) > _MAX_NEAR:
            near[_MAX_NEAR:] = [Reason("More", f"so it is with {len(near) - _MAX_NEAR} more")]
        return near

    def _near(self, path: bytes) -> list[FileRule]:
        """Rules with a pattern for names in the folder of `path`; rules for one other name would only be noise."""
        folder = path.rstrip(b"/").rpartition(b"/")[0]
        return [rule for rule in self.rules if self._of([rule]).for_folder(folder).chooses_names]


def _root(segments: tuple[Segment, ...]) -> bytes:
    root: list[bytes] = []
    for segment in segments[:-1]:
        if not isinstance(segment, bytes):
            break
        root.append(segment)
    return b"/" + b"/".join(root)


def _below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _taken(rule: FileRule) -> str:
    only = ", files only" if rule.type is FileType.FILE else ""
    return f"rule {rule} takes it (links: {rule.links.value}{only}; every {rule.frequency:g} s)"


def _enabled(rule: FileRule) -> FileRule:
    return msgspec.structs.replace(rule, enabled=True)
