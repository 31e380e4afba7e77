"""The matcher, against a slow independent one."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatchanged.errors import RuleError
from whatchanged.rules import FileRule, FileScope, FileType, Links, links_of
from whatchanged.rules.patterns import Segment, Wild, expand, parts_of, segment_of


def rule(
    path: bytes, *, recurse: bool = False, name: str = "r", kind: FileType = FileType.FILE, **more: object
) -> FileRule:
    return FileRule(name=name, destination_path=path, recurse=recurse, type=kind, **more)  # type: ignore[arg-type]


def takes(scope: FileScope, path: bytes) -> bool:
    return bool(scope.match(path))


@pytest.mark.parametrize(
    ("pattern", "recurse", "yes", "no"),
    [
        (b"/etc/passwd", False, [b"/etc/passwd"], [b"/etc/passwd-", b"/etc/passwd/x", b"/etc", b"/x/etc/passwd"]),
        (b"/etc/.*.conf", True, [b"/etc/a.conf", b"/etc/x/y/.conf"], [b"/etc/a.confx", b"/a.conf"]),
        (b"/etc/.*.conf", False, [b"/etc/a.conf", b"/etc/.conf"], [b"/etc/x/a.conf"]),
        (b"/etc/*.conf", True, [b"/etc/.hidden.conf"], [b"/etc/conf"]),
        (b"/etc/*.*", False, [b"/etc/a", b"/etc/a.b"], [b"/etc/x/a.b"]),
        (b"/etc/ssh/", False, [b"/etc/ssh/sshd_config"], [b"/etc/ssh/d/x", b"/etc/ssh"]),
        (b"/etc/ssh/*", True, [b"/etc/ssh/a", b"/etc/ssh/d/x"], [b"/etc/ssh", b"/etc/sshx"]),
        (b"/etc/ssh", True, [b"/etc/ssh", b"/etc/ssh/d/x"], [b"/etc/sshx"]),
        (b"/home/*/.ssh/auth*", False, [b"/home/u/.ssh/authorized_keys"], [b"/home/u/v/.ssh/authorized_keys"]),
        (b"/srv/**/x.?", False, [b"/srv/x.1", b"/srv/a/b/x.1"], [b"/srv/x.11", b"/srv/x."]),
        (b"/srv/**", False, [b"/srv/a", b"/srv/a/b"], [b"/srv"]),
        (b"/srv/[!a-c]*/x", False, [b"/srv/d/x"], [b"/srv/a/x"]),
        (b"/home/.*/x", False, [b"/home/.a/x"], [b"/home/a/x"]),
        (b"//etc//./passwd", False, [b"/etc/passwd"], []),
        (b"/", True, [b"/a", b"/a/b"], []),
        (b"/opt/\xff*", False, [b"/opt/\xff\xfe"], [b"/opt/\xc3\xbf"]),
    ],
)
def test_meaning(pattern: bytes, recurse: bool, yes: list[bytes], no: list[bytes]) -> None:
    scope = FileScope([rule(pattern, recurse=recurse)])
    assert [p for p in yes if not takes(scope, p)] == []
    assert [p for p in no if takes(scope, p)] == []


def test_a_directory_rule_takes_the_folder_and_what_is_in_it() -> None:
    flat = FileScope([rule(b"/opt/app", kind=FileType.DIRECTORY)])
    assert flat.match(b"/opt/app", folder=True)
    assert flat.match(b"/opt/app/sub", folder=True)
    assert not flat.match(b"/opt/app/sub/x")
    deep = FileScope([rule(b"/opt/app/", kind=FileType.DIRECTORY, recurse=True)])
    assert deep.match(b"/opt/app", folder=True)
    assert deep.match(b"/opt/app/sub/x")
    assert not deep.match(b"/opt/apple", folder=True)


def test_file_rules_take_no_folders() -> None:
    scope = FileScope([rule(b"/etc/*", name="files"), rule(b"/etc/*", name="any", kind=FileType.ANY)])
    assert [r.name for r in scope.match(b"/etc/x", folder=True)] == ["any"]
    assert [r.name for r in scope.for_folder(b"/etc").matching(b"x", folder=True)] == ["any"]
    assert [r.name for r in scope.for_folder(b"/etc").matching(b"x")] == ["files", "any"]


def test_all_rules_that_match_are_named_in_their_order() -> None:
    scope = FileScope([rule(b"/etc/*", name="a"), rule(b"/etc/x", name="off", enabled=False), rule(b"/**/x", name="b")])
    assert [r.name for r in scope.match(b"/etc/x")] == ["a", "b"]
    assert [r.name for r in scope.subset({"b"}).match(b"/etc/x")] == ["b"]
    assert not scope.subset(set())


def test_the_more_watchful_link_policy_wins() -> None:
    manage, follow = rule(b"/a/*", links=Links.MANAGE), rule(b"/a/b/*", links=Links.FOLLOW)
    assert links_of([manage, follow]) is Links.FOLLOW
    assert links_of([]) is Links.IGNORE
    scope = FileScope([manage, rule(b"/a/x*", links=Links.IGNORE), follow])
    assert scope.for_folder(b"/a").links is Links.FOLLOW
    assert FileScope([manage]).for_folder(b"/a").links is Links.MANAGE


def test_roots_hold_everything_and_none_is_below_another() -> None:
    scope = FileScope(
        [
            rule(b"/etc/a/b"),
            rule(b"/etc/*.conf", recurse=True),
            rule(b"/etcx/y"),
            rule(b"/home/*/x"),
            rule(b"/var/l*/z"),
        ]
    )
    assert scope.roots() == (b"/etc", b"/etcx", b"/home", b"/var")
    assert FileScope([rule(b"/vmlinuz"), rule(b"/etc/x")]).roots() == (b"/",)
    assert FileScope([]).roots() == ()
    # '-' sorts before '/': neighbours in byte order are no neighbours in the tree
    assert FileScope([rule(b"/a/x"), rule(b"/a-b/x"), rule(b"/a/c/x")]).roots() == (b"/a", b"/a-b")


def test_a_folder_taken_whole_costs_nothing_a_name() -> None:
    scope = FileScope([rule(b"/usr/**"), rule(b"/usr/bin/x*", name="second", enabled=False)])
    folder = scope.for_folder(b"/usr/lib")
    assert folder.take_all == scope.rules
    assert scope.for_folder(b"/usr/lib/a/b/c") is folder
    assert scope.for_folder(b"/opt").take_all == ()
    assert not scope.descend(b"/opt")
    assert scope.descend(b"/")
    assert FileScope([rule(b"/etc/*.conf")]).for_folder(b"/etc").take_all is None


def test_take_all_is_given_where_only_folders_below_differ() -> None:
    scope = FileScope([rule(b"/etc/*"), rule(b"/etc/ssh/key", name="key")])
    assert scope.for_folder(b"/etc").take_all == scope.rules[:1]
    assert [r.name for r in scope.match(b"/etc/ssh/key")] == ["key"]


def test_identity_is_what_is_selected() -> None:
    one = rule(b"/etc/*", name="a", frequency=1.0)
    assert one.identity() == rule(b"/etc/*", name="b", frequency=5.0, enabled=False).identity()
    others = [
        rule(b"/etc/x"),
        rule(b"/etc/*", recurse=True),
        rule(b"/etc/*", links=Links.MANAGE),
        rule(b"/etc/*", kind=FileType.ANY),
    ]
    assert len({one.identity(), *(r.identity() for r in others)}) == 5


def test_each_frequency_has_its_scope() -> None:
    scopes = FileScope(
        [rule(b"/a/*", frequency=60.0), rule(b"/b/*", frequency=1.0), rule(b"/c/*", frequency=60.0)]
    ).by_frequency()
    assert list(scopes) == [1.0, 60.0]
    assert scopes[60.0].roots() == (b"/a", b"/c")


def test_explain_says_why() -> None:
    scope = FileScope(
        [
            rule(b"/etc/*.conf", name="Conf", exclude=(b"*~*", b"/etc/x.conf.d")),
            rule(b"/etc/x", name="Off", enabled=False),
            rule(b"/etc/y"),
        ]
    )

    def said(path: bytes, *, folder: bool = False) -> list[tuple[str, str]]:
        return [(reason.code, reason.text) for reason in scope.explain(path, folder=folder)]

    assert said(b"/etc/a.conf")[0][1].startswith("rule Conf (/etc/*.conf) takes it")
    assert said(b"/etc/a.conf", folder=True) == [
        ("FilesOnly", "rule Conf (/etc/*.conf) takes files only, and this is a folder")
    ]
    assert said(b"/etc/x") == [("Disabled", "rule Off (/etc/x) would take it, but is disabled")]
    assert said(b"/etc/a~b.conf") == [("Excluded", "rule Conf (/etc/*.conf) leaves it out: it excludes *~*")]
    assert said(b"/etc/z") == [
        ("NoRule", "no rule takes it"),
        ("OtherName", "rule Conf (/etc/*.conf) looks into this folder, but not for this name"),
    ]
    assert said(b"/etc/d/z.conf") == [
        ("NoRule", "no rule takes it"),
        ("NotRecursive", "rule Conf (/etc/*.conf) does not go that deep: it is not recursive"),
    ]
    assert said(b"/usr/z") == [("NoRule", "no rule takes it")]
    assert [reason.text for reason in FileScope([]).explain(b"/usr/z")] == ["there is no enabled file rule"]
    assert said(b"etc")[0][0] == "NotAbsolute"


def test_a_rule_that_cannot_work_is_refused() -> None:
    with pytest.raises(RuleError):
        FileScope([rule(b"relative")])


@pytest.mark.parametrize(
    ("exclude", "no", "yes"),
    [
        (b"/srv/app/cache", [b"/srv/app/cache", b"/srv/app/cache/a/b"], [b"/srv/app/cache.db", b"/srv/cache"]),
        (b"/srv/app/cache/", [b"/srv/app/cache", b"/srv/app/cache/a"], [b"/srv/app/cachex"]),
        (b"/srv/*/tmp/**", [b"/srv/a/tmp/x", b"/srv/a/tmp/x/y"], [b"/srv/a/tmp", b"/srv/a/b/tmp/x"]),
        (b"*.swp", [b"/srv/x.swp", b"/srv/a/.y.swp", b"/srv/d.swp/in"], [b"/srv/swp", b"/srv/x.swpx"]),
        (b".*.swp", [b"/srv/a/.y.swp"], [b"/srv/x.swp"]),
        (b"cache/[0-9]*", [b"/srv/cache/1", b"/srv/a/cache/22/x"], [b"/srv/cache/a", b"/srv/1"]),
        (b"/**/node_modules", [b"/srv/node_modules/x", b"/srv/a/node_modules"], [b"/srv/node_module"]),
    ],
)
def test_what_a_rule_excludes(exclude: bytes, no: list[bytes], yes: list[bytes]) -> None:
    scope = FileScope([rule(b"/srv/**", exclude=(exclude,))])
    assert [p for p in no if takes(scope, p)] == []
    assert [p for p in yes if not takes(scope, p)] == []


def test_an_exclusion_is_of_its_own_rule_alone() -> None:
    narrow = rule(b"/srv/**", name="narrow", exclude=(b"/srv/cache",), links=Links.FOLLOW)
    key = rule(b"/srv/cache/*.key", name="key", links=Links.MANAGE)
    scope = FileScope([narrow, key])
    assert [r.name for r in scope.match(b"/srv/cache/a.key")] == ["key"]
    assert not scope.match(b"/srv/cache/a")
    assert scope.for_folder(b"/srv/cache").links is Links.MANAGE
    assert not scope.descend(b"/srv/cache/below")
    assert FileScope([narrow]).for_folder(b"/srv/other").take_all == (narrow,)


def test_a_rule_that_excludes_the_folder_where_it_begins_has_no_root() -> None:
    assert FileScope([rule(b"/srv/a/**", exclude=(b"/srv",)), rule(b"/srv/b/*")]).roots() == (b"/srv/b",)
    with pytest.raises(RuleError, match="everything"):
        FileScope([rule(b"/srv/**", exclude=(b"*",))])


def test_identity_knows_exclusions() -> None:
    one = rule(b"/etc/*", exclude=(b"a", b"b"))
    assert one.identity() == rule(b"/etc/*", exclude=(b"b", b"a")).identity()
    assert one.identity() != rule(b"/etc/*").identity()


def test_states_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile patterns: of 60 every name fits others, so that each folder is a state of its own with many places."""
    most = 2_000
    monkeypatch.setattr("whatchanged.rules.scope._MAX_WEIGHT", most)
    patterns = [rule(b"/**/*%c*%c*/x" % (c, d)) for c in range(97, 107) for d in range(97, 103)]
    scope = FileScope([*patterns, rule(b"/q*/**", exclude=tuple(b"*%c%c*" % (c, c) for c in range(97, 107)))])
    folder = scope.for_folder(b"/qz")
    chance = random.Random(1)
    for _ in range(200):
        name = bytes(chance.choices(range(97, 107), k=6))
        path = b"/" + name + b"/x"
        assert takes(scope, path) == any(takes(FileScope([one]), path) for one in patterns)
        assert bool(folder.matching(name)) == all(name[n] != name[n + 1] for n in range(5))
        states = set(scope._automaton._states.values())
        kept = sum(len(places) for places in scope._automaton._states)
        moves = sum(len(state._moves) for state in states)
        assert kept + moves + len(scope._automaton.folders) <= most


