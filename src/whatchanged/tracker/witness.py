"""The witness: a small file beside the state database that tells whether the database is still the one we left.

A state database that was copied, restored or rolled back would number records with sequences that were used
before. SQLite cannot notice that, so the witness remembers what the database cannot have lost: which file it
was (inode and birth time; the number of a device may be another one after every start of the machine), how often it
was opened, and how far each stream was sent. It is on disk before records leave the machine, so it is never behind
what others have seen.
"""

from __future__ import annotations

import contextlib
import os
import sys

import msgspec

from whatchanged.errors import StorageFull

if sys.platform != "win32":
    from whatchanged.collectors.files.system import birth_time

__all__ = ["Witness"]


class Witness(msgspec.Struct, kw_only=True):
    """What was last known of the database."""

    epoch: str
    opened: int
    """How often the database was opened."""
    inode: int
    born: int = 0
    """Birth time of the file in nanoseconds; 0 where the file system has none."""
    sent: dict[str, int] = msgspec.field(default_factory=dict)
    """Stream → highest sequence handed to the pipe."""

    @classmethod
    def of(cls, path: str, *, epoch: str, opened: int) -> Witness:
        """Return the witness of the database at `path`, of which nothing was sent yet."""
        return cls(epoch=epoch, opened=opened, inode=os.stat(path).st_ino, born=_born(path))

    def objection(self, *, epoch: str, opened: int, path: str, last: dict[str, int], before: str = "") -> str:
        """Return why the database at `path` is not the one we left, or an empty string.

        `last`: its last sequences; `before`: the epoch before its own. A new epoch is committed before the witness
        learns of it, so a crash in between leaves a witness of the epoch before.
        """
        if self.epoch != epoch and (not before or self.epoch != before):
            return "the state database is another one"
        if self.inode != os.stat(path).st_ino or self.born != _born(path):
            return "the state database is a copy"
        sent = self.sent if self.epoch == epoch else {}
        if self.opened > opened or any(number > last.get(stream, 0) for stream, number in sent.items()):
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
        """Write the file atomically. Raises StorageFull.

        The content is on disk before the name is: after a power loss the file is the old or the new one, never an
        empty one, which would end the life of the database.
        """
        temporary = f"{path}.new"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(msgspec.json.encode(self))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise StorageFull(f"cannot write {path}: {error.strerror}") from error


def _born(path: str) -> int:
    if sys.platform == "win32":
        return 0
    else:  # noqa: RET505 - mypy does not look at names of the other platform only in a branch
        # By name, through its folder: closing a descriptor of the database would drop SQLite's locks on it.
        folder, name = os.path.split(path)
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return birth_time(descriptor, os.fsencode(name)) or 0
        finally:
            os.close(descriptor)
