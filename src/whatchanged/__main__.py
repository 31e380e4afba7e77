"""`python -m whatchanged`: the same program as `whatchanged`."""

from __future__ import annotations

import sys

from whatchanged.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
