"""The witness: a small file beside the state database that tells whether the database is still the one we left.

A state database that was copied, restored or rolled back would number records with sequences that were used
before. SQLite cannot notice that, so the witness remembers what the database cannot have lost: which file it
was (device and inode), how often it was opened, and how far each stream was sent. It is on disk before records
leave the machine, so it is never behind what others have seen.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from whatchanged.errors import StorageFull

__all__ = ["Witness"]


class Witness(msgspec.Struct, kw_only=True):
    """What was last known of the database."""

    epoch: str
    opened: int
    """How often the database was opened."""
    device: int
    inode: int
    sent: dict[str, int] = msgspec.field(default_factory=dict)
    """Stream → highest sequence handed to the pipe."""

    def objection(self, *, epoch: str, opened: int, file: os.stat_result, last: dict[str, int]) -> str:
        """Return why the database of these facts is not the one we left, or an empty string."""
        if self.epoch != epoch:
            return "the state database is another one"
        if (self.device, self.inode) != (file.st_dev, file.st_ino):
            return "the state database is a copy"
        if self.opened > opened or any(number > last.get(stream, 0) for stream, number in self.sent.items()):
            return "the state database was rolled back"
        return ""

    @classmethod
    def load(cls, path: str) -> Witness | None:
        """Read the file; None if there is none or it cannot be read as one."""
        try:
            with open(path, "rb") as stream:
                return msgspec.json.decode(stream.read(65536), type=cls)
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, path: str) -> None:
        """Write the file atomically; it is on disk when this returns. Raises StorageFull."""
        temporary = f"{path}.new"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(msgspec.json.encode(self))
                stream.flush()
                # A file that was renamed into place without this may be empty after a power failure.
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise StorageFull(f"cannot write {path}: {error.strerror}") from error
