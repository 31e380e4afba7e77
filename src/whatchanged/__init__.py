"""whatchanged: change tracking and inventory of servers."""

__version__ = "0.1.0"
