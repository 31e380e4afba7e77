"""Query: bounded, read-only answers with stable cursors."""

from whatchanged.server.query.builtin import BUILT_IN
from whatchanged.server.query.check import Parameter, check_given
from whatchanged.server.query.prevalence import GROUPED, GroupFilter, Groups
from whatchanged.server.query.questions import FUNCTIONS, MOST_BYTES, Answer, Questions, Timeout, View
from whatchanged.server.query.reader import (
    MAX_LIMIT,
    ChangeFilter,
    HealthFilter,
    InventoryFilter,
    Page,
    Reader,
)
from whatchanged.server.query.timespan import window
from whatchanged.server.query.turns import Busy, Limits

__all__ = [
    "BUILT_IN", "FUNCTIONS", "GROUPED", "MAX_LIMIT", "MOST_BYTES", "Answer", "Busy", "ChangeFilter", "GroupFilter",
    "Groups", "HealthFilter", "InventoryFilter", "Limits", "Page", "Parameter", "Questions", "Reader", "Timeout",
    "View", "check_given", "window",
]  # fmt: skip
