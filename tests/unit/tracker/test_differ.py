"""The differ against the rows that the design's section on change rows asks for."""

import stat

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.records.items import DaemonItem, FileItem, ServiceItem, SoftwareItem
from whatchanged.records.tables import CONFIGURATION_CHANGE
from whatchanged.tracker.differ import change_rows

FILE = FileItem(path=b"/etc/a.conf", mode=stat.S_IFREG | 0o644, size=3, modified_ns=10**18, sha256=b"\1" * 32)


def test_an_added_file_is_one_row_with_its_facts_and_no_previous_ones() -> None:
    (row,) = change_rows(None, FILE)
    assert (row["ConfigChangeType"], row["ChangeCategory"]) == ("Files", "Added")
    assert row["FileSystemPath"] == "/etc/a.conf"
    assert row["Size"] == 3
    assert not [name for name in row if name.startswith("Previous")]


def test_a_removed_file_keeps_its_last_facts_as_previous_ones() -> None:
    (row,) = change_rows(FILE, None)
    assert row["ChangeCategory"] == "Removed"
    assert row["FileSystemPath"] == "/etc/a.conf"
    assert (row["PreviousSize"], row.get("Size")) == (3, None)
    assert row["PreviousFileContentChecksum"] == "01" * 32


def test_a_modified_file_names_the_columns_that_differ() -> None:
    after = FileItem(path=b"/etc/a.conf", mode=stat.S_IFREG | 0o600, size=4, modified_ns=2 * 10**18, sha256=b"\2" * 32)
    (row,) = change_rows(FILE, after)
    assert row["FieldsChanged"] == "Size,DateModified,Attributes,FileContentChecksum"
    assert (row["Attributes"], row["PreviousAttributes"]) == ("-rw-------", "-rw-r--r--")
    assert (row["Size"], row["PreviousSize"]) == (4, 3)


def test_a_renamed_account_is_no_change_of_its_files() -> None:
    assert change_rows(FILE, FileItem(**{f: getattr(FILE, f) for f in FILE.__struct_fields__} | {"owner": "eve"})) == []


def test_a_content_that_could_not_be_read_before_has_not_changed() -> None:
    unread = FileItem(path=b"/etc/a.conf", mode=stat.S_IFREG | 0o644, size=3, modified_ns=10**18)
    assert change_rows(unread, FILE) == change_rows(FILE, unread) == []


def test_software_shows_versions_in_current_and_previous() -> None:
    old = SoftwareItem(name="bash", version="5.1", architecture="amd64", source="dpkg", publisher="a")
    new = SoftwareItem(name="bash", version="5.2", architecture="amd64", source="dpkg", publisher="a")
    (row,) = change_rows(old, new)
    assert (row["Current"], row["Previous"], row["FieldsChanged"]) == ("5.2", "5.1", "CurrentVersion")
    assert row["Architecture"] == "amd64"
    (added,) = change_rows(None, new)
    assert (added["Current"], added.get("Previous")) == ("5.2", None)
    (removed,) = change_rows(old, None)
    assert (removed.get("Current"), removed["Previous"]) == (None, "5.1")


def test_a_daemon_has_one_row_for_each_changed_property() -> None:
    old = DaemonItem(name="ssh.service", state="Running", runlevels="enabled", description="a", path="/lib/ssh.service")
    new = DaemonItem(
        name="ssh.service", state="Stopped", runlevels="disabled", description="b", path="/lib/ssh.service"
    )
    rows = {row["SvcChangeType"]: row for row in change_rows(old, new)}
    assert set(rows) == {"State", "Runlevels", "Description"}
    assert (rows["State"]["SvcState"], rows["State"]["SvcPreviousState"]) == ("Stopped", "Running")
    assert (rows["Runlevels"]["SvcRunlevels"], rows["Runlevels"]["SvcPreviousRunlevels"]) == ("disabled", "enabled")
    assert (rows["Description"]["Current"], rows["Description"]["Previous"]) == ("b", "a")
    (added,) = change_rows(None, new)
    assert "SvcChangeType" not in added


