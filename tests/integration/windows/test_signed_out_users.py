"""Programs of users who sign in and out: their hive is loaded, or a file.

Signing in is played by making the same keys below HKEY_USERS, which Wine allows and Windows does not.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import shutil
import uuid
import winreg
from collections.abc import Iterator
from pathlib import Path

import pytest
import win32con
import win32file

from integration.collectors.hives import Content, log_of, sequenced, written
from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.collectors.registry.collector import RegistryCollector
from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.collectors.registry.source import RegistryKey
from whatchanged.collectors.software.windows_registry import RegistrySoftware
from whatchanged.records.items import SoftwareItem
from whatchanged.rules.items import RegistryRule

PROFILES = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList"
CURRENT = r"Software\Microsoft\Windows\CurrentVersion"
REPOSITORY = rf"Local Settings\{CURRENT}\AppModel\Repository\Packages"
PROGRAMS: Content = {
    rf"{CURRENT}\Uninstall\Chat": {"DisplayName": "Chat", "DisplayVersion": "5", "EstimatedSize": 12},
    rf"{CURRENT}\Uninstall\Editor": {"DisplayName": "Editor"},
    rf"{CURRENT}\Run": {"Chat": "chat.exe"},
}
PACKAGES: Content = {rf"{REPOSITORY}\Contoso.Notes_1.2.0.0_x64__abc": {"DisplayName": "Notes"}}


class Account:
    """A user of this machine with programs."""

    def __init__(self, folder: Path) -> None:
        number = uuid.uuid4().int
        self.name = f"S-1-5-21-{number & 0xFFFFFF}-{number >> 32 & 0xFFFFFF}-7-1001"
        self.hive = folder / "NTUSER.DAT"
        self.classes = folder / "AppData" / "Local" / "Microsoft" / "Windows" / "UsrClass.dat"
        self.classes.parent.mkdir(parents=True)
        self.hive.write_bytes(written(PROGRAMS))
        self.classes.write_bytes(written(PACKAGES))

    def sign_in(self) -> None:
        """Load the hives."""
        for name, content in ((self.name, PROGRAMS), (f"{self.name}_Classes", PACKAGES)):
            for path, values in content.items():
                with winreg.CreateKey(winreg.HKEY_USERS, rf"{name}\{path}") as key:
                    for value, data in values.items():
                        assert not isinstance(data, tuple)
                        winreg.SetValueEx(key, value, 0, winreg.REG_DWORD if isinstance(data, int) else 1, data)

    def sign_out(self) -> None:
        """Unload them."""
        for name in (self.name, f"{self.name}_Classes"):
            remove(winreg.HKEY_USERS, name)


def remove(top: int, path: str) -> None:
    try:
        with winreg.OpenKey(top, path, 0, winreg.KEY_ALL_ACCESS) as key:
            while winreg.QueryInfoKey(key)[0]:
                remove(top, rf"{path}\{winreg.EnumKey(key, 0)}")
    except FileNotFoundError:
        return
    winreg.DeleteKey(top, path)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """A user who is signed out."""
    made = Account(tmp_path / "profile")
    with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, rf"{PROFILES}\{made.name}") as key:
        winreg.SetValueEx(key, "ProfileImagePath", 0, winreg.REG_EXPAND_SZ, str(made.hive.parent))
    yield made
    made.sign_out()
    remove(winreg.HKEY_LOCAL_MACHINE, rf"{PROFILES}\{made.name}")


def software() -> Snapshot[SoftwareItem]:
    return RegistrySoftware(LiveRegistry()).run()


def of(account: Account, snapshot: Snapshot[SoftwareItem]) -> dict[str, str]:
    return {item.name: item.source for item in snapshot.items if item.instance == account.name}


def denied(account: Account, snapshot: Snapshot[SoftwareItem]) -> list[str]:
    return [failure.reason for failure in snapshot.outcome.failures if account.name.encode() in failure.path]


def test_signing_in_and_out_changes_nothing(account: Account) -> None:
    before = software()
    assert of(account, before) == {"Chat": "uninstall", "Editor": "uninstall", "Contoso.Notes": "appx"}
    account.sign_in()
    account.hive.write_bytes(b"")  # what is loaded is not read from its file
    account.classes.write_bytes(b"")
    during = software()
    account.sign_out()
    account.hive.write_bytes(written(PROGRAMS))
    account.classes.write_bytes(written(PACKAGES))
    after = software()
    assert before.items == during.items == after.items
    assert before.kept == during.kept == after.kept
    assert not denied(account, during)


def test_what_only_the_log_of_a_hive_holds(account: Account) -> None:
    newer = written({**PROGRAMS, rf"{CURRENT}\Uninstall\Later": {"DisplayName": "Later"}})
    older = written(PROGRAMS)
    assert len(older) == len(newer)
    account.hive.write_bytes(sequenced(older, 9, 8))
    account.hive.with_name("ntuser.dat.LOG1").write_bytes(log_of(older, 8, {0: newer[4096:]}))
    assert "Later" in of(account, software())


def test_a_hive_in_use_is_told_and_what_is_in_it_was_not_removed(account: Account) -> None:
    handle = win32file.CreateFile(str(account.hive), win32con.GENERIC_READ, 0, None, win32con.OPEN_EXISTING, 0, None)
    snapshot = software()
    win32file.CloseHandle(int(handle.Detach()))
    assert of(account, snapshot) == {"Contoso.Notes": "appx"}
    (reason,) = denied(account, snapshot)
    assert "EBUSY" in reason
    assert snapshot.outcome.status == RunStatus.PARTIAL
    parts = {f"{source}/{account.name}" for source in ("uninstall", "msi", "appx")}
    assert parts <= {beginning.decode() for beginning in snapshot.kept}
    assert software().scopes - snapshot.scopes == parts


def test_nobody_is_kept_from_a_hive_that_is_looked_at(account: Account) -> None:
    key = LiveRegistry().open(rf"HKEY_USERS\{account.name}\Software")
    assert key is not None
    with account.hive.open("r+b") as alone:
        alone.write(b"regf")
    moved = account.hive.rename(account.hive.with_name("moved"))
    moved.unlink()


def test_a_profile_that_is_a_folder_or_a_pipe_is_no_hive(account: Account) -> None:
    account.hive.unlink()
    account.hive.mkdir()
    snapshot = software()
    assert "EINVAL" in denied(account, snapshot)[0]


def test_with_a_deleted_profile_its_programs_are_gone(account: Account) -> None:
    assert of(account, software())
    shutil.rmtree(account.hive.parent)
    snapshot = software()
    assert not of(account, snapshot)
    assert not denied(account, snapshot)
    assert not any(account.name.encode() in beginning for beginning in snapshot.kept)


class SigningOut(LiveRegistry):
    """The registry while a user signs out in the middle of a look."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account

    def open(self, path: str) -> RegistryKey | None:
        key = super().open(path)
        if path.startswith(rf"HKEY_USERS\{self._account.name}\Software\Microsoft"):
            self._account.sign_out()
        return key


