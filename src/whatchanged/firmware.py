"""What the firmware says of the machine."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import ctypes

    from whatchanged.smbios import system_uuid

__all__ = ["vm_uuid"]

if sys.platform == "win32":
    _SMBIOS = int.from_bytes(b"RSMB", "big")
    _MOST_BYTES = 16 * 1024 * 1024
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _table = _kernel32.GetSystemFirmwareTable
    _table.argtypes = [ctypes.c_uint32, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32]
    _table.restype = ctypes.c_uint32

    def vm_uuid(root: str = "/") -> str:
        """Return the hardware's UUID as its firmware tells it, lower case, or an empty string.

        Always of the machine that runs: `root` is for systems that tell it in a file.
        """
        size = _table(_SMBIOS, 0, None, 0)
        if not 0 < size <= _MOST_BYTES:
            return ""
        buffer = ctypes.create_string_buffer(size)
        # It stays as it is while the system runs: a table that needs more room than it said is none.
        filled = _table(_SMBIOS, 0, buffer, size)
        return system_uuid(buffer.raw[:filled]) if filled <= size else ""

else:

    def vm_uuid(root: str = "/") -> str:
        """Return the hardware's UUID as its firmware tells it, lower case, or an empty string."""
        try:
            with open(os.path.join(root, "sys/class/dmi/id/product_uuid"), "rb") as stream:
                return stream.readline(128).decode("ascii", "replace").strip().lower()
        except OSError:
            return ""
