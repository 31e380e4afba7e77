"""Data collection rules: read every real variant, defaults, merge, match paths. Pure.

The exceptions to "pure" are `Policy.load` and `Variables.load`, which read a file of the machine each.
"""

from whatchanged.rules.default import DEFAULT_RULE, EMPTY_RULE, UPSTREAM_RULE
from whatchanged.rules.document import DataSource, Rule, read
from whatchanged.rules.ids import immutable_id, is_immutable_id
from whatchanged.rules.intakes import Intake
from whatchanged.rules.items import (
    FileRule,
    FileType,
    Links,
    Problem,
    RegistryRule,
    Severity,
    links_of,
)
from whatchanged.rules.policy import Policy
from whatchanged.rules.scope import FileScope, FolderScope, Reason
from whatchanged.rules.settings import LINUX, OWN_EXTENSION, WINDOWS, ExtensionSettings, merge, read_extension_settings
from whatchanged.rules.variables import Variables

__all__ = [
    "DEFAULT_RULE",
    "EMPTY_RULE",
    "LINUX",
    "OWN_EXTENSION",
    "UPSTREAM_RULE",
    "WINDOWS",
    "DataSource",
    "ExtensionSettings",
    "FileRule",
    "FileScope",
    "FileType",
    "FolderScope",
    "Intake",
    "Links",
    "Policy",
    "Problem",
    "Reason",
    "RegistryRule",
    "Rule",
    "Severity",
    "Variables",
    "immutable_id",
    "is_immutable_id",
    "links_of",
    "merge",
    "read",
    "read_extension_settings",
]
