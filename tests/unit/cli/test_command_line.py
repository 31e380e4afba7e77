"""The real program, started as people start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whatchanged.cli.main import COMMANDS


def whatchanged(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WHATCHANGED_")}
    return subprocess.run(
        [sys.executable, "-m", "whatchanged", *arguments],
        capture_output=True,
        text=True,
        env={**kept, **environment},
        timeout=60,
        errors="surrogateescape",
    )


@pytest.mark.parametrize("command", [command.NAME for command in COMMANDS])
def test_every_command_explains_itself(command: str) -> None:
    done = whatchanged(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: whatchanged {command}")
    assert "--json" in done.stdout
    assert done.stderr == ""


def test_no_command_is_wrong_usage() -> None:
    done = whatchanged()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert "hint: " in done.stderr


def test_a_settings_file_reports_every_problem_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('colour = "green"\nport = 70000\n')
    done = whatchanged("changes", "--config", str(file))
    assert done.returncode == 2
    assert "unknown setting 'colour'" in done.stderr
    assert "port must be a port" in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'data = "{tmp_path}/file"\n')
    assert f"{tmp_path}/file/server" in whatchanged("changes", "--config", str(file)).stderr
    variable = {"WHATCHANGED_DATA": f"{tmp_path}/variable"}
    assert f"{tmp_path}/variable/server" in whatchanged("changes", "--config", str(file), **variable).stderr
    flagged = whatchanged("changes", "--config", str(file), "--data", f"{tmp_path}/flag", **variable)
    assert f"{tmp_path}/flag/server" in flagged.stderr


def test_no_server_is_said_with_a_hint(tmp_path: Path) -> None:
    done = whatchanged("machines", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "hint: start one with `whatchanged up`" in done.stderr


def test_tokens_are_never_taken_from_the_command_line() -> None:
    for command in [command.NAME for command in COMMANDS]:
        usage = whatchanged(command, "--help").stdout
        assert "--token " not in usage
        assert "--token=" not in usage


def test_plain_http_to_another_machine_is_refused() -> None:
    environment = {"WHATCHANGED_URL": "http://192.0.2.1:8350", "WHATCHANGED_TOKEN": "t"}
    done = whatchanged("changes", **environment)
    assert done.returncode == 2
    assert "unprotected" in done.stderr


@pytest.mark.parametrize("hostile", ["\x1b[2Jx", "a\nerror: forged", "\x9b31m", "rtl\u202egnp"])
def test_arguments_reach_the_terminal_harmlessly(hostile: str, tmp_path: Path) -> None:
    done = whatchanged("rules", "check", str(tmp_path) + "/" + hostile)
    assert done.returncode == 2
    assert hostile not in done.stderr
    assert not any(ord(c) < 32 and c != "\n" for c in done.stderr)
    assert "\nerror: forged" not in done.stderr


def test_wrong_usage_is_printed_harmlessly() -> None:
    done = whatchanged("changes", "--\x1b]0;title\x07")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_a_sound_rule_is_called_sound(tmp_path: Path) -> None:
    from whatchanged.rules import DEFAULT_RULE

    file = tmp_path / "rule.json"
    file.write_text(json.dumps(DEFAULT_RULE))
    done = whatchanged("rules", "check", str(file))
    assert done.returncode == 0, done.stderr
    assert whatchanged("rules", "check", "--json", str(file)).stdout.startswith("[")


def test_a_document_that_is_no_rule_fails(tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text("{")
    done = whatchanged("rules", "check", str(file))
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_to_do(tmp_path: Path) -> None:
    done = whatchanged("doctor", "--json", "--data", str(tmp_path / "none"))
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert {"data folder", "tracker", "server"} <= {row["Check"] for row in rows}
    assert all(row["Advice"] for row in rows if row["Status"] == "Error")


def test_the_enrolment_token_must_be_somewhere() -> None:
    done = whatchanged("enroll", "--server", "https://127.0.0.1:1")
    assert done.returncode == 2
    assert "WHATCHANGED_ENROLLMENT_TOKEN" in done.stderr


_LOADED = """
import sys
from whatchanged.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("tracker", "--help"), ("--help",), ("tracker", "--port", "x")])
def test_the_command_line_loads_no_network_client(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED, *arguments], capture_output=True, text=True, timeout=60)
    loaded = set(done.stderr.split())
    assert "whatchanged.cli.tracker" in loaded
    unwanted = {"httpx", "litestar", "sqlalchemy", "clickhouse_connect", "chdb", "cryptography", "uvicorn", "rich"}
    assert not loaded & unwanted
