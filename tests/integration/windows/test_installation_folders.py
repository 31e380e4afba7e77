"""The folders of an installation: made closed, refused where others may have been before us."""

import sys

assert sys.platform == "win32"  # mypy's platform branch

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import win32security

from whatchanged.cli.windows_services.access import ANY, WRITE, outer_list
from whatchanged.cli.windows_services.definition import FORWARDER, TRACKER
from whatchanged.cli.windows_services.folders import make_folders, make_settings_folder, strangers_at
from whatchanged.errors import SettingsError
from whatchanged.ipc import folder_owner, own_account
from whatchanged.settings import DataFolder

OUTER = outer_list(FORWARDER.sid)
ACCOUNTS = (TRACKER.sid, FORWARDER.sid)
EVERYONE_ALL = "D:P(A;OICI;FA;;;WD)"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of our own where the installations are."""
    made = Path(DataFolder.default().path).with_name(f"whatchanged-{uuid.uuid4()}")
    yield made
    if made.exists():
        shutil.rmtree(made)


def set_list(path: Path, text: str) -> None:
    descriptor = win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(text, 1)
    win32security.SetFileSecurity(str(path), win32security.DACL_SECURITY_INFORMATION, descriptor)


def strangers(path: Path, rights: int = ANY) -> list[str]:
    return strangers_at(str(path), rights, ACCOUNTS)


def test_a_folder_is_closed_from_its_beginning(place: Path) -> None:
    make_folders({str(place): OUTER, str(place / "in"): OUTER}, ACCOUNTS)
    assert strangers(place) == strangers(place / "in") == []


def test_a_folder_that_was_open_is_closed_with_all_that_is_in_it(place: Path) -> None:
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "file").write_text("kept")
    open_ones = (place, place / "deep", place / "deep" / "file", place / "deep" / "er")
    for path in open_ones:
        set_list(path, EVERYONE_ALL)
        assert strangers(path, WRITE)
    make_folders({str(place): OUTER}, ACCOUNTS)
    assert [strangers(path) for path in open_ones] == [[]] * 4
    assert (place / "deep" / "file").read_text() == "kept"


def test_a_file_with_another_name_elsewhere_is_refused_before_anything_in_there_changes(place: Path) -> None:
    (place / "a").mkdir(parents=True)
    target = place.with_name(f"{place.name}-target")
    target.write_text("x")
    set_list(target, EVERYONE_ALL)
    try:
        os.link(target, place / "a" / "b")
        with pytest.raises(SettingsError, match="b has another name elsewhere"):
            make_folders({str(place): OUTER}, ACCOUNTS)
        assert strangers(target, WRITE), "as it was"
        assert strangers(place) == [], "nobody adds to what is about to be looked at"
    finally:
        target.unlink()


def test_settings_are_closed_and_folders_beside_them_are_left_to_who_works_there(place: Path) -> None:
    (place / "at work").mkdir(parents=True)
    (place / "config.toml").write_text("")
    for path in (place, place / "at work", place / "config.toml"):
        set_list(path, EVERYONE_ALL)
    make_settings_folder(str(place), OUTER, ACCOUNTS)
    assert strangers(place) == strangers(place / "config.toml") == []
    assert strangers(place / "at work", WRITE)


def test_settings_that_somebody_may_have_planted_are_refused(place: Path) -> None:
    place.mkdir()
    target = place.with_name(f"{place.name}-target")
    target.write_text("")
    try:
        os.link(target, place / "config.toml")
        with pytest.raises(SettingsError, match=r"config.toml has another name elsewhere"):
            make_settings_folder(str(place), OUTER, ACCOUNTS)
    finally:
        target.unlink()


def test_a_folder_that_others_may_put_another_in_the_place_of_is_refused(place: Path) -> None:
    place.mkdir()
    set_list(place, EVERYONE_ALL)
    with pytest.raises(SettingsError, match="may be replaced by"):
        make_folders({str(place / "data"): OUTER}, ACCOUNTS)
    assert not (place / "data").exists()


def test_a_file_is_no_folder(place: Path) -> None:
    place.write_text("x")
    try:
        with pytest.raises(SettingsError, match="is no folder"):
            make_folders({str(place): OUTER}, ACCOUNTS)
    finally:
        place.unlink()


def test_whose_a_folder_is(place: Path) -> None:
    place.mkdir()
    assert folder_owner(str(place)) == own_account()
    with pytest.raises(FileNotFoundError):
        folder_owner(str(place / "nowhere"))
