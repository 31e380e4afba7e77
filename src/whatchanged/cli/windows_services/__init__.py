"""Tracker and forwarder as services of Windows: what they are, how they are set up, and what runs inside them.

`definition` and `access` are pure; `folders`, `manager`, `event_log`, `host` and `checks` ask the system;
`setup` is what `install` and `uninstall` do there.
"""
