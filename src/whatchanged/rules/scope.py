"""The matcher: which paths do the file rules take?

All patterns together are one automaton over path segments, built as it is walked. A `FolderScope` is one of its
states: it says what holds for the names in a folder. Folders about which the rules say the same share one state,
so below a folder that is taken whole every folder is the same object, and a name costs nothing.

Paths are exact bytes. Whether a rule takes folders is a matter of `FileRule.type`: File rules do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from whatchanged.rules.items import FileRule, FileType, Links, links_of
from whatchanged.rules.patterns import Segment, Wild, expand, parts_of

__all__ = ["FileScope", "FolderScope"]

_Place = tuple[int, int]
"""Number of a pattern, and how many of its segments have been fitted."""
_MAX_STATES = 20_000
"""States kept: hostile patterns could make exponentially many. Beyond it the automaton starts afresh."""
_MAX_FOLDERS = 50_000
_MAX_NEAR = 5


class _Automaton:
    def __init__(self, rules: Sequence[FileRule]) -> None:
        self.rules = rules
        self.patterns: list[tuple[tuple[Segment, ...], int]] = []
        for number, rule in enumerate(rules):
            self.patterns += ((segments, number) for segments in expand(rule))
        self._states: dict[frozenset[_Place], FolderScope] = {}

    def start(self) -> FolderScope:
        return self.state((pattern, 0) for pattern in range(len(self.patterns)))

    def state(self, places: Iterable[_Place]) -> FolderScope:
        closed = frozenset(self._closed(places))
        found = self._states.get(closed)
        if found is None:
            if len(self._states) >= _MAX_STATES:
                for state in self._states.values():
                    state.forget()
                self._states.clear()
            found = self._states[closed] = FolderScope(self, closed)
        return found

    def _closed(self, places: Iterable[_Place]) -> Iterable[_Place]:
        for pattern, at in places:
            yield pattern, at
            segments = self.patterns[pattern][0]
            if at < len(segments) and segments[at] is Wild.DEEP:
                yield pattern, at + 1

    def taken(self, places: Iterable[_Place]) -> tuple[FileRule, ...]:
        numbers = {self.patterns[p][1] for p, at in self._closed(places) if at == len(self.patterns[p][0])}
        return tuple(self.rules[number] for number in sorted(numbers))


class FolderScope:
    """What the rules say about the names in a folder."""

    __slots__ = (
        "_automaton",
        "_literals",
        "_matchers",
        "_moves",
        "_onward",
        "_same",
        "files",
        "folders",
        "links",
        "live",
        "take_all",
    )

    live: tuple[FileRule, ...]
    """The rules that can still take something here or below."""
    links: Links
    """Most watchful policy of those."""
    take_all: tuple[FileRule, ...] | None
    """The rules that take *every* non-folder in this folder (empty: none takes any); None if it depends on the name."""
    files: tuple[FileRule, ...]
    """The rules that take this folder's own path when it is no folder."""
    folders: tuple[FileRule, ...]
    """The rules that take this folder itself, as an item."""

    def __init__(self, automaton: _Automaton, places: frozenset[_Place]) -> None:
        self._automaton = automaton
        self._onward: tuple[_Place, ...]
        self._literals: dict[bytes, tuple[_Place, ...]] = {}
        self._matchers: tuple[tuple[Callable[[bytes], object], tuple[_Place, ...]], ...]
        self._moves: dict[object, FolderScope] = {}
        self._same: FolderScope | None = None
        self.files = automaton.taken(places)
        self.folders = tuple(rule for rule in self.files if rule.type is not FileType.FILE)
        self._sort(places)
        live = {automaton.patterns[p][1] for p, at in places if at < len(automaton.patterns[p][0])}
        self.live = tuple(automaton.rules[number] for number in sorted(live))
        self.links = links_of(self.live)
        self.take_all = self._take_all()

    def _sort(self, places: frozenset[_Place]) -> None:
        onward: list[_Place] = []
        literals: dict[bytes, list[_Place]] = {}
        matchers: dict[bytes, tuple[Callable[[bytes], object], list[_Place]]] = {}
        for pattern, at in sorted(places):
            segments = self._automaton.patterns[pattern][0]
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

    def _take_all(self) -> tuple[FileRule, ...] | None:
        always = self._automaton.taken(self._onward)
        sometimes = [places for _, places in self._matchers] + list(self._literals.values())
        more = any(rule not in always for places in sometimes for rule in self._automaton.taken(places))
        return None if more else always

    def __bool__(self) -> bool:
        """Whether anything in this folder or below can be taken."""
        return bool(self._onward or self._literals or self._matchers)

    @property
    def chooses_names(self) -> bool:
        """Whether names in this folder are compared with patterns."""
        return bool(self._matchers)

    def forget(self) -> None:
        """Drop the moves already worked out."""
        self._moves.clear()
        self._same = None

    def step(self, name: bytes) -> FolderScope:
        """Return the state of `name` in this folder."""
        if not self._matchers and name not in self._literals:
            if self._same is None:
                self._same = self._automaton.state(self._onward)
            return self._same
        hits = tuple([number for number, (match, _) in enumerate(self._matchers) if match(name)])
        move = (name if name in self._literals else None, hits)
        found = self._moves.get(move)
        if found is None:
            places = [*self._onward, *self._literals.get(name, ())]
            for number in hits:
                places += self._matchers[number][1]
            found = self._moves[move] = self._automaton.state(places)
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

    def __init__(self, rules: Sequence[FileRule]) -> None:
        self.all_rules: tuple[FileRule, ...] = tuple(rules)
        self.rules: tuple[FileRule, ...] = tuple(rule for rule in rules if rule.enabled)
        self._automaton = _Automaton(self.rules)
        self._folders: dict[bytes, FolderScope] = {}

    def __bool__(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self.rules)

    def roots(self) -> tuple[bytes, ...]:
        """Return the folders in which a walk must begin, sorted; none is below another."""
        roots: list[bytes] = []
        for root in sorted({_root(segments) for segments, _ in self._automaton.patterns}, key=parts_of):
            if not roots or not _below(root, roots[-1]):
                roots.append(root)
        return tuple(roots)

    def for_folder(self, folder: bytes) -> FolderScope:
        """Return what holds for the names in `folder`."""
        found = self._folders.get(folder)
        if found is None:
            found = self._automaton.start()
            for name in parts_of(folder):
                found = found.step(name)
            if len(self._folders) >= _MAX_FOLDERS:
                self._folders.clear()
            self._folders[folder] = found
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

    def subset(self, names: Collection[str]) -> FileScope:
        """Return the scope of the rules with these names."""
        return FileScope([rule for rule in self.all_rules if rule.name in names])

    def by_frequency(self) -> dict[float, FileScope]:
        """Return a scope for each frequency (seconds), the most frequent first."""
        return {
            frequency: FileScope([rule for rule in self.rules if rule.frequency == frequency])
            for frequency in sorted({rule.frequency for rule in self.rules})
        }

    def explain(self, path: bytes) -> list[str]:
        """Say for people which rules take `path`, or why none does."""
        if not path.startswith(b"/"):
            return ["the path is not absolute, so no rule can take it"]
        lines = [_taken(rule) for rule in self.match(path)]
        disabled = FileScope([_enabled(rule) for rule in self.all_rules if not rule.enabled])
        lines += [f"rule {rule} would take it, but is disabled" for rule in disabled.match(path)]
        if lines:
            return lines
        near = [f"rule {rule} looks into this folder, but not for this name" for rule in self._near(path)]
        if len(near) > _MAX_NEAR:
            near[_MAX_NEAR:] = [f"so do {len(near) - _MAX_NEAR} more"]
        return ["no rule takes it", *near] if self.rules else ["there is no enabled file rule"]

    def _near(self, path: bytes) -> list[FileRule]:
        """Rules with a pattern for names in the folder of `path`; rules for one other name would only be noise."""
        folder = path.rstrip(b"/").rpartition(b"/")[0]
        return [rule for rule in self.rules if FileScope([rule]).for_folder(folder).chooses_names]


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