def test_a_service_that_was_stopped_and_started_between_two_looks() -> None:
    before = DaemonItem(name="ssh.service", state="Running", start="boot/1")
    after = DaemonItem(name="ssh.service", state="Running", start="boot/2", runlevels="enabled")
    rows = change_rows(before, after)
    assert [(r["SvcChangeType"], r.get("SvcPreviousState"), r.get("SvcState")) for r in rows] == [
        ("State", "Running", "Stopped"),
        ("State", "Stopped", "Running"),
        ("Runlevels", None, "Running"),
    ]
    assert change_rows(before, DaemonItem(name="ssh.service", state="Running", start="next/1")) == []
    assert change_rows(DaemonItem(name="ssh.service", state="Running"), before) == []


_files = st.builds(
    FileItem,
    path=st.just(b"/x"),
    mode=st.sampled_from([stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777]),
    size=st.integers(0, 3),
    modified_ns=st.integers(0, 300),
    created_ns=st.none() | st.integers(0, 3),
    uid=st.integers(0, 1),
    acl=st.sampled_from(["", "user:1:r--"]),
    sha256=st.sampled_from([b"", b"\1" * 32]),
    link_target=st.none() | st.binary(max_size=3),
)
_items = _files | st.builds(
    DaemonItem, name=st.just("a"), state=st.sampled_from(["Running", "Stopped"]), runlevels=st.text(max_size=2)
)


@given(_items)
def test_an_item_does_not_differ_from_itself(item: FileItem | DaemonItem) -> None:
    assert change_rows(item, item) == []


@given(_items, _items)
def test_rows_hold_only_columns_of_the_table_and_tell_every_difference(
    before: FileItem | DaemonItem, after: FileItem | DaemonItem
) -> None:
    if before.kind is not after.kind:
        return
    rows = change_rows(before, after)
    fields = {name for row in rows for name in str(row["FieldsChanged"]).split(",")}
    first, second = before.compared(), after.compared()
    assert fields == {name for name in first.keys() & second.keys() if first[name] != second[name]}
    assert all(name in CONFIGURATION_CHANGE.names for row in rows for name in row)


def test_what_could_not_be_read_of_a_service_is_no_change() -> None:
    before = ServiceItem(name="s", state="Running", start_type="Auto", delayed=True, service_dll=r"C:\x.dll")
    unread = msgspec.structs.replace(before, delayed=None, service_dll=None, failure_actions=None)
    assert change_rows(before, unread) == []
    assert change_rows(unread, before) == []
    stopped = msgspec.structs.replace(unread, state="Stopped")
    assert [row["SvcChangeType"] for row in change_rows(before, stopped)] == ["State"]


def test_software_without_a_version_is_added_and_removed() -> None:
    update = SoftwareItem(name="Update (KB1234567)", version="", software_type="Update")
    (added,), (removed,) = change_rows(None, update), change_rows(update, None)
    assert (added["ChangeCategory"], removed["ChangeCategory"]) == ("Added", "Removed")
    assert not {"Current", "Previous"} & {*added, *removed}
    (row,) = change_rows(update, msgspec.structs.replace(update, version="2"))
    assert (row["FieldsChanged"], row["Current"]) == ("CurrentVersion", "2")


def test_a_windows_service_that_has_another_process_was_stopped_in_between() -> None:
    before = ServiceItem(name="s", state="Running", process_id=8, start="4.1/8.2")

    def states(start: str, state: str = "Running") -> list[tuple[object, object]]:
        rows = change_rows(before, msgspec.structs.replace(before, state=state, process_id=9, start=start))
        return [(row["Previous"], row["Current"]) for row in rows if row["SvcChangeType"] == "State"]

    assert states("4.1/9.3") == [("Running", "Stopped"), ("Stopped", "Running")]
    assert states("4.1/9.3", "Start Pending") == [("Running", "Stopped"), ("Stopped", "Start Pending")]
    assert states("4.7/9.8") == [], "the machine was started anew"
    assert states("") == [], "nobody knows"
    assert states("", "Stopped") == [("Running", "Stopped")]
