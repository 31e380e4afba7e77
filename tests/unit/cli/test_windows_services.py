"""What Windows is told about our services, their folders, and who may change what. On any system."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.cli.windows_services.access import (
    REPLACE,
    WRITE,
    Entry,
    folder_lists,
    inherited,
    outer_list,
    strangers,
)
from whatchanged.cli.windows_services.definition import (
    AGENT_SERVICES,
    FORWARDER,
    TRACKER,
    Service,
    data_of,
    image_path,
    service_sid,
)
from whatchanged.errors import SettingsError
from whatchanged.settings import DataFolder

SYSTEM, ADMINISTRATORS, USERS, SOMEBODY = "S-1-5-18", "S-1-5-32-544", "S-1-5-32-545", "S-1-5-21-1-2-3-1001"
DATA = DataFolder("/w")
LISTS = folder_lists(DATA, TRACKER.sid, FORWARDER.sid)


def test_the_sid_of_a_service_is_made_of_its_name() -> None:
    # TrustedInstaller's is documented: learn.microsoft.com, "Security identifiers".
    assert service_sid("TrustedInstaller") == "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
    assert service_sid("trustedinstaller") == service_sid("TRUSTEDINSTALLER")


def test_the_accounts_and_what_their_tokens_keep() -> None:
    assert (TRACKER.account, TRACKER.sid) == ("LocalSystem", SYSTEM)
    assert FORWARDER.account == r"NT SERVICE\whatchanged-forwarder"
    assert FORWARDER.sid == service_sid("whatchanged-forwarder")
    kept = {service.name: service.extras[5].value for service in AGENT_SERVICES}
    assert kept == {
        "whatchanged-forwarder": ["SeChangeNotifyPrivilege"],
        "whatchanged-tracker": ["SeBackupPrivilege", "SeChangeNotifyPrivilege"],
    }


@pytest.mark.parametrize("service", AGENT_SERVICES)
def test_what_happens_when_a_service_fails(service: Service) -> None:
    extras: dict[str, Any] = {extra.name: (extra.level, extra.value) for extra in service.extras}
    level, actions = extras["recovery actions"]
    assert (level, actions["ResetPeriod"]) == (2, 86_400)  # SERVICE_CONFIG_FAILURE_ACTIONS; a day, in seconds
    assert actions["Actions"] == [(1, 5_000), (1, 30_000), (1, 300_000)]  # SC_ACTION_RESTART, milliseconds
    assert extras["recovery after an error"] == (4, True)
    assert extras["delayed start"] == (3, True)
    assert extras["SID in the token"] == (5, 1)
    assert extras["time to stop before a shutdown"] == (7, 35_000)


def test_the_path_of_a_service_stands_in_quotes() -> None:
    path = image_path([r"C:\Program Files\w\w.exe", "service", "tracker"], r"D:\my data")
    assert path == r'"C:\Program Files\w\w.exe" service tracker --data "D:\my data"'
    assert data_of(path) == r"D:\my data"
    assert data_of(r"C:\x.exe --verbose") is None


@given(
    st.text(st.characters(exclude_characters='%"', exclude_categories=("Cc", "Cs")), min_size=1).filter(
        lambda name: not name.endswith("\\")
    )
)
def test_a_data_folder_is_found_again_in_the_path(name: str) -> None:
    folder = rf"C:\{name}"
    path = image_path([r"C:\Program Files\w.exe", "service", "tracker"], folder)
    assert path.startswith('"C:\\Program Files\\w.exe" ')
    assert data_of(path) == folder


@pytest.mark.parametrize("data", [r"C:\%TEMP%", 'C:\\a" --policy "b', "C:\\a\nb", "D:\\"])
def test_paths_that_would_become_something_else_are_refused(data: str) -> None:
    with pytest.raises(SettingsError, match="cannot stand in the path of a service"):
        image_path([r"C:\w.exe"], data)


def entries(text: str) -> dict[str, set[str]]:
    """Whose → rights, of a list."""
    found: dict[str, set[str]] = {}
    for entry in text.partition("D:")[2].partition("(")[2].rstrip(")").split(")("):
        kind, _, rights, _, _, sid = entry.split(";")
        assert kind == "A"
        found.setdefault(sid, set()).add(rights)
    return found


def test_only_the_system_administrators_and_the_forwarder_are_in_the_lists() -> None:
    for text in LISTS.values():
        assert "D:P(" in text, "nothing comes from the folder above"
        assert entries(text).keys() == {"SY", ADMINISTRATORS, FORWARDER.sid}
        assert entries(text)["SY"] == entries(text)[ADMINISTRATORS] == {"FA"}


def test_the_forwarder_writes_in_its_own_folders_only() -> None:
    for folder, text in LISTS.items():
        rights = entries(text)[FORWARDER.sid] - {"FR"}
        writes = any(int(right, 16) & WRITE for right in rights)
        assert writes is (folder in (DATA.forwarder, DATA.pipe_folder))
    # In the tracker's it sees who owns it, and cannot even list it (FILE_LIST_DIRECTORY).
    assert not int(next(iter(entries(LISTS[DATA.tracker])[FORWARDER.sid])), 16) & 1
    owners = {folder: text.partition("D:")[0][2:] for folder, text in LISTS.items()}
    assert owners == {
        DATA.path: ADMINISTRATORS,
        DATA.tracker: SYSTEM,
        DATA.forwarder: FORWARDER.sid,
        DATA.pipe_folder: FORWARDER.sid,
    }


def test_what_is_inside_gets_the_list_of_its_folder() -> None:
    own = LISTS[DATA.forwarder]
    assert inherited(own, folder=True).count("(A;OICIID;") == 3
    assert inherited(inherited(own, folder=True), folder=False) == inherited(own, folder=False)
    assert FORWARDER.sid in inherited(own, folder=False)
    assert FORWARDER.sid not in inherited(LISTS[DATA.tracker], folder=False)
    # Settings beside the folders are read by the forwarder; nothing in another folder there is.
    outer = outer_list(FORWARDER.sid)
    assert entries(inherited(outer, folder=False))[FORWARDER.sid] == {"FR"}
    assert FORWARDER.sid not in inherited(outer, folder=True)


def test_strangers_are_those_who_may_and_are_not_trusted() -> None:
    def who(*found: Entry, owner: str = ADMINISTRATORS, rights: int = WRITE) -> tuple[str, ...]:
        return tuple(strangers(owner, found, rights, [SOMEBODY]))

    modify = 0x13_01BF
    assert who(Entry(0, 0, 0x1F_01FF, SYSTEM), Entry(0, 0, modify, SOMEBODY)) == ()
    assert who(Entry(0, 0, 0x12_00A9, USERS)) == (), "they read"
    assert who(Entry(0, 0, modify, USERS)) == (USERS,)
    assert who(Entry(9, 0, modify, USERS)) == (USERS,), "on a condition, which may be true"
    assert who(Entry(0, 8, modify, USERS)) == (), "for what is inside only, which has a list of its own"
    assert who(Entry(1, 0, modify, USERS), Entry(0, 0, 2, USERS)) == (USERS,), "denied to some of them, perhaps"
    assert who(owner=USERS) == (USERS,), "an owner may change the list"
    assert who(Entry(0, 0, 0x4000_0000, USERS)) == (USERS,)
    # C:\ and C:\ProgramData: users add folders there, and cannot rename what is there.
    assert who(Entry(0, 0, 0x6, USERS), rights=REPLACE) == ()
    assert who(Entry(0, 0, 0x40, USERS), rights=REPLACE) == (USERS,)
    assert tuple(strangers(ADMINISTRATORS, None, WRITE, ())) == ("S-1-1-0",), "no list at all: everyone"
