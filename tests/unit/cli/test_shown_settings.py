"""What people are shown of the settings that a server was started with."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from whatchanged.cli.options import SETTINGS, load_values
from whatchanged.cli.server import add_arguments, server_settings


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
