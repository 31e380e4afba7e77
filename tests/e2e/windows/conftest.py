"""On Windows only, as an administrator, with a program that stands in %ProgramFiles%; under Wine too (tests/wine)."""

import sys

collect_ignore_glob = [] if sys.platform == "win32" else ["*.py"]