def test_who_signs_out_while_he_is_looked_at_keeps_his_programs(account: Account) -> None:
    account.sign_in()
    snapshot = RegistrySoftware(SigningOut(account)).run()
    assert "Chat" not in of(account, snapshot)
    assert denied(account, snapshot) == ["was unloaded while it was looked at"] * 2
    kept = {f"{source}/{account.name}".encode() for source in ("uninstall", "msi", "appx")}
    assert kept <= set(snapshot.kept)
    assert of(account, software())["Chat"] == "uninstall"


def test_who_signs_out_in_the_middle_of_a_list_is_told(account: Account) -> None:
    account.sign_in()
    source = LiveRegistry()
    key = source.open(rf"HKEY_USERS\{account.name}\{CURRENT}\Uninstall")
    assert key is not None
    listed = key.subkeys()
    first = next(listed)
    account.sign_out()
    assert list(listed) == []
    assert first.value("DisplayName") is None
    assert source.tally.outcome().denied == (f"HKEY_USERS\\{account.name}".encode(),)


def test_a_program_that_goes_is_no_failure(account: Account) -> None:
    account.sign_in()
    source = LiveRegistry()
    key = source.open(rf"HKEY_USERS\{account.name}\{CURRENT}\Uninstall\Chat")
    assert key is not None
    remove(winreg.HKEY_USERS, rf"{account.name}\{CURRENT}\Uninstall\Chat")
    assert list(key.values()) == []
    assert source.tally.outcome().failures_total == 0


def test_rules_on_users_reach_those_who_are_signed_out(account: Account) -> None:
    rule = RegistryRule(name="run", key_name=rf"HKEY_CURRENT_USER\{CURRENT}\Run")
    signed_out = [looked.item for looked in RegistryCollector(LiveRegistry(), [rule]).run()]
    account.sign_in()
    signed_in = [looked.item for looked in RegistryCollector(LiveRegistry(), [rule]).run()]
    assert signed_out == signed_in
    assert rf"HKEY_USERS\{account.name}\{CURRENT}\Run".encode() in {item.key_name for item in signed_in}
