# ruff: noqa: E501 (a statement a line)
"""What the manual states without an example of its own, or with one over tables that only the vendor has.

Each statement names its page (MicrosoftDocs/dataexplorer-docs, data-explorer/kusto/query) and what it says there, in
short; the query and its rows follow from that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["ALIASES", "REFUSED", "STATEMENTS", "Statement"]


@dataclass(frozen=True)
class Statement:
    """Something that the manual says, as a query and its rows."""

    page: str
    says: str
    query: str
    rows: tuple[tuple[Any, ...], ...]


def _of(page: str, says: str, query: str, *row: Any) -> Statement:
    return Statement(page, says, query, (row,))


_THREE = "datatable(k: string, v: long)['a', 1, 'a', 2, 'b', 5]"

STATEMENTS = (
    # numbers
    _of("acos-function", "the angle whose cosine is x; null beyond -1 and 1", "print acos(0.5), acos(2.0)", math.pi / 3, None),
    _of("tan-function", "the tangent", "print tan(1)", math.tan(1)),
    _of("sqrt-function", "a number such that sqrt(x) * sqrt(x) == x; null below 0", "print sqrt(9), sqrt(-1)", 3, None),
    _of("exp-function", "e to the power of x", "print exp(1)", math.e),
    _of("exp2-function", "2 to the power of x", "print exp2(3)", 8),
    _of("exp10-function", "10 to the power of x", "print exp10(2)", 100),
    _of("log10-function", "the logarithm to the base of 10; null below 0", "print log10(1000), log10(-1)", 3, None),
    _of("log2-function", "the logarithm to the base of 2; null below 0", "print log2(8), log2(-1)", 3, None),
    _of("floor-function", "another name of bin()", "print floor(7.9, 2)", 6),
    _of("binary-and-function", "the bitwise and", "print binary_and(5, 3)", 1),
    _of("binary-or-function", "the bitwise or", "print binary_or(5, 3)", 7),
    _of("asin-function", "the angle whose sine is x; null beyond -1 and 1", "print asin(0.5), asin(2.0)", math.pi / 6, None),
    _of("convert-temperature-function", "a temperature in another unit; 0 K is -273.15 degrees Celsius", "print convert_temperature(1.2, 'Kelvin', 'DegreeCelsius')", -271.95),
    Statement("variancepif-aggregation-function", "the variance of a population, of the rows for which a predicate is true", "range x from 1 to 100 step 1 | summarize variancepif(x, x % 2 == 0)", (((50**2 - 1) / 12 * 4,),)),
    # nothing there
    _of("isnotempty-function", "whether isempty() is false: no empty text, no null", "print isnotempty('a'), isnotempty(''), isnotempty(long(null))", True, False, False),
    _of("isnotnull-function", "whether a value is no null; a string never is", "print isnotnull(1), isnotnull(long(null)), isnotnull('')", True, False, True),
    _of("not-function", "the reverse of a bool", "print not(true), not(false)", False, True),
    _of("column-ifexists-function", "the column of that name, or else the other value", "print a = 1 | project column_ifexists('a', 2), column_ifexists('b', 2)", 1, 2),
    _of("iscolumnexists-function", "whether there is a column of that name", "print a = 1 | project iscolumnexists('a'), iscolumnexists('b')", True, False),
    # texts and times
    _of("replace-regex-function", "its example, with the text of a whole number", r"print replace_regex('Number is 1', @'is (\d+)', @'was: \1')", "Number was: 1"),
    _of("replacefunction", "an older replace_regex() that takes the text last", r"print replace(@'is (\d+)', @'was: \1', 'Number is 1')", "Number was: 1"),
    _of("replace-string-function", "the same", "print replace_string('Number is 1', 'is', 'was')", "Number was 1"),
    _of("url-encode-component-function", "a space becomes %20, and every other character that is not allowed its code", "print url_encode_component('https://www.bing.com/hello world')", "https%3a%2f%2fwww.bing.com%2fhello%20world"),
    _of("parse-url-function", "the parts of its example, its path apart", "print u = parse_url('scheme://username:password@host:1234/this/is/a/path?k1=v1&k2=v2#fragment') | project strcat_delim(' ', u.Scheme, u.Host, u.Port, u.Username, u.Password, u.Fragment)", "scheme host 1234 username password fragment"),
    _of("week-of-year-function", "weekofyear(): the first week of a year is that of its first Wednesday", "print weekofyear(datetime(1970-01-01)), weekofyear(datetime(1970-01-07))", 53, 1),
    # sets and hashes
    _of("set-equals-function", "whether two arrays have the same elements, in whatever order", "print set_equals(dynamic([1, 2]), dynamic([2, 1, 1])), set_equals(dynamic([1, 2]), dynamic([2]))", True, False),
    _of("hash-xxhash64-function", "the printed values of its examples, which call it xxhash64", "print hash_xxhash64('World'), hash_xxhash64('World', 100), hash_xxhash64(datetime('2015-01-01'))", 1846988464401551951, 51, 1380966698541616202),
    # aggregates
    _of("avgif-aggregation-function", "the average of the rows for which a predicate is true", f"{_THREE} | summarize avgif(v, v > 1)", 3.5),
    _of("min-aggregation-function", "the least value", f"{_THREE} | summarize min(v)", 1),
    _of("minif-aggregation-function", "the least value of the rows for which a predicate is true", f"{_THREE} | summarize minif(v, v > 1)", 2),
    _of("maxif-aggregation-function", "the greatest value of the rows for which a predicate is true", f"{_THREE} | summarize maxif(v, v < 5)", 2),
    _of("stdevpif-aggregation-function", "the deviation of a population, of the rows for which a predicate is true", f"{_THREE} | summarize stdevpif(v, v < 5)", 0.5),
    _of("count-distinct-aggregation-function", "how many different values there are", f"{_THREE} | summarize count_distinct(k)", 2),
    _of("count-distinctif-aggregation-function", "the same of the rows for which a predicate is true", f"{_THREE} | summarize count_distinctif(k, v > 2)", 1),
    _of("take-any-aggregation-function", "the value of any row, one that is not null if there is one", "datatable(v: long)[long(null), 4] | summarize take_any(v)", 4),
    _of("take-anyif-aggregation-function", "the same of the rows for which a predicate is true", f"{_THREE} | summarize take_anyif(k, v > 2)", "b"),
    _of("percentiles-aggregation-function", "the value below which so much of the values are, by nearest rank", "range x from 1 to 100 step 1 | summarize percentile(x, 90)", 90),
    _of("percentiles-aggregation-function", "the same for several, in one array", "range x from 1 to 100 step 1 | summarize percentiles_array(x, 5, 90)", [5, 90]),
    _of("percentiles-aggregation-function", "each value counts as often as its weight says", "datatable(v: long, n: long)[10, 8, 20, 6, 30, 3, 40, 1] | summarize percentilew(v, n, 50)", 20),
    # rows
    Statement("next-function", "the value of a later row, of the next one unless it is said, or a default", "range x from 1 to 3 step 1 | project next(x), next(x, 2, 0)", ((2, 3), (3, 0), (None, 0))),
    Statement("as-operator", "the column of union's withsource consists of T1 and T2", "range x from 1 to 10 step 1 | as T1 | union withsource=TableName (range x from 1 to 10 step 1 | as T2) | summarize count() by TableName | order by TableName asc", (("T1", 10), ("T2", 10))),
    Statement("consume-operator", "takes all rows and gives none", "range x from 1 to 3 step 1 | consume", ()),
    Statement("sample-distinct-operator", "so many different values of a column at most", f"{_THREE} | sample-distinct 5 of k | order by k asc", (("a",), ("b",))),
    Statement("top-hitters-operator", "the most frequent values, with how often they occur", f"{_THREE} | top-hitters 1 of k", (("a", 2),)),
    Statement("search-operator", "the rows that have a term in any column; $table says from where", f"{_THREE} | as T | search 'b' | project ['$table'], k, v", (("T", "b", 5),)),
    Statement("find-operator", "the rows of all tables for which a predicate is true; source_ says from where", f"let A = {_THREE}; let B = {_THREE}; find in (A, B) where v == 5 project k | order by source_ asc", (("A", "b"), ("B", "b"))),
    Statement("narrow-plugin", "a row for every value, with the number of its row and the name of its column", "print a = 1, b = 'x' | evaluate narrow()", ((0, "a", "1"), (0, "b", "x"))),
    Statement("pivot-plugin", "a column for every value of a column, by default with how many rows there are", "datatable(k: string, s: string)['a', 'x', 'a', 'y', 'b', 'x'] | evaluate pivot(s) | order by k asc", (("a", 1, 1), ("b", 1, 0))),
)  # fmt: skip

ALIASES = {
    "any": "take_any",
    "anyif": "take_anyif",
    "array_iif": "array_iff",
    "array_strcat": "strcat_array",
    "arraylength": "array_length",
    "base64_decodestring": "base64_decode_tostring",
    "base64_encodestring": "base64_encode_tostring",
    "columnifexists": "column_ifexists",
    "datepart": "datetime_part",
    "extractall": "extract_all",
    "extractjson": "extract_json",
    "getmonth": "monthofyear",
    "iif": "iff",
    "make_dictionary": "make_bag",
    "make_string": "unicode_codepoints_to_string",
    "makelist": "make_list",
    "makeset": "make_set",
    "notempty": "isnotempty",
    "notnull": "isnotnull",
    "pack": "bag_pack",
    "parseurl": "parse_url",
    "parseurlquery": "parse_urlquery",
    "to_utf8": "unicode_codepoints_from_string",
    "toboolean": "tobool",
    "todynamic": "parse_json",
    "toobject": "parse_json",
    "toreal": "todouble",
    "totime": "totimespan",
}
"""Older names → the names that the manual has a page of; both are the same function."""

REFUSED = {
    "buildschema": "the schema of dynamic values is not made here",
    "dcount_hll": "sketches are not kept here: dcount() counts exactly",
    "geo_info_from_ip_address": "it needs a register of addresses and places",
    "gzip_compress_to_base64_string": "the engine does not compress texts",
    "gzip_decompress_from_base64_string": "the engine does not compress texts",
    "hash_combine": "its algorithm is not documented",
    "hash_many": "its algorithm is not documented",
    "hll": "sketches are not kept here: dcount() counts exactly",
    "hll_if": "sketches are not kept here: dcount() counts exactly",
    "hll_merge": "sketches are not kept here: dcount() counts exactly",
    "merge_tdigest": "sketches are not kept here: percentile() is exact",
    "merge_tdigests": "sketches are not kept here: percentile() is exact",
    "parse_user_agent": "it needs a register of browsers and devices",
    "parse_xml": "the engine does not read XML",
    "passthrough": "it is in no page of the manual; take_any() does the same",
    "punycode_domain_from_string": "the engine does not know Punycode",
    "punycode_domain_to_string": "the engine does not know Punycode",
    "punycode_from_string": "the engine does not know Punycode",
    "punycode_to_string": "the engine does not know Punycode",
    "tdigest": "sketches are not kept here: percentile() is exact",
    "tdigest_merge": "sketches are not kept here: percentile() is exact",
    "zlib_compress_to_base64_string": "the engine does not compress texts",
    "zlib_decompress_from_base64_string": "the engine does not compress texts",
    "Facet": "several tables are no answer here",
    "Fork": "several tables are no answer here",
    "Reduce": "its grouping of texts is not documented",
}
"""Functions and operators that are known in order to be refused with a reason."""
