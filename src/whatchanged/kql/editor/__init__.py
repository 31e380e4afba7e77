"""What an editor wants to know of a query that is being written: what could stand at a place, and what stands there.

Pure, over the tables of the compiler. Works on any text, however broken, and never raises; a text that is longer than
`MAX_TEXT` has no answers.
"""

from whatchanged.kql.editor.completion import Suggestion, complete
from whatchanged.kql.editor.declarations import Declared, declared
from whatchanged.kql.editor.explanation import Explanation, explain
from whatchanged.kql.editor.place import MAX_TEXT
from whatchanged.kql.editor.reference import built_in_functions

__all__ = ["MAX_TEXT", "Declared", "Explanation", "Suggestion", "built_in_functions", "complete", "declared", "explain"]
