"""Functions that encode texts, and take them apart by their format: base64, URLs, paths, versions, CSV, JSON paths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.conversion import explicit
from whatchanged.kql.functions.dynamic import array_of, element, member
from whatchanged.kql.functions.searches import type_literal
from whatchanged.kql.functions.signature import Bound, Entry, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS"]

# The first three parts of a guid are written in little-endian order.
_GUID_ORDER = r"'^(..)(..)(..)(..)(..)(..)(..)(..)(.*)$', '\\4\\3\\2\\1\\6\\5\\8\\7\\9'"
_GUID = (
    "arrayMap(h -> if(length(h) = 32, toUUIDOrNull(h), NULL), "
    f"[replaceRegexpOne(hex(tryBase64Decode({{0}})), {_GUID_ORDER})])[1]"
)
_FROM_GUID = f"base64Encode(unhex(replaceRegexpOne(replaceAll(toString({{0}}), '-', ''), {_GUID_ORDER})))"
_OCTETS = "arrayMap(i -> toString(reinterpretAsUInt8(substring(s, i, 1))), range(1, length(s) + 1))"


def _encoded(space: str) -> str:
    """Return the SQL that encodes as .NET's HttpUtility.UrlEncode does, a blank apart: digits are in lower case."""
    safe = "[A-Za-z0-9_.!*()-]"
    return (
        f"arrayStringConcat(arrayMap(p -> multiIf(match(p, '^{safe}'), p, p = ' ', '{space}', "
        "replaceRegexpAll(lower(hex(p)), '(..)', '%\\\\1')), "
        f"extractAll({{0}}, '{safe}+|(?s:.)')))"
    )


def _bag(**parts: str) -> str:
    """Return the SQL that makes a bag of names and JSON texts."""
    inner = ", ',', ".join(f"'\"{name.replace('_', ' ')}\":', {sql}" for name, sql in parts.items())
    return f"concat('{{{{', {inner}, '}}}}')"


def _text(sql: str) -> str:
    return f"toJSONString({sql})"


def _query(sql: str) -> str:
    """Return the SQL that makes a bag of `a=1&b=2`."""
    pair = (
        "concat(toJSONString(decodeURLFormComponent(splitByChar('=', q)[1])), ':', "
        "toJSONString(decodeURLFormComponent(substring(q, length(splitByChar('=', q)[1]) + 2))))"
    )
    pairs = f"arrayMap(q -> {pair}, arrayFilter(q -> q != '', splitByChar('&', {sql})))"
    return f"concat('{{{{', arrayStringConcat({pairs}, ','), '}}}}')"


_URL_FORM = (
    r"'^(?:([^:/?#]+)://)?(?:([^:@/?#]*)(?::([^@/?#]*))?@)?(\\[[^\\]]*\\]|[^:/?#]*)(?::([0-9]*))?([^?#]*)"
    r"(?:[?]([^#]*))?(?:#(.*))?$'"
)
_URL = _bag(
    Scheme=_text("u[1]"),
    Host=_text("u[4]"),
    Port=_text("u[5]"),
    Path=_text("if(u[6] = '/', '', u[6])"),
    Username=_text("u[2]"),
    Password=_text("u[3]"),
    Query_Parameters=_query("u[7]"),
    Fragment=_text("u[8]"),
)
# Scheme, root, folders with their last separator, file, alternate stream.
_PATH_FORM = r"'^(?:([A-Za-z][A-Za-z0-9+.-]+)://)?((?:[A-Za-z]:)?)((?s:.*[\\\\/])?)([^\\\\/:]*)(?::([^\\\\/]*))?$'"
_FOLDER = "replaceRegexpOne(f[3], '[\\\\\\\\/]$', '')"
_PATH = _bag(
    Scheme=_text("f[1]"),
    RootPath=_text("f[2]"),
    DirectoryPath=_text(f"concat(f[2], {_FOLDER})"),
    DirectoryName=_text(f"extract({_FOLDER}, '([^\\\\\\\\/]*)$')"),
    Filename=_text("f[4]"),
    Extension=_text("extract(f[4], '[.]([^.]*)$')"),
    AlternateDataStreamName=_text("f[5]"),
)
_VERSION = (
    "if(match({0}, '^[0-9]{{1,8}}([.][0-9]{{1,8}}){{0,3}}$'), toDecimal256OrNull(arrayStringConcat("
    "arrayMap(i -> leftPad(splitByChar('.', {0})[i], 8, '0'), [1, 2, 3, 4])), 28), NULL)"
)
_RECORD = r"concat(extract({0}, '^(?:\"(?:[^\"]|\"\")*\"|[^\"\\r\\n])*'), ',')"
_CSV = array_of(
    "arrayMap(c -> toJSONString(if(startsWith(c[1], '\"'), replaceAll(c[2], '\"\"', '\"'), c[1])), "
    f'extractAllGroupsVertical({_RECORD}, \'("((?:[^"]|"")*)"|[^,]*),\'))'
)
_STEP = re.compile(r"\.([^.\[\]*@?]+)|\[(-?\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")


