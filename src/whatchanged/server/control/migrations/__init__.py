"""Migrations of the control plane, run at start by `database.migrate`."""
