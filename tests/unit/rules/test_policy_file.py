import os
import sys
from pathlib import Path

import pytest

from whatchanged.errors import SettingsError
from whatchanged.rules import Policy

assert sys.platform != "win32"


def write(path: Path, text: str, mode: int = 0o644) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def load(path: str) -> Policy:
    return Policy.load(path, owner=os.getuid())


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    policy = load(str(tmp_path / "none.toml"))
    assert policy == Policy()
    assert not policy.network_file_systems
    assert not policy.excluded(b"/etc")


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/shadow", b"/etc/shadow-", b"/etc/passwd", b"/etc/ssh/ssh_host_rsa_key", b"/root/.ssh/id_ed25519",
        b"/home/u/.ssh/config", b"/srv/app/tls.key", b"/srv/app/x.pem", b"/home/u/.aws/credentials", b"/srv/.env",
        b"/etc/NetworkManager/system-connections/wifi", b"/home/u/.bash_history", b"/etc/ssl/private/deep/x",
    ],
)  # fmt: skip
def test_content_of_secret_files_is_never_uploaded(path: bytes) -> None:
    assert not Policy().content_allowed(path)


@pytest.mark.parametrize(
    "path", [b"/etc/hosts", b"/etc/ssh/sshd_config", b"/etc/apt/sources.list", b"/srv/xenv", b"/etc/keys"]
)
def test_other_content_may_be(path: bytes) -> None:
    assert Policy().content_allowed(path)


def test_a_policy_is_read(tmp_path: Path) -> None:
    text = """
    network_file_systems = true
    core_share = 0.5
    bytes_per_second = 1000000
    excluded_paths = ["/srv/scratch", "/home/*/.cache"]
    content_deny = ["/srv/app/conf/.*"]
    """
    policy = load(write(tmp_path / "policy.toml", text))
    assert (policy.network_file_systems, policy.core_share, policy.bytes_per_second) == (True, 0.5, 1_000_000)
    assert policy.excluded(b"/srv/scratch")
    assert policy.excluded(b"/srv/scratch/a/b")
    assert policy.excluded(b"/home/u/.cache/x")
    assert not policy.excluded(b"/srv/scratch2")
    assert not policy.content_allowed(b"/srv/app/conf/.hidden")
    assert policy.content_allowed(b"/srv/app/conf/shown")  # here a dot is a dot
    assert not policy.content_allowed(b"/etc/shadow")


def test_audit_is_for_those_who_ask_for_it() -> None:
    assert not Policy().audit
    assert not Policy.parse(b"core_share = 0.5", "p").audit
    assert Policy.parse(b"audit = true", "p").audit
    with pytest.raises(SettingsError, match="audit must be true or false"):
        Policy.parse(b"audit = 'yes'", "p")


def test_the_builtin_list_can_be_given_up() -> None:
    policy = Policy.parse(b"content_deny_defaults = false", "p")
    assert policy.content_allowed(b"/etc/shadow")


def test_everything_wrong_is_said_at_once() -> None:
    text = b'core_share = 0\nnetwork_file_systems = "no"\nwibble = 1\nexcluded_paths = ["x", 5]\ncontent_deny = 7'
    with pytest.raises(SettingsError) as caught:
        Policy.parse(text, "p.toml")
    for part in (
        "core_share",
        "network_file_systems",
        "wibble",
        "excluded_paths[0]",
        "excluded_paths[1]",
        "content_deny",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff", b"= 1", b"a = "])
def test_no_toml(content: bytes) -> None:
    with pytest.raises(SettingsError, match="no TOML"):
        Policy.parse(content, "p.toml")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="written by others"):
        load(write(tmp_path / "policy.toml", "", mode))


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "policy.toml", "")
    with pytest.raises(SettingsError, match="belongs to user"):
        Policy.load(path, owner=os.getuid() + 1)


def test_links_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    real = write(tmp_path / "real.toml", "")
    os.symlink(real, tmp_path / "link.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for name in ("link.toml", "pipe.toml", "folder.toml"):
        with pytest.raises(SettingsError):
            load(str(tmp_path / name))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="larger"):
        load(write(tmp_path / "policy.toml", "#" * (2**20 + 1)))


def test_folders_of_the_program_s_own_data_are_excluded_as_they_are_spelled() -> None:
    policy = Policy(excluded_paths=(b"/srv/scratch",)).with_own_paths([b"/var/l*b/[w]", b"/a\\b"])
    assert policy.excluded(b"/var/l*b/[w]/tracker/db")
    assert policy.excluded(b"/a\\b/x")
    assert policy.excluded(b"/srv/scratch/x")
    assert not policy.excluded(b"/var/lib/w/x")
    assert policy.excluded_by(b"/var/l*b/[w]/x") == b"/var/l*b/[w]"
    assert policy.excludes_below(b"/var")
    assert not policy.excludes_below(b"/usr")
    assert policy.version() != Policy(excluded_paths=(b"/srv/scratch",)).version()
