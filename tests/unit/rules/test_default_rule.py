import json

import pytest

from whatchanged.rules import DEFAULT_RULE, LINUX, WINDOWS, FileScope, Links, read


def test_it_is_a_rule_without_problems() -> None:
    (rule,) = read(json.dumps(DEFAULT_RULE))
    assert rule.problems == ()
    assert {s.extension_name for s in rule.sources} == {WINDOWS, LINUX}
    for source in rule.sources:
        settings = source.settings
        assert settings.enable_files
        assert settings.enable_software
        assert settings.enable_services
        assert settings.enable_inventory
    assert all(r.enabled for r in rule.sources_of(WINDOWS)[0].settings.registry)


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/passwd", b"/etc/shadow", b"/etc/subuid", b"/etc/sudoers", b"/etc/sudoers.d/x", b"/etc/ssh/sshd_config",
        b"/root/.ssh/authorized_keys", b"/home/me/.ssh/authorized_keys", b"/etc/pam.d/common-auth",
        b"/etc/security/limits.d/x", b"/etc/crontab", b"/etc/cron.d/x", b"/etc/cron.daily/x",
        b"/var/spool/cron/crontabs/root", b"/etc/systemd/system/x.service",
        b"/etc/systemd/system/multi-user.target.wants/x",
        b"/etc/apt/sources.list", b"/etc/apt/sources.list.d/x.sources", b"/etc/apt/trusted.gpg.d/x.gpg",
        b"/boot/vmlinuz-6.1", b"/boot/grub/grub.cfg", b"/etc/default/grub", b"/etc/hosts", b"/etc/ld.so.preload",
        b"/etc/ld.so.conf", b"/etc/a/b/c.conf", b"/etc/whatchanged/policy.toml",
    ],
)  # fmt: skip
def test_what_an_auditor_asks_for_is_in_it(path: bytes) -> None:
    (rule,) = read(DEFAULT_RULE)
    rules = FileScope(rule.sources_of(LINUX)[0].settings.files).match(path, folder=False)
    assert rules
    assert all(r.links is Links.FOLLOW for r in rules)
