"""The rule that `whatchanged up` associates: upstream's default, and what an auditor asks for first.

Software and services, and of the files: accounts, sudo, ssh, PAM, scheduled jobs, units, package sources, boot,
name resolution, the loader, kernel settings. Not the programs of the distribution: their packages are tracked, and
hashing 120,000 files is a choice that the administrator should make.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DEFAULT_RULE", "EMPTY_RULE", "LINUX_FILES", "UPSTREAM_RULE", "WINDOWS_REGISTRY_KEYS"]

_STREAMS = ("Microsoft-ConfigurationChange", "Microsoft-ConfigurationChangeV2", "Microsoft-ConfigurationData")

LINUX_FILES: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...] = (
    (
        "Accounts",
        tuple(
            (f"/etc/{name}", False)
            for name in (
                "passwd",
                "group",
                "shadow",
                "gshadow",
                "subuid",
                "subgid",
                "login.defs",
                "shells",
                "securetty",
            )
        ),
    ),
    ("Sudo", (("/etc/sudoers", False), ("/etc/sudoers.d/*", True), ("/etc/polkit-1/*", True))),
    (
        "Ssh",
        (
            ("/etc/ssh/*", True),
            ("/root/.ssh/*", True),
            ("/home/*/.ssh/authorized_keys*", False),
        ),
    ),
    ("Pam", (("/etc/pam.d/*", True), ("/etc/security/*", True))),
    (
        "Schedules",
        (
            ("/etc/crontab", False),
            ("/etc/cron.*/*", False),
            ("/etc/cron.allow", False),
            ("/etc/cron.deny", False),
            ("/etc/at.allow", False),
            ("/etc/at.deny", False),
            ("/etc/anacrontab", False),
            ("/var/spool/cron/*", True),
        ),
    ),
    (
        "Services",
        (
            ("/etc/systemd/*", True),
            ("/usr/local/lib/systemd/*", True),
            ("/usr/lib/systemd/system/*", True),
            ("/etc/init.d/*", False),
            ("/etc/rc.local", False),
            ("/etc/default/*", True),
            ("/etc/dbus-1/*", True),
            ("/etc/xinetd.d/*", False),
        ),
    ),
    (
        "PackageSources",
        (("/etc/apt/*", True), ("/etc/yum.repos.d/*", True), ("/etc/zypp/*", True), ("/etc/dnf/*", True)),
    ),
    ("Boot", (("/boot/*", False), ("/boot/grub*/*.cfg", False), ("/etc/grub.d/*", False), ("/boot/loader/*", True))),
    (
        "Kernel",
        (
            ("/etc/modules", False),
            ("/etc/modprobe.d/*", True),
            ("/etc/modules-load.d/*", True),
            ("/etc/sysctl.d/*", True),
            ("/etc/udev/rules.d/*", True),
            ("/etc/initramfs-tools/*", True),
        ),
    ),
    ("Loader", (("/etc/ld.so.preload", False), ("/etc/ld.so.conf.d/*", True))),
    (
        "Network",
        (
            ("/etc/hosts", False),
            ("/etc/hosts.allow", False),
            ("/etc/hosts.deny", False),
            ("/etc/hostname", False),
            ("/etc/fstab", False),
            ("/etc/crypttab", False),
            ("/etc/exports", False),
            ("/etc/network/*", True),
            ("/etc/netplan/*", True),
            ("/etc/NetworkManager/*", True),
            ("/etc/iptables/*", True),
        ),
    ),
    (
        "Shells",
        (
            ("/etc/profile", False),
            ("/etc/profile.d/*", True),
            ("/etc/environment", False),
            ("/etc/bash.bashrc", False),
            ("/root/.bashrc", False),
            ("/root/.bash_profile", False),
            ("/root/.profile", False),
        ),
    ),
    ("Audit", (("/etc/audit/*", True), ("/etc/rsyslog.d/*", True), ("/etc/logrotate.d/*", True))),
    ("LocalPrograms", (("/usr/local/bin/*", True), ("/usr/local/sbin/*", True))),
    ("Certificates", (("/usr/local/share/ca-certificates/*", True),)),
    ("Whatchanged", (("/etc/whatchanged/*", True),)),
)
"""Group → (destinationPath, recurse)."""

_CURRENT = r"Software\Microsoft\Windows\CurrentVersion"
_CURRENT_32 = r"Software\Wow6432Node\Microsoft\Windows\CurrentVersion"
_NT = r"Software\Microsoft\Windows NT\CurrentVersion"
_NT_32 = r"Software\Wow6432Node\Microsoft\Windows NT\CurrentVersion"

WINDOWS_REGISTRY_KEYS: tuple[str, ...] = (
    rf"{_CURRENT}\Group Policy\Scripts\Startup",
    rf"{_CURRENT}\Group Policy\Scripts\Shutdown",
    rf"{_CURRENT_32}\Run",
    r"Software\Microsoft\Active Setup\Installed Components",
    r"Software\Classes\Directory\ShellEx\ContextMenuHandlers",
    r"Software\Classes\Directory\Background\ShellEx\ContextMenuHandlers",
    r"Software\Classes\Directory\Shellex\CopyHookHandlers",
    rf"{_CURRENT}\Explorer\ShellIconOverlayIdentifiers",
    rf"{_CURRENT_32}\Explorer\ShellIconOverlayIdentifiers",
    rf"{_CURRENT}\Explorer\Browser Helper Objects",
    rf"{_CURRENT_32}\Explorer\Browser Helper Objects",
    r"Software\Microsoft\Internet Explorer\Extensions",
    r"Software\Wow6432Node\Microsoft\Internet Explorer\Extensions",
    rf"{_NT}\Drivers32",
    rf"{_NT_32}\Drivers32",
    r"System\CurrentControlSet\Control\Session Manager\KnownDlls",
    rf"{_NT}\Winlogon\Notify",
    # What upstream's list misses: where programs start by themselves today.
    rf"{_CURRENT}\Run",
    rf"{_CURRENT}\RunOnce",
    rf"{_CURRENT_32}\RunOnce",
    rf"{_NT}\Winlogon",
    rf"{_NT}\Windows",
    rf"{_NT_32}\Windows",
    rf"{_NT}\Image File Execution Options",
    rf"{_NT_32}\Image File Execution Options",
    r"System\CurrentControlSet\Control\Lsa",
    r"System\CurrentControlSet\Control\Print\Monitors",
    r"System\CurrentControlSet\Control\Session Manager\AppCertDlls",
)


def _linux_file(name: str, path: str, *, recurse: bool, tag: str) -> dict[str, Any]:
    return {
        "name": name,
        "enabled": True,
        "destinationPath": path,
        "useSudo": True,
        "recurse": recurse,
        "maxContentsReturnable": 5_000_000,
        "pathType": "File",
        "type": "File",
        "links": "Follow",
        "maxOutputSize": 500_000,
        "groupTag": tag,
    }


def _linux_files() -> list[dict[str, Any]]:
    files = [_linux_file("ChangeTrackingLinuxPath_default", "/etc/.*.conf", recurse=True, tag="Recommended")]
    for group, paths in LINUX_FILES:
        files += (
            _linux_file(f"{group}_{number}", path, recurse=recurse, tag="Recommended")
            for number, (path, recurse) in enumerate(paths, 1)
        )
    return files


def _registry() -> list[dict[str, Any]]:
    return [
        {
            "name": f"Registry_{number}",
            "groupTag": "Recommended",
            "enabled": True,
            "recurse": True,
            "description": "",
            "keyName": f"HKEY_LOCAL_MACHINE\\{key}",
            "valueName": "",
        }
        for number, key in enumerate(WINDOWS_REGISTRY_KEYS, 1)
    ]


def _source(system: str, settings: dict[str, Any], frequencies: tuple[int, int, int]) -> dict[str, Any]:
    files, software, services = frequencies
    settings.setdefault("fileSettings", {})["fileCollectionFrequency"] = files
    settings["softwareSettings"] = {"softwareCollectionFrequency": software}
    settings["servicesSettings"] = {"serviceCollectionFrequency": services}
    settings["inventorySettings"] = {"inventoryCollectionFrequency": 36_000}
    for kind in ("Files", "Software", "Services", "Inventory"):
        settings[f"enable{kind}"] = True
    return {
        "name": f"CTDataSource-{system}",
        "extensionName": f"ChangeTracking-{system}",
        "streams": list(_STREAMS),
        "extensionSettings": settings,
    }


_UPSTREAM_KEYS = 17
"""Of `WINDOWS_REGISTRY_KEYS`, how many at the beginning are upstream's."""