@special("extract_json", "extractjson")
def _extract_json(binder: Expressions, call: tree.Call) -> Scalar:
    """Return a part of JSON, by a path of names and places: `$.a[0]['b']`."""
    given = call.arguments
    if not 2 <= len(given) <= 3:
        raise KqlSemanticError(f"{call.name}() takes 2 to 3 arguments, not {len(given)}", call.span)
    path = binder.text(given[0], "the path")
    found: Scalar = Apply("{0}", (text_of(binder.bind(given[1])),), Type.DYNAMIC, nullable=False)
    at = 1
    while at < len(path) and path.startswith("$"):
        step = _STEP.match(path, at)
        if step is None:
            break
        if step[2] is not None:
            found = element(found, Constant(int(step[2]), Type.LONG))
        else:
            found = member(found, Constant(next(part for part in step.groups() if part is not None), Type.STRING))
        at = step.end()
    if at < len(path) or not path.startswith("$"):
        raise KqlUnsupported("a path is $ with .name and [number] behind it here", given[0].span)
    text = text_of(found)
    value = explicit(text, type_literal(binder, given[2])) if len(given) == 3 else text
    if value is None:
        raise KqlSemanticError(f"{call.name}() gives no such type", call.span)
    return value


def _refused(why: str) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        raise KqlUnsupported(f"{call.name}() is not answered here: {why}", call.span)

    return bind


FUNCTIONS: tuple[Entry, ...] = (
    scalar("base64_encode_tostring(string) string", "base64Encode({0})"),
    scalar("base64_encodestring(string) string", "base64Encode({0})"),
    *(
        scalar(f"{name}(string) string", "arrayMap(s -> if(isValidUTF8(s), s, ''), [tryBase64Decode({0})])[1]")
        for name in ("base64_decode_tostring", "base64_decodestring")
    ),
    scalar("base64_decode_toarray(string) dynamic", f"arrayMap(s -> {array_of(_OCTETS)}, [tryBase64Decode({{0}})])[1]"),
    scalar(
        "base64_encode_fromarray(dynamic) string",
        "base64Encode(arrayStringConcat(arrayMap(b -> char(b), JSONExtract(ifNull({0}, '[]'), 'Array(UInt8)'))))",
    ),
    scalar("base64_decode_toguid(string) guid", _GUID, null=True),
    scalar("base64_encode_fromguid(guid) string", _FROM_GUID),
    scalar("url_encode(string) string", _encoded("+")),
    scalar("url_encode_component(string) string", _encoded("%20")),
    scalar("url_decode(string) string", "decodeURLFormComponent({0})"),
    *(
        scalar(f"{name}(string) dynamic", f"arrayMap(u -> {_URL}, [extractGroups({{0}}, {_URL_FORM})])[1]")
        for name in ("parse_url", "parseurl")
    ),
    *(
        scalar(f"{name}(string) dynamic", _bag(Query_Parameters=_query("{0}")))
        for name in ("parse_urlquery", "parseurlquery")
    ),
    scalar("parse_path(string) dynamic", f"arrayMap(f -> {_PATH}, [extractGroups({{0}}, {_PATH_FORM})])[1]"),
    scalar("parse_version(string) decimal", _VERSION, null=True),
    scalar("parse_csv(string) dynamic", _CSV, naming="first"),
    _extract_json,
    special("parse_user_agent")(_refused("it needs a register of browsers and devices")),
    special("parse_xml")(_refused("the engine does not read XML")),
    special(
        "punycode_from_string", "punycode_to_string", "punycode_domain_from_string", "punycode_domain_to_string"
    )(_refused("the engine does not know Punycode")),
    special(
        "gzip_compress_to_base64_string", "gzip_decompress_from_base64_string",
        "zlib_compress_to_base64_string", "zlib_decompress_from_base64_string",
    )(_refused("the engine does not compress texts")),
    special("geo_info_from_ip_address")(_refused("it needs a register of addresses")),
)  # fmt: skip