# --- against a slow, independent matcher


def slow(segments: tuple[Segment, ...], parts: list[bytes]) -> bool:
    if not segments:
        return not parts
    first, rest = segments[0], segments[1:]
    if first is Wild.DEEP:
        return any(slow(rest, parts[n:]) for n in range(len(parts) + 1))
    if not parts:
        return False
    fits = isinstance(first, Wild) or (first == parts[0] if isinstance(first, bytes) else first.match(parts[0]))
    return bool(fits) and slow(rest, parts[1:])


def left_out(r: FileRule, path: bytes) -> bool:
    """Whether the path, or a folder above it, fits an exclusion: taken apart by hand."""
    parts = parts_of(path)
    for entry in r.exclude:
        wanted = parts_of(entry if entry.startswith(b"/") else b"/**/" + entry)
        segments = tuple(segment_of(part) for part in (*wanted[:-1], b"*" if wanted[-1] == b"**" else wanted[-1]))
        if any(slow(segments, parts[:end]) for end in range(1, len(parts) + 1)):
            return True
    return False


NAME = st.sampled_from([b"a", b"b", b"ab", b"abc", b".a", b"\xff"])
PATHS = st.lists(NAME, min_size=1, max_size=5).map(lambda parts: b"/" + b"/".join(parts))
PART = st.sampled_from([b"a", b"b", b"ab", b"*", b"**", b"a*", b"?", b"[ab]", b"*b*", b".*"])
EXCLUDES = (
    st.tuples(st.sampled_from([b"", b"/"]), st.lists(PART, min_size=1, max_size=3))
    .map(lambda parts: parts[0] + b"/".join(parts[1]))
    .filter(lambda entry: entry.strip(b"/*") != b"")
)
RULES = st.lists(
    st.builds(
        rule,
        st.lists(PART, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts)),
        recurse=st.booleans(),
        kind=st.sampled_from(FileType),
        exclude=st.lists(EXCLUDES, max_size=3).map(tuple),
    ),
    max_size=5,
)


