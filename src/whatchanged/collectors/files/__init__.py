"""Files: the walk, the look at one path, and what they are made of.

`FileCollector` walks what a scope takes and yields `FolderLook`s; `look` and `PathLooker` look at single paths.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from whatchanged.collectors.files.budget import Budget, Throttle, Unlimited
    from whatchanged.collectors.files.look import Looked
    from whatchanged.collectors.files.scope import FolderScope, Known, Rule, Scope
    from whatchanged.collectors.files.walk import (
        FileCollector,
        FolderLook,
        Missing,
        Nothing,
        PathLooker,
        Unchanged,
        Unmatched,
        look,
    )

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
        "Rule",
        "Scope",
        "Throttle",
        "Unchanged",
        "Unlimited",
        "Unmatched",
        "look",
    ]
