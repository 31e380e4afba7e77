"""The Windows registry: of the running system, and of hive files."""

from whatchanged.collectors.registry.source import RegistryKey, RegistrySource, RegistryValue

__all__ = ["RegistryKey", "RegistrySource", "RegistryValue"]
