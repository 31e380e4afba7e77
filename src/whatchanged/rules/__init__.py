"""Data collection rules: read every real variant, defaults, merge, match paths. Pure.

The one exception to "pure" is `Policy.load`, which reads the machine's policy file.
"""

from whatchanged.rules.default import DEFAULT_RULE
from whatchanged.rules.document import DataSource, Rule, read
from whatchanged.rules.ids import immutable_id, is_immutable_id
from whatchanged.rules.items import (
    FileRule,
    FileType,
    Links,
    Problem,
    RegistryRule,
    Severity,
    WindowsFileRule,
    links_of,
)
from whatchanged.rules.policy import Policy
from whatchanged.rules.scope import FileScope, FolderScope
from whatchanged.rules.settings import LINUX, WINDOWS, ExtensionSettings, merge, read_extension_settings

__all__ = [
    "DEFAULT_RULE",
    "LINUX",
    "WINDOWS",
    "DataSource",
    "ExtensionSettings",
    "FileRule",
    "FileScope",
    "FileType",
    "FolderScope",
    "Links",
    "Policy",
    "Problem",
    "RegistryRule",
    "Rule",
    "Severity",
    "WindowsFileRule",
    "immutable_id",
    "is_immutable_id",
    "links_of",
    "merge",
    "read",
    "read_extension_settings",
]
