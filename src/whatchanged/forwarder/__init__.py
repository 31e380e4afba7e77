"""Process 2: fetches the configuration, keeps records safe, uploads them. No privilege."""

import sys

# httpx takes its command line along, with click, rich and pygments (5 MB), wherever they are installed. An entry None
# lets that import fail (the Python reference, "The module cache"), and httpx goes without, as where they are not.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