def _default_rule() -> dict[str, Any]:
    windows = {
        "enableRegistry": True,
        "registrySettings": {"registryCollectionFrequency": 3000, "registryInfo": _registry()},
        "fileSettings": {
            "fileInfo": [
                {
                    "name": "ChangeTrackingWindowsPath_hosts",
                    "description": "Name resolution",
                    "enabled": True,
                    "path": r"%winDir%\System32\drivers\etc\*",
                    "recurse": False,
                    "pathType": "File",
                    "checksum": "Sha256",
                    "maxContentsReturnable": 5_000_000,
                    "maxOutputSize": 500_000,
                    "uploadContent": False,
                    "groupTag": "Recommended",
                }
            ]
        },
    }
    linux = {"enableRegistry": False, "fileSettings": {"fileInfo": _linux_files()}}
    return _rule("Changes and inventory of files, software, services and registry.", windows, linux)


def _upstream_rule() -> dict[str, Any]:
    registry = [{**item, "enabled": False, "recurse": False} for item in _registry()[:_UPSTREAM_KEYS]]
    windows = {
        "enableRegistry": True,
        "registrySettings": {"registryCollectionFrequency": 3000, "registryInfo": registry},
        "fileSettings": {"fileInfo": []},
    }
    linux = {"enableRegistry": False, "fileSettings": {"fileInfo": _linux_files()[:1]}}
    return _rule("Changes and inventory, as Azure begins with.", windows, linux)


def _empty_rule() -> dict[str, Any]:
    windows = {
        "enableRegistry": True,
        "registrySettings": {"registryCollectionFrequency": 3000, "registryInfo": []},
        "fileSettings": {"fileInfo": []},
    }
    return _rule("", windows, {"enableRegistry": False, "fileSettings": {"fileInfo": []}})


def _rule(description: str, windows: dict[str, Any], linux: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Microsoft.Insights/dataCollectionRules",
        "apiVersion": "2022-06-01",
        "name": "Microsoft-CT-DCR",
        "location": "local",
        "properties": {
            "description": description,
            "dataSources": {
                "extensions": [
                    _source("Windows", windows, (2700, 1800, 1800)),
                    _source("Linux", linux, (900, 300, 300)),
                ]
            },
            "destinations": {"logAnalytics": [{"workspaceResourceId": "", "name": "Microsoft-CT-Dest"}]},
            "dataFlows": [{"streams": list(_STREAMS), "destinations": ["Microsoft-CT-Dest"]}],
        },
    }


DEFAULT_RULE: dict[str, Any] = _default_rule()
"""The default rule as an ARM resource."""
UPSTREAM_RULE: dict[str, Any] = _upstream_rule()
"""What upstream's own portal begins with: one path on Linux, and its registry keys, not enabled."""
EMPTY_RULE: dict[str, Any] = _empty_rule()
"""Software and services of both systems, and no file or key yet."""
