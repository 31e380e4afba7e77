import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import SettingsError
from whatchanged.settings import DataFolder, Setting, boolean, load, positive_float, positive_int, text

SETTINGS = (
    Setting("port", 8350, positive_int, "Port"),
    Setting("data-path", "/d", text, "Folder"),
    Setting("quiet", False, boolean, "Say less"),
    Setting("share", 0.5, positive_float, "Share"),
)


def test_defaults() -> None:
    values = {"port": 8350, "data-path": "/d", "quiet": False, "share": 0.5}
    assert load(SETTINGS, flags={}, file=None, environment={}) == (values, {})


def test_precedence(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('port = 1\ndata-path = "/file"\nquiet = true\n')
    environment = {"WHATCHANGED_PORT": "2", "WHATCHANGED_DATA_PATH": "/environment", "OTHER": "x"}
    loaded = load(SETTINGS, flags={"port": 3, "quiet": None}, file=str(file), environment=environment)
    assert loaded.values == {"port": 3, "data-path": "/environment", "quiet": True, "share": 0.5}
    assert loaded.sources == {"port": "command line", "data-path": "WHATCHANGED_DATA_PATH", "quiet": str(file)}


def test_every_problem_at_once(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("wibble = 1\nshare = -1\n")
    with pytest.raises(SettingsError) as caught:
        load(SETTINGS, flags={"port": "0"}, file=str(file), environment={"WHATCHANGED_QUIET": "perhaps"})
    for part in ("wibble", "command line: port", "WHATCHANGED_QUIET: quiet", f"{file}: share"):
        assert part in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load(SETTINGS, flags={}, file=str(tmp_path / "none"), environment={})
    (tmp_path / "bad").write_text("= 1")
    with pytest.raises(SettingsError, match="no TOML"):
        load(SETTINGS, flags={}, file=str(tmp_path / "bad"), environment={})


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers()))
def test_parsers_raise_value_errors_alone(value: object) -> None:
    for parse in (text, positive_int, positive_float, boolean):
        try:
            parse(value)
        except ValueError:
            continue


def test_paths_of_the_data_folder() -> None:
    folder = DataFolder("d")
    assert folder.tracker_database == os.path.join("d", "tracker", "db", "changetracking.db")
    assert folder.pipe_socket == os.path.join("d", "pipe", "default_fluent.socket")
    assert folder.local_token == os.path.join("d", "server", "local.token")


def test_the_default_data_folder_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        monkeypatch.setenv("PROGRAMDATA", r"D:\p")
        assert DataFolder.default().path == r"C:\ProgramData\whatchanged", "whatever the caller says"
        return
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert DataFolder.default().path == "/s/whatchanged"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert DataFolder.default().path == "/var/lib/whatchanged"
