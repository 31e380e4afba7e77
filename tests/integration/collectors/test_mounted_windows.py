"""The disk of a Windows, as `whatchanged inventory KIND --root` sees it: hives that hivexregedit wrote."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.collectors.conftest import needs
from integration.collectors.hives import Content, by_hivex, log_of, merge, sample_hives, sequenced, unpacked, wide
from whatchanged.collectors import RunStatus
from whatchanged.collectors.registry.collector import RegistryCollector
from whatchanged.collectors.registry.mounted import MountedRegistry
from whatchanged.collectors.services.windows_registry import RegistryServices
from whatchanged.collectors.software.windows_registry import RegistrySoftware
from whatchanged.rules.items import RegistryRule

pytestmark = needs("hivexregedit")

CONFIG = "Windows/System32/config"
CURRENT = "Microsoft\\Windows\\CurrentVersion"
UNINSTALL = f"{CURRENT}\\Uninstall"
PRODUCTS = f"{CURRENT}\\Installer\\UserData\\S-1-5-18\\Products"
STORE = f"{CURRENT}\\Appx\\AppxAllUserStore\\Applications"
REPOSITORY = f"Local Settings\\Software\\{CURRENT}\\AppModel\\Repository\\Packages"
PACKAGES = f"{CURRENT}\\Component Based Servicing\\Packages"
ALICE = "S-1-5-21-1-2-3-1001"
BOB = "S-1-5-21-1-2-3-1002"


def expand(text: str) -> tuple[int, bytes]:
    return 2, wide(text)


def actions(reset: int, *pairs: tuple[int, int]) -> tuple[int, bytes]:
    return 3, struct.pack("<IIIII", reset, 0, 0, len(pairs), 20) + b"".join(struct.pack("<II", *pair) for pair in pairs)


SERVICES = "ControlSet002\\Services"
SYSTEM: Content = {
    "Select": {"Current": 2, "Default": 1},
    "ControlSet001\\Services\\Old": {"Type": 16, "Start": 2},
    "ControlSet002\\Control\\Session Manager\\Environment": {"PROCESSOR_ARCHITECTURE": "AMD64", "Tools": "D:\\Tools"},
    f"{SERVICES}\\Dnscache": {
        "Type": 0x20,
        "Start": 2,
        "DisplayName": "@%SystemRoot%\\System32\\dnsapi.dll,-101",
        "Description": "@%SystemRoot%\\System32\\dnsapi.dll,-102",
        "ImagePath": expand("%SystemRoot%\\system32\\svchost.exe -k NetworkService -p"),
        "ObjectName": "NT AUTHORITY\\NetworkService",
        "FailureActions": actions(86_400, (1, 60_000), (1, 500), (0, 0)),
    },
    f"{SERVICES}\\Dnscache\\Parameters": {"ServiceDll": expand("%SystemRoot%\\System32\\dnsrslvr.dll")},
    f"{SERVICES}\\wuauserv": {"Type": 0x20, "Start": 2, "DelayedAutostart": 1, "DisplayName": "Windows Update"},
    f"{SERVICES}\\Überwachung": {
        "Type": 0x110,
        "Start": 3,
        "ImagePath": '"%Tools%\\ü.exe" %1',
        "Description": "@oem3.inf,%desc%;Prüft alles",
        "FailureActions": actions(0xFFFFFFFF, (3, 0), (2, 1_000)),
        "FailureCommand": "notify.exe",
        "FailureActionsOnNonCrashFailures": 1,
    },
    f"{SERVICES}\\Off": {"Type": 0x10, "Start": 4, "ImagePath": "off.exe", "ObjectName": ".\\svc"},
    f"{SERVICES}\\PerUser": {"Type": 0x60, "Start": 2},
    f"{SERVICES}\\PerUser_1a2b3": {"Type": 0xE0, "Start": 2},
    f"{SERVICES}\\disk": {"Type": 1, "Start": 0},
    f"{SERVICES}\\Broken": {"Type": 0x10, "Start": 3, "FailureActions": (3, b"\1\2")},
    f"{SERVICES}\\.NET Data": {"x": 1},
}
SOFTWARE: Content = {
    f"{CURRENT}": {"ProgramFilesDir": "C:\\Program Files", "ProgramFilesDir (x86)": "C:\\Program Files (x86)"},
    "Microsoft\\Windows NT\\CurrentVersion": {"SystemRoot": "C:\\Windows"},
    f"Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\{ALICE}": {"ProfileImagePath": expand("C:\\Users\\alice")},
    f"Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\{BOB}": {"ProfileImagePath": expand("D:\\Users\\bob")},
    "Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\S-1-5-18": {"ProfileImagePath": "%systemroot%\\x"},
    f"{UNINSTALL}\\Git_is1": {
        "DisplayName": "Git",
        "DisplayVersion": "2.44.0",
        "Publisher": "The Git Development Community",
        "InstallDate": "20240131",
        "EstimatedSize": 300,
        "Comments": "Versionsverwaltung für alle",
    },
    f"{UNINSTALL}\\Tool 9": {"DisplayName": "Tool", "DisplayVersion": "9.0"},
    f"{UNINSTALL}\\Tool 10": {"DisplayName": "Tool", "DisplayVersion": "10.0"},
    f"{UNINSTALL}\\{{0E8670B8-3965-4930-ADA6-570348B67153}}": {
        "DisplayName": "By Windows Installer",
        "DisplayVersion": "1.2",
        "WindowsInstaller": 1,
    },
    f"{UNINSTALL}\\Nameless": {"DisplayVersion": "1"},
    f"{UNINSTALL}\\Framework.KB2468871": {
        "DisplayName": "Update for Framework",
        "ParentKeyName": "Framework",
        "ReleaseType": "Update",
    },
    # An update of two products that is a patch of Windows Installer's, and one that Windows itself has as well.
    **{
        f"{UNINSTALL}\\{product}_{{01}}": {"DisplayName": "Update for Both (KB4022222)", "ParentKeyName": product}
        for product in ("Office.A", "Office.B")
    },
    f"{UNINSTALL}\\KB5034441": {"DisplayName": "Security Update (KB5034441)", "ReleaseType": "Security Update"},
    f"{PRODUCTS}\\8B0768E056930394DA6A7530846B1735\\Patches\\22222233445566778899AABBCCDDEEFF": {
        "DisplayName": "Update for Both (KB4022222) 32-Bit Edition",
        "State": 1,
    },
    f"Wow6432Node\\{UNINSTALL}\\Git_is1": {"DisplayName": "Git", "DisplayVersion": "2.40.0"},
    f"{PRODUCTS}\\8B0768E056930394DA6A7530846B1735\\InstallProperties": {
        "DisplayName": "By Windows Installer",
        "DisplayVersion": "1.2",
    },
    f"{PRODUCTS}\\8B0768E056930394DA6A7530846B1735\\Patches\\00112233445566778899AABBCCDDEEFF": {
        "DisplayName": "Security Update for Installer (KB4011574)",
        "State": 1,
        "Installed": "20240201",
    },
    f"{PRODUCTS}\\8B0768E056930394DA6A7530846B1735\\Patches\\FF112233445566778899AABBCCDDEEFF": {
        "DisplayName": "Superseded (KB4011000)",
        "State": 2,
    },
    f"{PRODUCTS}\\00000000000000000000000000000001\\InstallProperties": {
        "DisplayName": "Hidden product",
        "DisplayVersion": "3",
    },
    f"{PACKAGES}\\Package_for_KB5034441~31bf3856ad364e35~amd64~~19041.3920.1.0": {
        "CurrentState": 0x70,
        "InstallTimeHigh": 0x01DA4700,
        "InstallTimeLow": 0,
    },
    f"{PACKAGES}\\Package_for_KB5034441~31bf3856ad364e35~x86~~19041.3000.1.0": {"CurrentState": 0x70},
    f"{PACKAGES}\\Package_1_for_KB5034441~31bf3856ad364e35~amd64~~19041.3920.1.9": {"CurrentState": 0x70},
    f"{PACKAGES}\\Package_for_RollupFix~31bf3856ad364e35~amd64~~19041.3930.1.10": {
        "CurrentState": 0x70,
        "InstallLocation": "\\\\?\\C:\\Windows\\SoftwareDistribution\\Windows10.0-KB5034122-x64.cab\\",
    },
    f"{PACKAGES}\\Package_for_RollupFix~31bf3856ad364e35~amd64~~19041.3803.1.9": {
        "CurrentState": 0x50,
        "InstallLocation": "C:\\Windows10.0-KB5033372-x64.cab",
    },
    f"{PACKAGES}\\Package_for_ServicingStack_3684~31bf3856ad364e35~amd64~~19041.3684.1.0": {"CurrentState": 0x70},
    f"{PACKAGES}\\Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~10.0.19041.1": {"CurrentState": 0x70},
    f"{STORE}\\Microsoft.WindowsCalculator_2020.2103.8.0_neutral_~_8wekyb3d8bbwe": {"Path": "C:\\x.xml"},
    f"{STORE}\\Microsoft.VCLibs.140.00_14.0.30704.0_x64__8wekyb3d8bbwe": {},
    f"{STORE}\\Microsoft.VCLibs.140.00_14.0.29231.0_x64__8wekyb3d8bbwe": {},
    f"{CURRENT}\\Run": {"Agent": expand("%ProgramFiles%\\a.exe"), "": (3, b"\xff\0")},
    f"Wow6432Node\\{CURRENT}\\Run": {"Old": "old.exe"},
    "Microsoft\\Windows NT\\CurrentVersion\\Winlogon": {"Shell": "explorer.exe", "DefaultPassword": "hunter2"},
    "Classes\\*\\shellex": {"star": "literal"},
    "Classes\\txtfile\\shellex": {"star": "other"},
}
NTUSER: Content = {
    f"Software\\{UNINSTALL}\\Chat": {"DisplayName": "Chat", "DisplayVersion": "5"},
    f"Software\\{CURRENT}\\Run": {"Chat": "chat.exe"},
}

CLASSES: Content = {
    "txt": {"": "of Alice"},
    f"{REPOSITORY}\\Contoso.Notes_1.2.0.0_x64__abc": {"DisplayName": "Notes"},
    f"{REPOSITORY}\\Contoso.Notes_1.2.0.0_neutral_split.language-de_abc": {"DisplayName": "Notes"},
    f"{REPOSITORY}\\Microsoft.WindowsCalculator_10.2103.8.0_x64__8wekyb3d8bbwe": {
        "DisplayName": "@{Microsoft.WindowsCalculator?ms-resource://Microsoft.WindowsCalculator/Resources/AppName}"
    },
    f"{REPOSITORY}\\no name of a package": {},
}


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("windows")
    merge(root / CONFIG / "SYSTEM", SYSTEM)
    merge(root / CONFIG / "SOFTWARE", SOFTWARE)
    merge(root / CONFIG / "SAM", {"SAM\\Domains\\Account\\Users\\000001F4": {"V": (3, b"hash")}})
    merge(root / "users" / "Alice" / "ntuser.dat", NTUSER)
    merge(root / "users/Alice/AppData/Local/Microsoft/Windows/UsrClass.dat", CLASSES)
    return root


def inventory(kind: str, root: Path, *options: str) -> tuple[list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-m", "whatchanged", "inventory", kind, "--root", str(root), "--json", *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def rule_file(folder: Path, *items: dict[str, Any]) -> str:
    settings = {"registrySettings": {"registryInfo": [{"name": f"r{n}", **item} for n, item in enumerate(items)]}}
    extension = {"name": "x", "extensionName": "ChangeTracking-Windows", "extensionSettings": settings}
    path = folder / "rule.json"
    path.write_text(json.dumps({"properties": {"dataSources": {"extensions": [extension]}}}))
    return str(path)


def test_services(disk: Path) -> None:
    rows, said = inventory("services", disk)
    services = {row["SvcName"]: row for row in rows}
    assert list(services) == ["Dnscache", "Off", "PerUser", "wuauserv", "Überwachung"]
    assert services["Dnscache"] == {
        "ConfigDataType": "WindowsServices",
        "Name": "Dnscache",
        "SvcName": "Dnscache",
        "SvcDisplayName": "@%SystemRoot%\\System32\\dnsapi.dll,-101",
        "SvcStartupType": "Auto",
        "SvcDelayedStart": False,
        "SvcAccount": "NT AUTHORITY\\NetworkService",
        "SvcPath": "C:\\Windows\\system32\\svchost.exe -k NetworkService -p",
        "SvcDescription": "@%SystemRoot%\\System32\\dnsapi.dll,-102",
        "SvcServiceDll": "C:\\Windows\\System32\\dnsrslvr.dll",
        "SvcFailureActions": "restart after 60 s, restart after 500 ms, none; reset after 86400 s",
    }
    assert services["wuauserv"]["SvcDelayedStart"] is True
    assert services["wuauserv"]["SvcAccount"] == "LocalSystem"
    other = services["Überwachung"]
    assert other["SvcPath"] == '"D:\\Tools\\ü.exe" %1'
    assert other["SvcDescription"] == "Prüft alles"
    assert other["SvcFailureActions"] == (
        "run the command after 0 s, reboot after 1 s; never reset; command notify.exe; also after an error"
    )
    assert (services["Off"]["SvcStartupType"], services["Off"]["SvcAccount"]) == ("Disabled", ".\\svc")
    assert "Services\\Broken: FailureActions: 2 bytes are too few" in said
    assert "Partial: 5 items seen, 1 failed" in said


def test_software(disk: Path) -> None:
    rows, said = inventory("software", disk)
    facts = {
        (row["SoftwareName"], row["Location"], row.get("Architecture", "")): row.get("CurrentVersion", "")
        for row in rows
        if row["SoftwareType"] == "Application" and not row["Location"].startswith("appx")
    }
    assert facts == {
        ("Git", "uninstall", "x64"): "2.44.0",
        ("Git", "uninstall", "x86"): "2.40.0",
        ("Tool", "uninstall", "x64"): "10.0",
        ("Tool", "uninstall/Tool 9", "x64"): "9.0",
        ("By Windows Installer", "uninstall", "x64"): "1.2",
        ("Hidden product", "msi", ""): "3",
        ("Chat", f"uninstall/{ALICE}", ""): "5",
    }
    git = next(row for row in rows if row["SoftwareName"] == "Git")
    assert git["Publisher"] == "The Git Development Community"
    assert git["SoftwareDescription"] == "Versionsverwaltung für alle"
    assert (git["InstalledAt"], git["Size"]) == ("2024-01-31T00:00:00.0000000Z", 307_200)
    # A profile on another disk is told of, and its programs are not taken for removed.
    assert f"HKEY_USERS\\{BOB}: its profile is at 'D:\\\\Users\\\\bob', and not on this disk" in said


def test_store_packages(disk: Path) -> None:
    rows, _ = inventory("software", disk)
    apps = {
        (row["Location"], row["SoftwareName"], row["Architecture"]): (
            row["CurrentVersion"],
            row.get("SoftwareDescription"),
        )
        for row in rows
        if row["Location"].startswith("appx")
    }
    libraries, older = "Microsoft.VCLibs.140.00", "Microsoft.VCLibs.140.00_14.0.29231.0_x64__8wekyb3d8bbwe"
    assert apps == {
        ("appx", "Microsoft.WindowsCalculator", "neutral"): ("2020.2103.8.0", None),
        ("appx", libraries, "x64"): ("14.0.30704.0", None),
        (f"appx/{older}", libraries, "x64"): ("14.0.29231.0", None),
        (f"appx/{ALICE}", "Contoso.Notes", "x64"): ("1.2.0.0", "Notes"),
        (f"appx/{ALICE}", "Microsoft.WindowsCalculator", "x64"): ("10.2103.8.0", None),
    }


def test_patches(disk: Path) -> None:
    rows, _ = inventory("patches", disk)
    assert {row["SoftwareName"]: (row["Location"], row.get("CurrentVersion", "")) for row in rows} == {
        "Update for Windows (KB5034441)": ("cbs", "19041.3920.1.0"),
        "Update for Windows (KB5034122)": ("cbs", "19041.3930.1.10"),
        "Package_for_ServicingStack_3684": ("cbs", "19041.3684.1.0"),
        "Security Update for Installer (KB4011574)": ("msi", ""),
        "Update for Framework (KB2468871)": ("uninstall", ""),
        "Update for Both (KB4022222)": ("uninstall", ""),
    }
    assert len(rows) == 6
    update = next(row for row in rows if "KB5034441" in row["SoftwareName"])
    assert update["InstalledAt"].startswith("2024-01-14T")
    assert (update["Publisher"], update["Architecture"]) == ("Microsoft Corporation", "x64")


def test_registry_of_the_default_rule(disk: Path) -> None:
    rows, said = inventory("registry", disk)
    values = {(row["RegistryKey"], row.get("ValueName", "")): row for row in rows}
    run = f"HKEY_LOCAL_MACHINE\\SOFTWARE\\{CURRENT}\\Run"
    assert values[run, "Agent"]["ValueType"] == "REG_EXPAND_SZ"
    assert values[run, "Agent"]["ValueData"] == "%ProgramFiles%\\a.exe"
    assert (values[run, ""]["ValueType"], values[run, ""]["ValueData"]) == ("REG_BINARY", "FF00")
    assert (f"HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node\\{CURRENT}\\Run", "Old") in values
    winlogon = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon"
    assert values[winlogon, "Shell"]["ValueData"] == "explorer.exe"
    assert values[winlogon, "DefaultPassword"]["ValueData"].startswith("not shown: 16 bytes, SHA-256 ")
    assert "no such key: HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Control\\Lsa" in said
    assert all(row["Hive"] == "HKEY_LOCAL_MACHINE" for row in rows)


def test_registry_by_rules(disk: Path, tmp_path: Path) -> None:
    rule = rule_file(
        tmp_path,
        {"keyName": f"HKCU\\Software\\{CURRENT}\\Run"},
        {"keyName": "HKEY_CLASSES_ROOT\\*\\ShellEx", "valueName": "STAR"},
        {"keyName": "HKLM\\Software\\Classes\\txt????\\shellex"},
        {"keyName": "HKLM\\SYSTEM\\CurrentControlSet\\**\\Environment", "valueName": "T*"},
        {"keyName": "HKEY_LOCAL_MACHINE\\SAM", "recurse": True},
        {"keyName": f"HKU\\{ALICE}\\Software\\Classes\\txt"},
        {"keyName": "HKLM\\SOFTWARE\\Microsoft\\Win*\\CurrentVersion\\Run", "valueName": "(Default)", "enabled": False},
        {"keyName": "HKLM\\SOFTWARE\\Microsoft\\Win*\\CurrentVersion\\Run", "valueName": "(Default)"},
    )
    rows, said = inventory("registry", disk, "--rule", rule)
    found = {(row["RegistryKey"], row.get("ValueName", "")): (row["ValueData"], row["RuleName"]) for row in rows}
    secret = found.pop(("HKEY_LOCAL_MACHINE\\SAM\\SAM\\Domains\\Account\\Users\\000001F4", "V"))
    assert secret[0].startswith("not shown: 4 bytes")
    assert found == {
        (f"HKEY_USERS\\{ALICE}\\Software\\{CURRENT}\\Run", "Chat"): ("chat.exe", "r0"),
        ("HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes\\*\\shellex", "star"): ("literal", "r1"),
        ("HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes\\txtfile\\shellex", "star"): ("other", "r2"),
        (
            "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment",
            "Tools",
        ): ("D:\\Tools", "r3"),
        (f"HKEY_USERS\\{ALICE}\\Software\\Classes\\txt", ""): ("of Alice", "r5"),
        (f"HKEY_LOCAL_MACHINE\\SOFTWARE\\{CURRENT}\\Run", ""): ("FF00", "r7"),
    }
    assert "no such key" not in said


def test_everything_below_a_hive_is_what_hivex_reads(disk: Path, tmp_path: Path) -> None:
    rule = rule_file(tmp_path, {"keyName": "HKLM\\SOFTWARE", "recurse": True})
    rows, _ = inventory("registry", disk, "--rule", rule)
    ours = {(row["RegistryKey"].partition("SOFTWARE")[2].strip("\\"), row.get("ValueName", "")) for row in rows}
    assert ours == set(by_hivex(disk / CONFIG / "SOFTWARE"))
    assert len(rows) == len(ours)


def test_hives_that_are_missing_corrupt_or_dirty_are_told(tmp_path: Path) -> None:
    system = merge(tmp_path / CONFIG / "SYSTEM", SYSTEM)
    (tmp_path / CONFIG / "SOFTWARE").write_bytes(b"nothing of the kind" * 100)
    rows, said = inventory("services", tmp_path)
    assert len(rows) == 5
    assert "SOFTWARE: Windows/System32/config/SOFTWARE does not begin with 'regf'" in said
    rows, said = inventory("software", tmp_path)
    assert rows == []
    assert "Failed: 0 items" in said
    before = system.read_bytes()
    system.write_bytes(sequenced(before, 9, 8))
    _, said = inventory("services", tmp_path)
    assert "SYSTEM was not closed cleanly, and there is no log of it that can be read" in said
    (tmp_path / CONFIG / "system.log1").write_bytes(log_of(before, 8, {0: before[4096:8192]}))
    rows, said = inventory("services", tmp_path)
    assert len(rows) == 5
    assert "HKEY_LOCAL_MACHINE\\SYSTEM: 1 writes that its logs held were taken in" in said
    assert "not closed cleanly" not in said


def test_links_on_the_disk_lead_nowhere(disk: Path, tmp_path: Path) -> None:
    (tmp_path / CONFIG).mkdir(parents=True)
    (tmp_path / CONFIG / "SYSTEM").symlink_to(disk / CONFIG / "SYSTEM")
    rows, said = inventory("services", tmp_path)
    assert rows == []
    assert "SYSTEM: Windows/System32/config/SYSTEM: ELOOP" in said
    shutil.rmtree(tmp_path / CONFIG)
    (tmp_path / CONFIG).symlink_to(disk / CONFIG)
    rows, said = inventory("services", tmp_path)
    assert rows == []
    assert "SYSTEM: Windows/System32/config/SYSTEM: ELOOP" in said


def test_a_log_that_cannot_be_read_is_told_and_the_hive_is_read(disk: Path, tmp_path: Path) -> None:
    system = merge(tmp_path / CONFIG / "SYSTEM", SYSTEM)
    before = system.read_bytes()
    system.write_bytes(sequenced(before, 9, 8))
    (tmp_path / CONFIG / "SYSTEM.LOG1").write_bytes(log_of(before, 8, {0: before[4096:8192]}))
    (tmp_path / CONFIG / "SYSTEM.LOG2").symlink_to(disk)
    rows, said = inventory("services", tmp_path)
    assert len(rows) == 5
    assert "SYSTEM.LOG2: ELOOP" in said
    assert "1 writes that its logs held were taken in" in said


def test_what_could_not_be_looked_at_was_not_removed(disk: Path, tmp_path: Path) -> None:
    snapshot = RegistrySoftware(MountedRegistry(os.fsencode(disk))).run()
    kept = {beginning.decode() for beginning in snapshot.kept}
    unread = (".DEFAULT", "S-1-5-19", "S-1-5-20", BOB)
    assert kept == {f"{source}/{user}" for user in unread for source in ("uninstall", "msi", "appx")}
    of_alice = {f"{source}/{ALICE}" for source in ("uninstall", "msi", "appx")}
    assert snapshot.scopes == {"uninstall", "msi", "cbs", "appx"} | of_alice
    # One key of the uninstall entries damaged: its record no longer begins with `nk`.
    shutil.copytree(disk / CONFIG, tmp_path / CONFIG)
    hive = tmp_path / CONFIG / "SOFTWARE"
    raw = bytearray(hive.read_bytes())
    place = raw.index(b"Git_is1") - 76
    assert raw[place : place + 2] == b"nk"
    raw[place : place + 2] = b"xx"
    hive.write_bytes(raw)
    damaged = RegistrySoftware(MountedRegistry(os.fsencode(tmp_path))).run()
    assert {"uninstall", "msi", "cbs", "appx"} <= {beginning.decode() for beginning in damaged.kept}
    assert damaged.scopes == frozenset()
    assert {item.key() for item in damaged.items} < {item.key() for item in snapshot.items}
    assert damaged.outcome.status == RunStatus.PARTIAL


@pytest.mark.parametrize(("damaged", "source"), [("ntuser.dat", "uninstall"), ("UsrClass.dat", "appx")])
def test_software_of_a_user_whose_hive_is_damaged_was_not_removed(
    disk: Path, tmp_path: Path, damaged: str, source: str
) -> None:
    root = tmp_path / "disk"
    shutil.copytree(disk, root)
    whole = RegistrySoftware(MountedRegistry(os.fsencode(root))).run()
    (hive,) = root.rglob(damaged)
    raw = bytearray(hive.read_bytes())
    raw[4096 + 32 + 4 : 4096 + 32 + 6] = b"xx"  # the record of its root key
    hive.write_bytes(raw)
    snapshot = RegistrySoftware(MountedRegistry(os.fsencode(root))).run()
    missing = {item.key() for item in whole.items} - {item.key() for item in snapshot.items}
    begin = f"{source}/{ALICE}".encode()
    assert missing
    assert all(key.startswith(begin + b"\0") for key in missing)
    assert begin in snapshot.kept
    assert whole.scopes - snapshot.scopes == {f"{source}/{ALICE}" for source in ("uninstall", "msi", "appx")}


def test_products_of_a_user_whose_hive_is_not_read_are_not_told_of_twice(tmp_path: Path) -> None:
    product = "8B0768E056930394DA6A7530846B1735"
    software: Content = {
        "Microsoft\\Windows NT\\CurrentVersion": {"SystemRoot": "C:\\Windows"},
        f"Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\{ALICE}": {"ProfileImagePath": "C:\\Users\\alice"},
        f"{PRODUCTS.replace('S-1-5-18', ALICE)}\\{product}\\InstallProperties": {"DisplayName": "Mine"},
    }
    uninstall = f"Software\\{UNINSTALL}\\{{0E8670B8-3965-4930-ADA6-570348B67153}}"
    merge(tmp_path / CONFIG / "SYSTEM", {"Select": {"Current": 1}})
    merge(tmp_path / CONFIG / "SOFTWARE", software)
    hive = merge(tmp_path / "Users/alice/NTUSER.DAT", {uninstall: {"DisplayName": "Mine"}})
    (item,) = RegistrySoftware(MountedRegistry(os.fsencode(tmp_path))).run().items
    assert item.location() == f"uninstall/{ALICE}"
    hive.unlink()
    unread = RegistrySoftware(MountedRegistry(os.fsencode(tmp_path))).run()
    assert unread.items == ()
    assert {f"uninstall/{ALICE}".encode(), f"msi/{ALICE}".encode()} <= set(unread.kept)


def test_a_profile_put_aside_is_no_account(tmp_path: Path) -> None:
    profiles = "Microsoft\\Windows NT\\CurrentVersion\\ProfileList"
    names = (ALICE, f"{BOB}.bak", "S-1-5-80-1-2", "S-1-5-18")
    merge(tmp_path / CONFIG / "SOFTWARE", {f"{profiles}\\{name}": {"ProfileImagePath": "C:\\x"} for name in names})
    assert MountedRegistry(os.fsencode(tmp_path)).profiles() == (ALICE, "S-1-5-80-1-2")


def test_hives_that_the_running_system_has_not_loaded(disk: Path) -> None:
    running = MountedRegistry(os.fsencode(disk))
    source = MountedRegistry(os.fsencode(disk), running=running)
    key = source.open(f"HKEY_USERS\\{ALICE}\\Software\\{UNINSTALL}\\Chat")
    assert key is not None
    assert source.open(f"HKEY_USERS\\{ALICE}\\Software\\Classes\\txt") is not None
    # Bob's profile is on another drive, which is one of the running system.
    assert source.open(f"HKEY_USERS\\{BOB}") is None
    assert [failure.reason for failure in source.tally.outcome().failures] == ["Users/bob/NTUSER.DAT is not there"]


def test_a_deleted_profile_of_the_running_system_is_no_account(disk: Path, tmp_path: Path) -> None:
    root = tmp_path / "disk"
    shutil.copytree(disk, root)
    running = MountedRegistry(os.fsencode(root))
    assert MountedRegistry(os.fsencode(root), running=running).profiles() == (ALICE, BOB)
    (root / "users/Alice/ntuser.dat").unlink()
    # Whether Bob has one nobody knows while his drive is not there.
    assert MountedRegistry(os.fsencode(root), running=running).profiles() == (BOB,)
    assert running.profiles() == (ALICE, BOB)


@pytest.mark.parametrize("target", ["\\Registry\\Machine\\SOFTWARE", f"\\Registry\\User\\{BOB}\\Software"])
def test_a_user_cannot_lead_us_to_hives_that_are_loaded(disk: Path, tmp_path: Path, target: str) -> None:
    link = {"SymbolicLinkValue": (6, target.encode("utf-16-le"))}
    shutil.copytree(disk / CONFIG, tmp_path / CONFIG)
    hive = merge(tmp_path / "Users/alice/NTUSER.DAT", {"Software\\Microsoft": link})
    raw = bytearray(hive.read_bytes())
    place = raw.index(b"Microsoft") - 76
    raw[place + 2] |= 0x10  # the flag of a link
    hive.write_bytes(raw)
    mounted = MountedRegistry(os.fsencode(tmp_path))
    source = MountedRegistry(os.fsencode(tmp_path), running=mounted)
    assert (mounted.open(f"HKEY_USERS\\{ALICE}\\Software\\Microsoft") is None) == ("User" in target)
    assert source.open(f"HKEY_USERS\\{ALICE}\\Software\\Microsoft") is None
    assert source.tally.outcome().failures_total == 0


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=80))
def test_readers_stand_every_damage(disk: Path, tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    (tmp_path / CONFIG).mkdir(parents=True, exist_ok=True)
    for name in ("SYSTEM", "SOFTWARE"):
        raw = bytearray((disk / CONFIG / name).read_bytes())
        for place, byte in changes:
            raw[4096 + place % (len(raw) - 4096)] = byte
        (tmp_path / CONFIG / name).write_bytes(raw)
    source = MountedRegistry(os.fsencode(tmp_path))
    rows = [item.columns() for item in RegistryServices(source).run().items]
    rows += [item.columns() for item in RegistrySoftware(source).run().items]
    everything = [RegistryRule(name=hive, key_name=hive, recurse=True) for hive in ("HKLM", "HKU")]
    rows += [looked.item.columns() for looked in RegistryCollector(source, everything).run()]
    json.dumps(rows, ensure_ascii=False).encode()


def test_kinds_that_a_disk_cannot_tell_of(disk: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "whatchanged", "inventory"]
    done = subprocess.run([*command, "daemons", "--root", str(disk)], capture_output=True, text=True)
    assert (done.returncode, "of a mounted Windows system" in done.stderr) == (2, True)
    done = subprocess.run([*command, "services", "--root", str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, "of a mounted Linux system" in done.stderr) == (2, True)


@pytest.mark.skipif(sample_hives() is None, reason="no real hives: WHATCHANGED_SAMPLE_HIVES names their folder")
def test_services_of_a_real_machine(tmp_path: Path) -> None:
    hive = unpacked("SYSTEM", tmp_path / CONFIG / "SYSTEM")
    rows, _ = inventory("services", tmp_path)
    values = by_hivex(hive)
    current = int.from_bytes(values["Select", "Current"][1], "little")
    prefix = f"controlset{current:03}\\services\\"
    wanted = {
        key[len(prefix) :]: values.get((key, "Start"))
        for (key, name), (_, data) in values.items()
        if key.lower().startswith(prefix) and key.count("\\") == 2 and name == "Type" and data[0] & 0xB0 in (16, 32, 48)
    }
    kinds = {"Boot": 0, "System": 1, "Auto": 2, "Manual": 3, "Disabled": 4}
    assert {row["SvcName"]: (4, kinds[row["SvcStartupType"]].to_bytes(4, "little")) for row in rows} == wanted
    assert len(rows) > 100
