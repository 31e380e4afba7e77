"""Windows only; under Wine too (tests/wine)."""

import sys

collect_ignore_glob = [] if sys.platform == "win32" else ["*.py"]
