"""Files: the walk, the look at one path, and what they are made of.

`FileCollector` walks what a scope takes and yields `FolderLook`s; `look` and `PathLooker` look at single paths.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.collectors.files.accounts import names_of_users
    from whatchanged.collectors.files.budget import Budget, Pressure, Throttle, Unlimited, be_idle
    from whatchanged.collectors.files.listing import FolderLook
    from whatchanged.collectors.files.look import Looked
    from whatchanged.collectors.files.paths import Missing, PathLooker, Unchanged, Unmatched, look
    from whatchanged.collectors.files.scope import FolderScope, Known, Rule, Scope
    from whatchanged.collectors.files.walk import FileCollector, Nothing

    __all__ = [
        "Budget",
        "FileCollector",
        "FolderLook",
        "FolderScope",
        "Known",
        "Looked",
        "Missing",
        "Nothing",
        "PathLooker",
        "Pressure",
        "Rule",
        "Scope",
        "Throttle",
        "Unchanged",
        "Unlimited",
        "Unmatched",
        "be_idle",
        "look",
        "names_of_users",
    ]
