"""Functions of texts. A character is a code point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported, Span
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.dates import argument
from whatchanged.kql.functions.dynamic import TEXTS, array_of, constants_of
from whatchanged.kql.functions.operators import TERM
from whatchanged.kql.functions.signature import Entry, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "arguments"]


def arguments(binder: Expressions, call: tree.Call, least: int, most: int) -> list[Scalar]:
    """Return the arguments of a call. Raises KqlSemanticError if there are too few or too many."""
    if not least <= len(call.arguments) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise KqlSemanticError(f"{call.name}() takes {wanted} arguments, not {len(call.arguments)}", call.span)
    return [binder.bind(argument) for argument in call.arguments]


def _number(value: Scalar, span: Span) -> Scalar:
    if value.type not in (Type.INT, Type.LONG):
        raise KqlSemanticError(f"a whole number is expected here, not a {value.type.value}", span)
    return value


def _joined(count: int) -> str:
    return "concat(" + ", ".join(f"{{{number}}}" for number in range(count)) + ")"


def _delimited(count: int) -> str:
    return "concat(" + ", {0}, ".join(f"{{{number}}}" for number in range(1, count)) + ")"


# From the end, where the start is negative.
_FROM = "if({1} < 0, greatest(toInt64(lengthUTF8({0})) + {1}, 0), toInt64({1}))"
_SUBSTRING = f"substringUTF8({{0}}, {_FROM} + 1)", f"substringUTF8({{0}}, {_FROM} + 1, greatest({{2}}, 0))"


def _substring(count: int) -> str:
    return _SUBSTRING[count - 2]


_TIMES = "toUInt64(least(greatest({1}, 0), 1024))"


def _repeated(count: int) -> str:
    """Repeat a text; more than 1024 times is 1024 times (the manual's page strrep-function)."""
    return f"repeat({{0}}, {_TIMES})" if count == 2 else f"arrayStringConcat(arrayWithConstant({_TIMES}, {{0}}), {{2}})"


@special("indexof")
def _indexof(binder: Expressions, call: tree.Call) -> Scalar:
    """Find the n-th occurrence, overlapping ones too, within a part of the text; characters count from 0."""
    values = arguments(binder, call, 2, 5)
    source, match = text_of(values[0]), text_of(values[1])
    if len(values) == 2:
        return Apply("(toInt64(positionUTF8({0}, {1})) - 1)", (source, match), Type.LONG, nullable=False)
    numbers = [_number(value, part.span) for value, part in zip(values[2:], call.arguments[2:], strict=True)]
    start = numbers[0]
    length = numbers[1] if len(numbers) > 1 else Constant(-1, Type.LONG)
    occurrence = numbers[2] if len(numbers) > 2 else Constant(1, Type.LONG)
    from_ = "if({2} < 0, greatest(toInt64(lengthUTF8({0})) + {2}, 0), {2})"
    size = "toInt64(lengthUTF8({1}))"
    hits = (
        f"arrayFilter(i -> substringUTF8({{0}}, i + 1, {size}) = {{1}}, "
        f"range(toInt64(ifNull({from_}, 0)), greatest(toInt64(lengthUTF8({{0}})) - {size} + 1, 0)))"
    )
    # The length counts anew behind each occurrence: only so are all the manual's examples right.
    chosen = "arraySlice(h, 1, {4})"
    starts = f"arrayConcat([toInt64(ifNull({from_}, 0))], arrayMap(i -> i + 1, h))"
    near = f"arrayAll((a, b) -> a + {size} <= b + {{3}}, {chosen}, arraySlice({starts}, 1, toInt64(length({chosen}))))"
    taken = f"{{4}} BETWEEN 1 AND toInt64(length(h)) AND ({{3}} < 0 OR {near})"
    found = f"arrayMap(h -> if({taken}, toInt64(h[{{4}}]), -1), [{hits}])[1]"
    template = f"if({{3}} < -1 OR {{4}} < 0, NULL, {found})"
    return Apply(template, (source, match, start, length, occurrence), Type.LONG, nullable=True)


def _overlaps(text: str) -> bool:
    """Whether two occurrences of a text can overlap: whether it begins as it ends."""
    return any(text.startswith(text[at:]) for at in range(1, len(text)))


def count_plain(source: Scalar, match: Scalar) -> Scalar:
    """Count occurrences, overlapping ones too (the manual's page countof-function)."""
    if isinstance(match, Constant) and match.value and not _overlaps(str(match.value)):
        template = "toInt64(countSubstrings({0}, {1}))"
    else:
        template = (
            "toInt64(if({1} = '', 0, arrayCount(i -> substring({0}, i, length({1})) = {1}, range(1, length({0}) + 1))))"
        )
    return Apply(template, (source, match), Type.LONG, nullable=False)


@special("split", naming="first")
def _split(binder: Expressions, call: tree.Call) -> Scalar:
    values = arguments(binder, call, 2, 3)
    source, delimiter = text_of(values[0]), argument(binder, call, 1, Type.STRING)
    if isinstance(delimiter, Constant) and not delimiter.value:
        raise KqlUnsupported("a text is not split by nothing here", call.arguments[1].span)
    parts = "arrayMap(e -> toJSONString(e), if({1} = '', [{0}], splitByString({1}, {0})))"
    if len(values) == 2:
        return Apply(array_of(parts), (source, delimiter), Type.DYNAMIC, nullable=False)
    index = _number(values[2], call.arguments[2].span)
    one = f"arraySlice({parts}, if({{2}} < 0, 9223372036854775807, {{2}} + 1), 1)"
    return Apply(array_of(one), (source, delimiter, index), Type.DYNAMIC, nullable=index.nullable)


_MARK = "unhex('FF{:02X}FE')"
"""Stands for a replaced text: no UTF-8 text holds it, none that is looked for begins within it."""


@special("replace_strings")
def _replace_strings(binder: Expressions, call: tree.Call) -> Scalar:
    """Replace each text that is looked for in turn; what was put in is not looked at again."""
    text, lookups, rewrites = arguments(binder, call, 3, 3)
    if not isinstance(lookups, Constant) or not isinstance(rewrites, Constant):
        raise KqlUnsupported("replace_strings() takes constant arrays here", call.span)
    wanted, given = constants_of(lookups), constants_of(rewrites)
    if len(wanted) != len(given):
        raise KqlSemanticError("there are as many replacements as texts to look for", call.span)
    if any(item.type is not Type.STRING for item in wanted):
        raise KqlUnsupported("replace_strings() looks for texts only here", call.arguments[1].span)
    # What is no text replaces nothing (the manual's page replace-strings-function).
    pairs = zip(wanted, given, strict=True)
    old, new = wanted, [put if put.type is Type.STRING else looked for looked, put in pairs]
    if len(old) > 64:
        raise KqlUnsupported("replace_strings() takes at most 64 texts here", call.span)
    template = "{0}"
    for number in range(len(old)):
        template = f"replaceAll({template}, {{{number + 1}}}, {_MARK.format(0x80 + number)})"
    for number in range(len(new)):
        template = f"replaceAll({template}, {_MARK.format(0x80 + number)}, {{{len(old) + number + 1}}})"
    return Apply(template, (text_of(text), *old, *new), Type.STRING, nullable=False)


@special("translate")
def _translate(binder: Expressions, call: tree.Call) -> Scalar:
    """Replace characters; the last replacement stands for those that have none (page translate-function)."""
    search = binder.text(call.arguments[0], "the list of characters") if len(call.arguments) == 3 else ""
    _, _, source = arguments(binder, call, 3, 3)
    replacement = binder.text(call.arguments[1], "the list of replacements")
    replacement = replacement[: len(search)] + replacement[-1:] * max(0, len(search) - len(replacement))
    pairs = dict(reversed(list(zip(search, replacement or search, strict=True))))
    lists = [Constant("".join(pairs), Type.STRING), Constant("".join(pairs.values()), Type.STRING)]
    template = "translateUTF8({0}, {1}, {2})" if replacement else "translateUTF8({0}, {1}, '')"
    return Apply(template, (text_of(source), *lists), Type.STRING, nullable=False) if pairs else text_of(source)


_CODE_POINTS = (
    "arrayMap(c -> toString(multiIf("
    "length(c) = 1, toUInt32(ascii(c)), "
    "length(c) = 2, bitAnd(reinterpretAsUInt8(c), 31) * 64 + bitAnd(reinterpretAsUInt8(substring(c, 2)), 63), "
    "length(c) = 3, bitAnd(reinterpretAsUInt8(c), 15) * 4096 + bitAnd(reinterpretAsUInt8(substring(c, 2)), 63) * 64 "
    "+ bitAnd(reinterpretAsUInt8(substring(c, 3)), 63), "
    "bitAnd(reinterpretAsUInt8(c), 7) * 262144 + bitAnd(reinterpretAsUInt8(substring(c, 2)), 63) * 4096 "
    "+ bitAnd(reinterpretAsUInt8(substring(c, 3)), 63) * 64 + bitAnd(reinterpretAsUInt8(substring(c, 4)), 63))), "
    "extractAll({0}, '(?s).'))"
)
_CHARACTER = (
    "multiIf(p < 128, char(p), "
    "p < 2048, char(192 + intDiv(p, 64), 128 + p % 64), "
    "p < 65536, char(224 + intDiv(p, 4096), 128 + intDiv(p, 64) % 64, 128 + p % 64), "
    "char(240 + intDiv(p, 262144), 128 + intDiv(p, 4096) % 64, 128 + intDiv(p, 64) % 64, 128 + p % 64))"
)


@special("unicode_codepoints_to_string", "make_string")
def _characters(binder: Expressions, call: tree.Call) -> Scalar:
    values = arguments(binder, call, 1, 64)
    parts = []
    for number, (value, part) in enumerate(zip(values, call.arguments, strict=True)):
        if value.type is Type.DYNAMIC:
            parts.append(f"JSONExtract(ifNull({{{number}}}, '[]'), 'Array(Int64)')")
        else:
            _number(value, part.span)
            parts.append(f"[ifNull(toInt64({{{number}}}), 0)]")
    points = parts[0] if len(parts) == 1 else f"arrayConcat({', '.join(parts)})"
    return Apply(f"arrayStringConcat(arrayMap(p -> {_CHARACTER}, {points}))", tuple(values), Type.STRING, False)


_HAS_ANY_INDEX = f"(toInt64(arrayFirstIndex(t -> {TERM}, {TEXTS.replace('{0}', '{1}')})) - 1)"
_QUOTED = r"replaceRegexpAll({0}, '[\\\\.+*?()|\\[\\]{{}}^$#&~-]', '\\\\\\0')"

FUNCTIONS: tuple[Entry, ...] = (
    scalar("strlen(string) long", "toInt64(lengthUTF8({0}))", naming="name"),
    scalar("string_size(string) long", "toInt64(length({0}))", naming="name"),
    scalar("tolower(text) string", "lowerUTF8({0})"),
    scalar("toupper(text) string", "upperUTF8({0})"),
    scalar("reverse(text) string", "reverseUTF8({0})"),
    scalar("strcat(text*) string", _joined),
    scalar("strcat_delim(text, text, text*) string", _delimited),
    *(
        scalar(f"{name}(dynamic, text) string", f"arrayStringConcat({TEXTS}, {{1}})")
        for name in ("strcat_array", "array_strcat")
    ),
    scalar("strcmp(text, text) long", "toInt64(({0} > {1}) - ({0} < {1}))"),
    scalar("strrep(text, long, text?) string", _repeated),
    scalar("substring(text, long, long?) string", _substring),
    _indexof,
    _split,
    scalar("replace_string(string, string, string) string", "replaceAll({0}, {1}, {2})"),
    _replace_strings,
    _translate,
    scalar("has_any_index(string, dynamic) long", _HAS_ANY_INDEX, null=False),
    scalar("regex_quote(text) string", _QUOTED),
    scalar("isascii(text) bool", "NOT match({0}, '[^\\\\x00-\\\\x7F]')"),
    scalar("isutf8(text) bool", "(isValidUTF8({0}) = 1)"),
    *(
        scalar(f"{name}(text) dynamic", array_of(_CODE_POINTS))
        for name in ("unicode_codepoints_from_string", "to_utf8")
    ),
    _characters,
    scalar("isempty(string) bool", "({0} = '')"),
    scalar("isempty(any) bool", "isNull({0})", null=False),
    *(
        entry
        for name in ("isnotempty", "notempty")
        for entry in (
            scalar(f"{name}(string) bool", "({0} != '')"),
            scalar(f"{name}(any) bool", "isNotNull({0})", null=False),
        )
    ),
)
