"""The words of the language that are more than names, and where each may be a name all the same.

The sorts are those of the vendor's parser: it is a keyword's sort, not its use, that decides whether a column may be
called by it without brackets.
"""

from __future__ import annotations

__all__ = [
    "CONTEXTUAL_NAMES",
    "DASHED",
    "EXTENDED_NAMES",
    "KEYWORDS",
    "NAMES",
    "NEGATED",
    "OPTIONS",
    "TYPED",
    "TYPES",
    "words",
]


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


NAMES = words(
    "access alias bin consume count database declare default distinct entity_group evaluate extend facet filter fork"
    " from getschema edges id best_effort join let limit lookup mvapply mvexpand nodes null nulls on optional order"
    " output pack parse __partitionby partition pattern plotly graph query_parameters range reduce regex render"
    " restrict scan serialize sort step summarize take top typeof uuid view with with_node_id bool guid"
)
"""Keywords that are names wherever a name may stand."""

EXTENDED_NAMES = words(
    "accumulate as by contains datatable earliest externaldata find has in invoke latest materialize mdm of print"
    " sample sample-distinct search set sql title to toscalar totable top-nested top-hitters verbose viewers"
    " where"
)
"""Keywords that are names only where a name is given: left of `=` or `:`, beside a `*`."""

CONTEXTUAL_NAMES = frozenset(["kind", "withsource", "with_source"])
"""Keywords that are names where a column or table is read."""

DASHED = words(
    "project-away project-by-names project-keep project-rename project-reorder project-smart mv-apply mv-expand"
    " make-series make-graph parse-where parse-kv sample-distinct top-hitters top-nested granny-asc granny-desc"
    " macro-expand assert-schema graph-match graph-shortest-paths graph-to-table graph-mark-components"
    " graph-where-nodes graph-where-edges partitioned-by materialized-view-combine"
)
"""Keywords with a dash in them: one token each, while `a-b` is three."""

TYPED = words("datetime date timespan time guid int long real double decimal boolean bool")
"""Words that, with a bracket right behind them, are literals."""

TYPES = words(
    "bool boolean date datetime decimal double dynamic guid int int64 int8 long real string time timespan uniqueid"
)
"""Types that a column or parameter may be declared with."""

NEGATED = words(
    "in~ in between contains_cs contains endswith_cs endswith hasprefix_cs hasprefix hassuffix_cs hassuffix has_cs"
    " has startswith_cs startswith"
)
"""Operators with a `!` before them."""

OPTIONS = words(
    "bagexpansion best_effort bin_legacy cycles decodeblocks expandoutput flags force_remote isfuzzy kind"
    " with_itemindex with_match_id with_source with_step_name withsource __crossCluster __crossDB __id __isFuzzy"
    " __noWithSource __packedColumn __sourceColumnIndex"
)
"""Keys of `key = value` right behind an operator's name; as `kind=inner`."""

HINTS = words(
    "hint.concurrency hint.distribution hint.materialized hint.num_partitions hint.pass_filters"
    " hint.pass_filters_column hint.progressive_top hint.remote hint.shufflekey hint.spread hint.strategy"
)
"""More keys of that sort, which say how the vendor's engine should go about it."""

PARSE_KV_PROPERTIES = words("pair_delimiter kv_delimiter quote escape regex greedy")
REDUCE_PROPERTIES = words("threshold characters")
RENDER_PROPERTIES = words(
    "kind title accumulate xcolumn ycolumns anomalycolumns series xtitle ytitle xaxis yaxis legend ysplit ymin ymax"
    " xmin xmax"
)
"""Keys behind `with`."""

_RESERVED = words(
    "and or asc desc between first last others union project datascope hotcache cycles nooptimization relaxed simple"
    " has_any has_all has_cs hasprefix hasprefix_cs hassuffix hassuffix_cs startswith startswith_cs endswith"
    " endswith_cs contains_cs containscs notcontains notcontainscs like likecs notlike notlikecs in~ matches"
    " external_data __executeAndCache __contextual_datatable __projectAway"
    " int8 char uint8 byte int16 uint16 int int32 uint uint32 long int64 ulong uint64 float real decimal double"
    " string time timespan date datetime boolean uniqueid dynamic"
)

KEYWORDS = frozenset([*NAMES, *EXTENDED_NAMES, *CONTEXTUAL_NAMES, *DASHED, *OPTIONS, *_RESERVED]) - {
    "best_effort", "flags", "matches",
}  # fmt: skip
"""Every word that the lexer gives its own kind."""
