"""On Windows without the suites that ask a Linux: its C library, its find(1), its owners of files."""

import sys

_LINUX = ["test_agreement_with_find.py", "test_path_patterns.py", "test_path_variables.py", "test_policy_file.py"]
collect_ignore_glob = _LINUX if sys.platform == "win32" else []
