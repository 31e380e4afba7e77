"""What an editor wants to know of a query that is being written: what could stand at a place, and what stands there.

Pure, over the tables of the compiler. Works on any text, however broken, and never raises; a text that is longer than
`MAX_TEXT` has no answers.
"""

from whatchanged.kql.editor.completion import Suggestion, complete
from whatchanged.kql.editor.explanation import Explanation, explain
from whatchanged.kql.editor.place import MAX_TEXT

__all__ = ["MAX_TEXT", "Explanation", "Suggestion", "complete", "explain"]
