"""What people are shown of the settings that a server was started with."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from whatchanged.cli.options import SETTINGS, load_values
from whatchanged.cli.server import add_arguments, server_settings
from whatchanged.errors import SettingsError


def started(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(arguments)
    given.config, given.data, given.log_level = None, None, None
    return given


def test_values_say_where_they_come_from_and_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    file.write_text('retention_health = 9\ndatabase = "postgresql+psycopg://me:pass/word@db/x?password=hidden"\n')
    monkeypatch.setenv("WHATCHANGED_TELEMETRY", "https://me:hidden@clickhouse/?secret=hidden")
    monkeypatch.setenv("WHATCHANGED_TOKEN", "hidden")
    given = started("--port", "1", "--retention-changes", "30")
    given.config = str(file)
    in_force = server_settings(load_values(given)).in_force
    shown = {setting.name: (setting.value, setting.source) for setting in in_force.shown}
    assert shown["port"] == (1, "command line")
    assert shown["retention_health"] == (9, str(file))
    assert shown["database"] == ("postgresql+psycopg://…@db/x?…", str(file))
    assert shown["telemetry"] == ("https://…@clickhouse/?…", "WHATCHANGED_TELEMETRY")
    assert shown["queries_at_once"] == (6, "default")
    assert in_force.fixed_retention == {"ConfigurationChange": 30, "TrackingHealth": 9}
    assert "hidden" not in repr(in_force)
    assert not {setting.name for setting in SETTINGS if setting.secret} & set(shown)


@pytest.mark.parametrize("dsn", ["postgresql://db/wc?user=u&password=p@hidden", "postgresql://u:p?hidden@db/wc"])
def test_of_a_dsn_that_can_be_read_in_two_ways_nothing_is_shown(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHATCHANGED_DATABASE", dsn)
    in_force = server_settings(load_values(started())).in_force
    assert [setting.value for setting in in_force.shown if setting.name == "database"] == ["postgresql://…"]


@pytest.mark.parametrize("days", ["0", "36501", "for ever"])
def test_a_retention_is_some_days(days: str) -> None:
    with pytest.raises(SettingsError, match="1 to 36500"):
        load_values(started("--retention-changes", days))