@given(RULES, st.lists(PATHS, min_size=1, max_size=8))
@settings(max_examples=300)
def test_agrees_with_a_slow_matcher(rules: list[FileRule], paths: list[bytes]) -> None:
    scope = FileScope(rules)
    for path in paths:
        expected = tuple(r for r in rules if any(slow(s, parts_of(path)) for s in expand(r)) and not left_out(r, path))
        assert scope.match(path) == expected
        assert {r for r, _ in scope.excluded_by(path)} == {
            r for r in rules if any(slow(s, parts_of(path)) for s in expand(r)) and left_out(r, path)
        }
        parent, _, name = path.rpartition(b"/")
        folder = scope.for_folder(parent)
        assert folder.matching(name) == expected
        assert folder.names([name]) == ([name] if expected else [])
        if folder.take_all is not None:
            assert folder.take_all == expected
        if expected:
            assert any(path.startswith(root.rstrip(b"/") + b"/") for root in scope.roots())
            assert scope.descend(parent or b"/")


# --- asked by several threads, as the policy's scope is


def test_several_threads_get_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whatchanged.rules.scope._MAX_WEIGHT", 300)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    scope = FileScope([rule(b"/a/**/x*", recurse=True, exclude=(b"/a/b/**/xx",)), rule(b"/*/c/**")])
    chance = random.Random(2)
    paths = [b"/" + b"/".join(chance.choices([b"a", b"b", b"c", b"x", b"xx"], k=5)) for _ in range(300)]
    expected = [FileScope(scope.rules).match(path) for path in paths]
    try:
        with ThreadPoolExecutor(4) as pool:
            for answers in pool.map(lambda _: [scope.match(path) for path in paths], range(12)):
                assert answers == expected
    finally:
        sys.setswitchinterval(interval)
