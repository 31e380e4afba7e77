"""Files: the walk, the look at one path, and what they are made of.

`FileCollector` walks what a scope takes and yields `FolderLook`s; `look` and `PathLooker` look at single paths.
"""

from __future__ import annotations

import sys

from whatchanged.collectors.files.budget import Budget, Pressure, Spent, Throttle, Unlimited, be_idle
from whatchanged.collectors.files.listing import FolderLook
from whatchanged.collectors.files.look import Looked
from whatchanged.collectors.files.native import network_mounts
from whatchanged.collectors.files.paths import Missing, Obstacle, PathLooker, Trace, Unchanged, Unmatched, look
from whatchanged.collectors.files.scope import FolderScope, Known, Rule, Scope
from whatchanged.collectors.files.walk import CONTENT_LIMIT, FileCollector, Nothing

__all__ = [
    "CONTENT_LIMIT",
    "Budget",
    "FileCollector",
    "FolderLook",
    "FolderScope",
    "Known",
    "Looked",
    "Missing",
    "Nothing",
    "Obstacle",
    "PathLooker",
    "Pressure",
    "Rule",
    "Scope",
    "Spent",
    "Throttle",
    "Trace",
    "Unchanged",
    "Unlimited",
    "Unmatched",
    "be_idle",
    "look",
    "network_mounts",
]

if sys.platform != "win32":
    from whatchanged.collectors.files.accounts import names_of_users  # accounts have SIDs elsewhere

    __all__ += ["names_of_users"]
