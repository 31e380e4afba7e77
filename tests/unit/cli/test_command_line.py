"""The real program, started as people start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
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


@pytest.mark.parametrize("url", ["http://[::1", "https://host:port", "ftp://host", "host"])
def test_what_is_no_address_is_said(url: str) -> None:
    done = whatchanged("changes", WHATCHANGED_URL=url, WHATCHANGED_TOKEN="t")
    assert done.returncode == 2
    assert "is no address of a server" in done.stderr


@pytest.mark.parametrize(("proxy", "token"), [("ftp://proxy", "t"), ("socks5://proxy:1", "t"), ("", "ü")])
def test_a_proxy_or_token_that_cannot_be_one_is_said(proxy: str, token: str) -> None:
    variables = {"HTTPS_PROXY": proxy, "WHATCHANGED_URL": "https://example.com", "WHATCHANGED_TOKEN": token}
    done = whatchanged("changes", **variables)
    assert done.returncode == 2
    assert "cannot use the proxy or the token" in done.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("port = 'x'", "port must be a port from 0 (any free one) to 65535, not 'x'"),
        ("tracker_uid = 'x'", "tracker_uid must be a numeric user id, not 'x'"),
        ("foreign_uids = [-1]", "foreign_uids must be numeric user ids separated by commas, not [-1]"),
    ],
)
def test_a_wrong_value_is_said_in_our_words(setting: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(setting)
    assert words in whatchanged("machines", "--config", str(tmp_path / "c")).stderr


def test_secrets_are_neither_shown_nor_taken_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("token = 12345")
    done = whatchanged("machines", "--config", str(tmp_path / "c"))
    assert done.returncode == 2
    assert "token must be text" in done.stderr
    assert "12345" not in done.stderr
    for flag, value in (("--database", "postgresql://u:geheim@db/x"), ("--telemetry", "clickhouse://u:geheim@db")):
        done = whatchanged("server", flag, value, "--data", str(tmp_path))
        assert done.returncode == 2
        assert f"a password in {flag} could be read" in done.stderr
        assert "geheim" not in done.stderr


def test_files_that_are_no_text_are_said(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"data = '\xff'")
    done = whatchanged("machines", "--config", str(tmp_path / "c"))
    assert done.returncode == 2
    assert "is no TOML" in done.stderr
    enrolled = subprocess.run(
        [sys.executable, "-m", "whatchanged", "enroll", "--server", "https://127.0.0.1:1", "--token-file", "-"],
        input=b"\xff\n",
        capture_output=True,
        timeout=60,
    )
    assert enrolled.returncode == 1
    assert b"this is no enrolment token" in enrolled.stderr


def test_a_full_disk_behind_the_output_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "whatchanged", "rules", "default", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "error: [Errno 28] No space left on device\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "whatchanged", "rules", "default"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


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


def test_the_default_rule_is_a_document_to_begin_with(tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text(whatchanged("rules", "default").stdout)
    assert whatchanged("rules", "check", str(file)).returncode == 0
    (rule,) = json.loads(whatchanged("rules", "default", "--json").stdout)
    assert rule == json.loads(file.read_text())


def test_a_rule_with_errors_is_not_applied_and_the_errors_are_said(tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text(
        json.dumps(
            {
                "dataSources": {
                    "extensions": [
                        {
                            "name": "x",
                            "extensionName": "ChangeTracking-Linux",
                            "streams": ["Microsoft-ConfigurationChangeV2"],
                            "extensionSettings": {
                                "enableFiles": True,
                                "fileSettings": {"fileInfo": [{"name": "a", "destinationPath": "no/root"}]},
                            },
                        }
                    ]
                }
            }
        )
    )
    done = whatchanged("rules", "apply", str(file))
    assert done.returncode == 1
    assert "is no absolute path" in done.stdout
    done = whatchanged("rules", "apply", str(file), "--json")
    assert done.returncode == 1
    assert "is no absolute path" in json.loads(done.stdout)[0]["Message"]


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


def test_doctor_and_status_know_the_forwarder_of_a_machine_without_a_server(tmp_path: Path) -> None:
    forwarder = tmp_path / "forwarder"
    forwarder.mkdir(mode=0o700)
    said = {"enrolled": True, "server": "https://s", "refused": "MachineRevoked", "connected": False, "streams": {}}
    (forwarder / "status.json").write_text(json.dumps(said))
    found = json.loads(whatchanged("doctor", "--json", "--data", str(tmp_path)).stdout)
    assert "server" not in {row["Check"] for row in found}
    assert any("MachineRevoked" in row["Detail"] for row in found if row["Check"] == "forwarder")
    status = whatchanged("status", "--json", "--data", str(tmp_path))
    assert status.returncode == 1  # what nobody says any more is no answer
    facts = {row["Name"]: row["Value"] for row in json.loads(status.stdout) if row["Component"] == "Forwarder"}
    assert (facts["running"], facts["refused"]) == (False, "MachineRevoked")
    assert "no server has run" not in status.stderr


@pytest.mark.root
def test_what_root_enrols_belongs_to_the_forwarders_account() -> None:
    """`sudo whatchanged enroll` on an installed machine."""
    if sys.platform == "win32":
        return
    # A folder of its own, because those of pytest are closed to other accounts; no mode but its own is changed.
    with tempfile.TemporaryDirectory() as folder, HTTPServer(("127.0.0.1", 0), _Enrols) as server:
        os.chmod(folder, 0o711)
        forwarder = Path(folder) / "forwarder"
        forwarder.mkdir(mode=0o700)
        os.chown(forwarder, 12345, 12345)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = whatchanged(
            *("enroll", "--server", f"http://127.0.0.1:{server.server_port}", "--data", folder),
            WHATCHANGED_ENROLLMENT_TOKEN="wce1.a.b.-",
        )
        thread.join()
        assert done.returncode == 0, done.stderr
        assert (forwarder / "identity.json").stat().st_uid == 12345


class _Enrols(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        names = ("machineId", "credential", "resourceId", "workspaceId", "machineGroup", "implicitRuleId")
        self.send_response(201)
        self.end_headers()
        self.wfile.write(json.dumps(dict.fromkeys(names, "x")).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        pass


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
