"""What of these tests belongs to one system only; those of Windows run under Wine too (tests/wine)."""

import sys

collect_ignore = ["test_unix_socket_files.py"] if sys.platform == "win32" else ["test_named_pipes.py"]
