r"""A registry that a test makes up: full path of a key → name of a value → type and data."""

from __future__ import annotations

from collections.abc import Iterator

from whatchanged.collectors.outcome import Tally
from whatchanged.collectors.registry import RegistryKey, RegistryValue
from whatchanged.records.registry_values import name_bytes
from whatchanged.rules.registry_scope import folded

__all__ = ["MemoryKey", "MemoryRegistry"]


class MemoryRegistry:
    """A source; what is `denied` cannot be read, nor anything below it."""

    def __init__(self, keys: dict[str, dict[str, tuple[int, bytes]]], denied: frozenset[str] = frozenset()) -> None:
        self.keys = keys
        self.denied = denied
        self.tally = Tally()
        self.unlisted: set[tuple[str, str]] = set()
        """Key and name of values that a listing passes over."""

    def open(self, path: str) -> RegistryKey | None:
        found: MemoryKey | None = None
        for number, name in enumerate(path.split("\\")):
            found = MemoryKey(self, name) if number == 0 else found and found.subkey(name)
        return found

    def users(self) -> tuple[str, ...]:
        return ()


class MemoryKey:
    """A key; it is there if a key stands at its path or below it."""

    written_ns = None
    link = False

    def __init__(self, source: MemoryRegistry, path: str) -> None:
        self._source = source
        self.path = path
        self.name = path.rpartition("\\")[2]

    def subkeys(self) -> Iterator[RegistryKey]:
        names = {path[len(self.path) + 1 :].partition("\\")[0] for path in self._source.keys if self._holds(path)}
        for name in sorted(names):
            if (found := self.subkey(name)) is not None:
                yield found

    def subkey(self, name: str) -> MemoryKey | None:
        for path in filter(self._holds, self._source.keys):
            own = path[: len(self.path) + 1 + len(name)]
            if folded(own) != folded(f"{self.path}\\{name}") or path[len(own) :][:1] not in ("", "\\"):
                continue
            if own in self._source.denied:
                # In another spelling than the key's own, as of a key that nobody may open.
                self._source.tally.deny(name_bytes(own.upper()), "access is denied")
                return None
            return MemoryKey(self._source, own)
        return None

    def values(self) -> Iterator[RegistryValue]:
        for name, (kind, data) in self._source.keys.get(self.path, {}).items():
            if (self.path, name) not in self._source.unlisted:
                yield RegistryValue(name, kind, data)

    def value(self, name: str) -> RegistryValue | None:
        found = self._source.keys.get(self.path, {}).get(name)
        return None if found is None else RegistryValue(name, *found)

    def _holds(self, path: str) -> bool:
        return path.startswith(f"{self.path}\\")
