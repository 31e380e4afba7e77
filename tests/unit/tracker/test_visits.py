"""Who came to a package database or a unit folder, and which files belong to what."""

from __future__ import annotations

import pytest

from whatchanged.records.items import Kind
from whatchanged.tracker.places import EVERY_UNIT, fits_unit, place_scope, subject_of
from whatchanged.tracker.visits import Columns, Visits, common

DPKG: Columns = {"InitiatingProcessName": "dpkg", "InitiatingProcessAccountName": "root", "InitiatingProcessId": 1}
APT: Columns = {"InitiatingProcessName": "apt", "InitiatingProcessAccountName": "root"}
NOTHING: frozenset[bytes] = frozenset()


@pytest.fixture
def visits() -> Visits:
    """Of a kind that was looked at whole, so that nobody can have come unseen."""
    made = Visits()
    made.settle(1, NOTHING)
    return made


def pids(visits: Visits) -> list[int]:
    return [visit.pid for visit in visits.seen().visits]


def test_before_the_first_look_anybody_may_have_come() -> None:
    made = Visits()
    made.add(7, 1, 10, 20, b"dpkg")
    assert not made.seen().known
    made.settle(5, NOTHING)
    assert made.seen().known


def test_who_came_while_a_look_was_under_way_counts_for_the_next_one_too(visits: Visits) -> None:
    visits.add(7, 1, 10, 20, b"dpkg")
    visits.add(8, 2, 20, 40, b"dpkg")
    visits.settle(30, NOTHING)
    assert pids(visits) == [8]
    visits.settle(41, NOTHING)
    assert pids(visits) == []


def test_what_was_not_taken_over_keeps_its_visits(visits: Visits) -> None:
    visits.add(7, 1, 10, 20, b"dpkg")
    visits.add(7, 2, 10, 20, b"rpm")
    visits.settle(30, frozenset({b"rpm"}))
    assert [visit.subjects for visit in visits.seen().visits] == [{b"rpm"}]


def test_after_a_loss_a_held_subject_stays_in_doubt_until_it_is_taken_over(visits: Visits) -> None:
    visits.lose(50)
    assert not visits.seen().known
    visits.settle(50, NOTHING)  # a look that began no later than the loss sees nothing of it
    assert not visits.seen().known
    visits.settle(60, frozenset({b"rpm"}))
    assert (visits.seen().known, visits.seen().doubted) == (True, frozenset({b"rpm"}))
    visits.settle(70, NOTHING)
    assert visits.seen().doubted == NOTHING


def test_a_process_that_comes_again_after_it_was_told_is_asked_for_again(visits: Visits) -> None:
    visits.add(7, 1, 10, 20, b"dpkg")
    (asked,) = visits.untold(100)
    visits.tell(asked, 20, DPKG)
    assert visits.untold(100) == []
    visits.add(7, 2, 30, 40, b"rpm")
    (again,) = visits.untold(100)
    visits.tell(again, 40, DPKG)
    assert [(v.since_ns, v.until_ns, v.subjects) for v in visits.seen().visits] == [(10, 40, {b"dpkg", b"rpm"})]


def test_a_process_that_came_while_it_was_asked_for_is_not_told(visits: Visits) -> None:
    visits.add(7, 1, 10, 20, b"dpkg")
    (asked,) = visits.untold(100)
    visits.add(7, 2, 30, 40, b"dpkg")
    visits.tell(asked, 20, DPKG)
    assert [visit.columns for visit in visits.seen().visits] == [None]


def test_too_many_make_everything_unknown_and_are_bounded(visits: Visits) -> None:
    for pid in range(1, 2000):
        visits.add(pid, pid, pid, pid, b"dpkg")
    assert not visits.seen().known
    assert len(visits.seen().visits) <= 256
    visits.settle(2000, NOTHING)
    for number in range(2000):
        visits.add(7, 3000, 3000, 3000, b"%d" % number)
    assert not visits.seen().known


def test_what_several_have_in_common_is_nothing_without_a_program() -> None:
    again: Columns = {**DPKG, "InitiatingProcessId": 2}
    assert common([DPKG, again]) == {"InitiatingProcessName": "dpkg", "InitiatingProcessAccountName": "root"}
    assert common([DPKG, APT]) == {}
    assert common([DPKG, {}]) == {}


@pytest.mark.parametrize(
    ("kind", "path", "subject"),
    [
        (Kind.SOFTWARE, b"/var/lib/dpkg/status", b"dpkg"),
        (Kind.SOFTWARE, b"/var/lib/dpkg/updates/0001", b"dpkg"),
        (Kind.SOFTWARE, b"/usr/lib/sysimage/rpm/rpmdb.sqlite", b"rpm"),
        (Kind.SOFTWARE, b"/var/lib/dpkg/lock", None),
        (Kind.DAEMONS, b"/etc/systemd/system/a.service", b"a.service"),
        (Kind.DAEMONS, b"/etc/systemd/system/multi-user.target.wants/a.service", b"+a.service"),
        (Kind.DAEMONS, b"/usr/lib/systemd/system/a.service.d/x.conf", b"a.service"),
        (Kind.DAEMONS, b"/usr/lib/systemd/system/a.service.d", b"a.service"),
        (Kind.DAEMONS, b"/usr/lib/systemd/system/a-.service.d/x.conf", EVERY_UNIT),
        (Kind.DAEMONS, b"/etc/systemd/system/service.d/x.conf", EVERY_UNIT),
        (Kind.DAEMONS, b"/etc/systemd/system/a.target", None),
        (Kind.DAEMONS, b"/etc/init.d/old", b"old.service"),
        (Kind.DAEMONS, b"/etc/rc3.d/S01old", b"old.service"),
        (Kind.FILES, b"/etc/passwd", None),
    ],
)
def test_what_a_file_belongs_to(kind: Kind, path: bytes, subject: bytes | None) -> None:
    scope = place_scope(kind)
    assert subject is None or (scope is not None and scope.match(path))
    assert subject_of(kind, path) == subject


def test_a_template_and_its_instances_are_changed_together() -> None:
    assert fits_unit(b"a@.service", b"a@1.service")
    assert fits_unit(b"+a@1.service", b"a@.service")
    assert fits_unit(EVERY_UNIT, b"b.service")
    assert not fits_unit(b"a@.service", b"a.service")
    assert not fits_unit(b"+a.service", b"b.service")
