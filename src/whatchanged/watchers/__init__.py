"""Watchers: hints that something may have changed, so that it is looked at now and not only with the next poll.

Each watches by one means of the system and speaks through `hints.Watcher`; none of them decides anything.
"""
