"""Logging: one line a message on standard error, safe to read on a terminal and to ship.

File names and other text from the machine reach the log only through `%s` arguments; control characters
in them are escaped here, so that a name with a newline or an escape sequence can neither forge a line nor
drive a terminal (CVE-2025-54389 is the class of attack).
"""

from __future__ import annotations

import logging
import sys
import time
import unicodedata
from typing import Any

__all__ = ["configure", "printable"]

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Bidirectional controls reorder what a reader sees (CVE-2021-42574), so they are escaped with the controls.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""Return `text` with control, format and surrogate characters written as `\xNN` or `\uNNNN`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN_CATEGORIES else c for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        # The message of an exception may hold a hostile name, with a newline that begins a line of its own.
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"  {printable(line)}" for line in lines)


def configure(level: str = "INFO", handler: logging.Handler | None = None) -> None:
    """Send the records of every logger to `handler` (standard error) at `level` (a name of `logging`) and above."""
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
