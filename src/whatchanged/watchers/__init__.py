"""Hints that something may have changed, and who did it."""
