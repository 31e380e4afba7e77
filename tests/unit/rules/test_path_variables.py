"""Variables in paths: where they come from, and what becomes of one that is not known."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RuleError, SettingsError
from whatchanged.rules import LINUX, FileRule, FileScope, Policy, Severity, Variables, read_extension_settings
from whatchanged.rules.variables import parse_environment

MACHINE = Variables({"APP": "/opt/a[1]*", "STAGE": "prod"}, {"DATA": "/srv/data/", "PROXY": "http://me:secret@x"})


def settings(path: str, **item: object) -> object:
    entry = {"name": "r", "destinationPath": path, "groupTag": "x", **item}
    return {"fileSettings": {"fileInfo": [entry]}}


@pytest.mark.parametrize(
    ("path", "yes", "no"),
    [
        ("${APP}/conf/*.conf", b"/opt/a[1]*/conf/x.conf", b"/opt/a1x/conf/x.conf"),
        ("${DATA}/*", b"/srv/data/x", b"/srv/data/x/y"),
        ("/srv/${STAGE}-*/x", b"/srv/prod-1/x", b"/srv/test-1/x"),
        (r"/srv/\${STAGE}", b"/srv/${STAGE}", b"/srv/prod"),
        ("/srv/$STAGE", b"/srv/$STAGE", b"/srv/prod"),
    ],
)
def test_what_a_variable_stands_for(path: str, yes: bytes, no: bytes) -> None:
    read = read_extension_settings(settings(path), LINUX, variables=MACHINE)
    assert not [problem for problem in read.problems if problem.severity is Severity.ERROR]
    scope = FileScope(read.files)
    assert scope.match(yes)
    assert not scope.match(no)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("${NOBODY}/x", "names the variable NOBODY, which this machine does not set"),
        ("${HOME}/.ssh/*", "another one for every user"),
        ("/x/${PROXY}", "holds no path in /etc/environment"),
        ("/x/${A-B}/y", "no ${NAME}"),
        ("/x/${A", "no ${NAME}"),
    ],
)
def test_one_that_is_not_known_is_a_problem_with_its_place(path: str, why: str) -> None:
    read = read_extension_settings(settings(path), LINUX, variables=MACHINE)
    assert read.files == ()
    (problem,) = read.problems
    assert problem.severity is Severity.ERROR
    assert problem.place == "extensionSettings.fileSettings.fileInfo[0].destinationPath"
    assert why in problem.message
    assert "secret" not in str(problem)  # what may be one is told nobody


def test_without_a_machine_they_stay_as_written() -> None:
    read = read_extension_settings(settings("${NOBODY}/x", exclude=["${NOBODY}/x/y"]), LINUX)
    assert read.problems == ()
    assert read.files[0].destination_path == b"${NOBODY}/x"
    with pytest.raises(RuleError, match="not filled in"):
        FileScope(read.files)


def test_what_looks_like_a_variable_elsewhere_is_warned_of() -> None:
    for path, name in (("/srv/%APP%/x", "APP"), ("/srv/$APP/x", "APP")):
        (problem,) = read_extension_settings(settings(path), LINUX, variables=MACHINE).problems
        assert problem.severity is Severity.WARNING
        assert f"${{{name}}}" in problem.message


def test_exclusions_are_read_each_for_itself() -> None:
    item = {"exclude": ["*.swp", "${APP}/tmp", "${NOBODY}", 7, "**"], "excludes": "/opt/x"}
    read = read_extension_settings(settings("/opt/*", **item), LINUX, variables=MACHINE)
    (rule,) = read.files
    assert rule.exclude == (b"*.swp", rb"/opt/a\[1]\*/tmp", b"/opt/x")
    places = [problem.place.rpartition(".")[2] for problem in read.problems]
    assert places == ["exclude[2]", "exclude[3]", "exclude[4]"]


def test_the_file_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert Variables.load(str(tmp_path)) == Variables()
    file = tmp_path / "etc/environment"
    file.write_text("# x\nAPP='/opt/app'\nexport DATA=\"/srv/d\"\nBARE=/b \nno assignment\nEMPTY=\n")
    file.chmod(0o644)
    read = Variables.load(str(tmp_path), {"APP": "/opt/other"})
    assert read.environment == {"APP": "/opt/app", "DATA": "/srv/d", "BARE": "/b", "EMPTY": ""}
    assert read.fill(b"${APP}${DATA}") == b"/opt/other/srv/d"
    file.chmod(0o666)
    with pytest.raises(RuleError, match="others than root may write it"):
        Variables.load(str(tmp_path)).fill(b"${DATA}")
    file.unlink()
    subprocess.run(["mkfifo", str(file)], check=True)
    assert "no regular file" in Variables.load(str(tmp_path)).trouble


def test_variables_of_the_policy() -> None:
    policy = Policy.parse(b'[variables]\nAPP = "/opt/app"\n', "p")
    assert dict(policy.variables) == {"APP": "/opt/app"}
    for wrong in (b'[variables]\n"A-B" = "x"', b"[variables]\nA = 1", b"variables = 1", b'[variables]\nA = "x\\n"'):
        with pytest.raises(SettingsError, match="variables"):
            Policy.parse(wrong, "p")


@given(st.binary(max_size=30))
def test_any_bytes_are_filled_or_refused(path: bytes) -> None:
    try:
        filled = MACHINE.fill(b"/" + path)
    except RuleError:
        return
    rule = FileRule(name="r", destination_path=filled)
    try:
        FileScope([rule])
    except RuleError as error:
        assert "variable" not in str(error)  # noqa: PT017


@given(st.binary(max_size=80))
def test_any_bytes_are_an_environment(raw: bytes) -> None:
    for name, value in parse_environment(raw).items():
        assert name.encode() in raw
        assert value.encode("utf-8", "surrogateescape") in raw
