"""What `install` refuses, because the services would not know of it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from whatchanged.cli import install
from whatchanged.cli.options import Values
from whatchanged.cli.units import AGENT_UNITS, render
from whatchanged.errors import SettingsError


def check(data: str, config: str | None = None) -> None:
    install.require_lasting_settings(argparse.Namespace(config=config), Values({"data": data}), install.data_of_units())


def test_services_are_not_moved_away_from_their_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "UNIT_FOLDER", str(tmp_path))
    check("/srv/one")  # nothing is installed yet
    for unit in AGENT_UNITS:
        (tmp_path / unit).write_text(render(unit, python="/opt/w/bin/python", data="/srv/one", account="w"))
    check("/srv/one")
    with pytest.raises(SettingsError, match="works on /srv/one, not on /srv/two"):
        check("/srv/two")


def test_settings_that_the_services_do_not_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "UNIT_FOLDER", str(tmp_path))
    check("/srv/one", "/etc/whatchanged/config.toml")
    with pytest.raises(SettingsError, match="the services read"):
        check("/srv/one", str(tmp_path / "mine.toml"))
