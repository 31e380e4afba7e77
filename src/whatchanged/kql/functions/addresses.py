"""Functions of IPv4 and IPv6 addresses, with a prefix (`10.0.0.0/8`) or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.dates import argument
from whatchanged.kql.functions.dynamic import TEXTS, array_of, constants_of
from whatchanged.kql.functions.signature import Entry, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "network", "networks_around"]


def _prefix(text: str, longest: int) -> str:
    """Return the SQL of the prefix of an address, `longest` without one, null if it is none."""
    given = f"toInt64OrNull(substring({text}, position({text}, '/') + 1))"
    return f"if(position({text}, '/') = 0, {longest}, if({given} BETWEEN 0 AND {longest}, {given}, NULL))"


def _address4(text: str) -> str:
    return f"toInt64(IPv4StringToNumOrNull(splitByChar('/', {text})[1]))"


def _masked4(number: str, prefix: str) -> str:
    """Return the SQL of the number of an address whose bits behind the prefix are zero."""
    return f"({number} - {number} % bitShiftLeft(toInt64(1), 32 - ({prefix})))"


def _valid(prefix: str, longest: int) -> str:
    return f"if({prefix} BETWEEN 0 AND {longest}, {prefix}, NULL)"


# An IPv4 address is the IPv6 address ::ffff:a.b.c.d, also where it is written ::a.b.c.d; its prefix counts from there.
_DOTTED = r"'^(?:::|::[fF]{{4}}:)?([0-9]+[.][0-9]+[.][0-9]+[.][0-9]+)(?:/.*)?$'"


def _address6(text: str) -> str:
    bare = f"if(match({text}, {_DOTTED}), extract({text}, {_DOTTED}), splitByChar('/', {text})[1])"
    bytes_ = f"IPv6StringToNumOrNull({bare})"
    return f"toUInt256(reinterpret(reverse({bytes_}), 'UInt128'))"


def _prefix6(text: str) -> str:
    four = f"(96 + {_prefix(text, 32)})"
    return f"if(match({text}, {_DOTTED}), {four}, {_prefix(text, 128)})"


def _under6(prefix: str, *texts: str) -> str:
    """Return the SQL of a prefix that stands beside addresses: of IPv4 addresses it may be one of 32 bits."""
    dotted = " AND ".join(f"match({text}, {_DOTTED})" for text in texts)
    return f"if({prefix} BETWEEN 0 AND 32 AND {dotted}, 96 + {prefix}, {_valid(prefix, 128)})"


def _masked6(number: str, prefix: str) -> str:
    return f"({number} - {number} % bitShiftLeft(toUInt256(1), 128 - ({prefix})))"


def _least(*prefixes: str) -> str:
    """Return the SQL of the shortest prefix; null if one is null."""
    found = prefixes[0]
    for prefix in prefixes[1:]:
        found = f"if(({found}) <= ({prefix}), {found}, if(({found}) > ({prefix}), {prefix}, NULL))"
    return found


def _compared(version: int, left: str, right: str, prefix: str = "") -> str:
    """Return the SQL of -1, 0, 1 for two addresses under the shortest of their prefixes; null if one is none."""
    if version == 4:
        third = _valid(prefix, 32) if prefix else "32"
        numbers = [_address4(left), _address4(right)]
        prefixes, masked = [_prefix(left, 32), _prefix(right, 32), third], _masked4
    else:
        third = _under6(prefix, left, right) if prefix else "128"
        numbers = [_address6(left), _address6(right)]
        prefixes, masked = [_prefix6(left), _prefix6(right), third], _masked6
    shortest = "least(p[1], p[2], p[3])"
    networks = f"[{masked('n[1]', shortest)}], [{masked('n[2]', shortest)}]"
    signs = f"arrayMap((a, b) -> toInt64(a > b) - toInt64(a < b), {networks})[1]"
    inner = f"arrayMap((n, p) -> {signs}, [[{', '.join(numbers)}]], [[{', '.join(prefixes)}]])[1]"
    known = " OR ".join(f"isNull({part})" for part in (*numbers, *prefixes))
    return f"if({known}, NULL, {inner})"


def _comparison(version: int) -> Callable[[int], str]:
    return lambda count: _compared(version, "{0}", "{1}", "{2}" if count > 2 else "")


def _match(version: int) -> Callable[[int], str]:
    return lambda count: f"({_compared(version, '{0}', '{1}', '{2}' if count > 2 else '')} = 0)"


def _in_any(version: int) -> Callable[[Expressions, tree.Call], Scalar]:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        """True if the address is in a range; null if it is in none and one of them, or itself, is no address."""
        if len(call.arguments) < 2:
            raise KqlSemanticError(f"{call.name}() takes an address and ranges", call.span)
        address = argument(binder, call, 0, Type.STRING)
        ranges = [binder.bind(part) for part in call.arguments[1:]]
        for value, part in zip(ranges, call.arguments[1:], strict=True):
            if value.type not in (Type.STRING, Type.DYNAMIC):
                raise KqlSemanticError(f"a range is a text, not a {value.type.value}", part.span)
        array = _several(ranges, 1)
        hits = f"arrayMap(r -> {_compared(version, '{0}', 'r')} = 0, {array})"
        template = (
            f"arrayMap(h -> multiIf(arrayExists(x -> ifNull(x, false), h), true, arrayExists(x -> isNull(x), h), NULL, "
            f"false), [{hits}])[1]"
        )
        return Apply(template, (address, *(_array(value) for value in ranges)), Type.BOOL, nullable=True)

    return bind


def _array(value: Scalar) -> Scalar:
    return value if value.type is Type.DYNAMIC else text_of(value)


def _several(values: list[Scalar], first: int) -> str:
    """Return an SQL array of the texts of one dynamic array, or of texts."""
    if len(values) == 1 and values[0].type is Type.DYNAMIC:
        return TEXTS.replace("{0}", f"{{{first}}}")
    return "[" + ", ".join(f"{{{first + number}}}" for number in range(len(values))) + "]"


_PRIVATE = " OR ".join(
    f"({_prefix('{0}', 32)} >= {prefix} AND bitShiftRight({_address4('{0}')}, {32 - prefix}) = {number})"
    for prefix, number in ((8, 10), (12, 172 * 16 + 1), (16, 192 * 256 + 168))
)
_NETWORK4 = _masked4(_address4("{0}"), _prefix("{0}", 32))
_SUFFIX4 = f"if(isNull({_address4('{0}')}), NULL, {_prefix('{0}', 32)})"
_UNDER4 = _masked4(_address4("{0}"), _least(_prefix("{0}", 32), _valid("{1}", 32)))


def _written6(number: str) -> str:
    digits = f"right(leftPad(lower(hex({number})), 64, '0'), 32)"
    return f"trimRight(replaceRegexpAll({digits}, '(....)', '\\\\1:'), ':')"


def _formatted(with_prefix: bool) -> Callable[[int], str]:
    def template(count: int) -> str:
        text = "if(match({0}, '^[0-9]+$'), IPv4NumToString(toUInt32OrZero({0})), {0})"
        prefix = _prefix("t", 32) if count == 1 else _least(_prefix("t", 32), _valid("{1}", 32))
        written = f"IPv4NumToString(toUInt32({_masked4(_address4('t'), prefix)}))"
        if with_prefix:
            written = f"concat({written}, '/', toString({prefix}))"
        return f"arrayMap(t -> ifNull({written}, ''), [{text}])[1]"

    return template


# Blocks from the first address on: the greatest that begins there and does not go too far.
_BLOCKS = (
    "arrayFold((s, k) -> if(s.1 % bitShiftLeft(toInt64(1), k) = 0 AND s.1 + bitShiftLeft(toInt64(1), k) - 1 <= s.2 "
    "AND (bitAnd(s.1, bitShiftLeft(toInt64(1), k)) != 0 OR s.1 + bitShiftLeft(toInt64(1), k + 1) - 1 > s.2), "
    "(toInt64(s.1 + bitShiftLeft(toInt64(1), k)), s.2, arrayPushBack(s.3, "
    "concat('\"', IPv4NumToString(toUInt32(s.1)), '/', toString(32 - k), '\"'))), s), "
    "arrayConcat(range(toInt64(0), toInt64(33)), reverse(range(toInt64(0), toInt64(33)))), "
    "(toInt64(assumeNotNull({low})), toInt64(assumeNotNull({high})), emptyArrayString())).3"
)
_RANGE = (
    f"if(isNull({_address4('{0}')}) OR isNull({_address4('{1}')}), NULL, "
    + array_of(_BLOCKS.replace("{low}", _address4("{0}")).replace("{high}", _address4("{1}")))
    + ")"
)

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_BEFORE = "(?:^|[^0-9A-Za-z.]|[^0-9A-Za-z][.]|^[.])"
_AFTER = "(?:$|[^0-9A-Za-z.]|[.](?:$|[^0-9A-Za-z]))"


@special("has_ipv4", "has_any_ipv4", "has_ipv4_prefix", "has_any_ipv4_prefix")
def _has_ipv4(binder: Expressions, call: tree.Call) -> Scalar:
    """Whether a text holds one of some addresses, or an address that begins so, with no letter or digit around it."""
    any_, prefix = "any" in call.name, call.name.endswith("prefix")
    if len(call.arguments) < 2 or (not any_ and len(call.arguments) > 2):
        raise KqlSemanticError(f"{call.name}() takes a text and what to look for", call.span)
    source = argument(binder, call, 0, Type.STRING)
    looked: list[Scalar] = []
    for part in call.arguments[1:]:
        value = binder.bind(part)
        if not isinstance(value, Constant):
            raise KqlUnsupported(f"{call.name}() takes constants here", part.span)
        if value.type not in (Type.STRING, Type.DYNAMIC):
            raise KqlSemanticError(f"an address is a text, not a {value.type.value}", part.span)
        looked += constants_of(value) if value.type is Type.DYNAMIC else [value]
    forms = [form for item in looked if isinstance(item, Constant) and (form := _form(str(item.value), prefix))]
    if not forms:
        return Constant(False, Type.BOOL)
    pattern = Constant(f"{_BEFORE}(?:{'|'.join(forms)}){_AFTER}", Type.STRING)
    return Apply("match({0}, {1})", (source, pattern), Type.BOOL, nullable=False)


def _form(address: str, prefix: bool) -> str:
    """Return the regular expression of an address, or of those that begin so; empty if it is none."""
    parts = address.rstrip(".").split(".") if prefix and address.endswith(".") else address.split(".")
    if not all(part.isascii() and part.isdigit() and int(part) < 256 and len(part) < 4 for part in parts):
        return ""
    if len(parts) == 4 and not address.endswith("."):
        return "[.]".join(parts)
    if not prefix or not address.endswith(".") or len(parts) > 3:
        return ""
    return "[.]".join([*parts, *[_OCTET] * (4 - len(parts))])


_KEY = "concat(toString({prefix}), ' ', toString({network}))"
"""A network as a text, by which networks are equal."""


def network(version: int) -> str:
    """Return the template of the network that an address with its prefix is; an empty text if it is none."""
    if version == 4:
        prefix, masked = _prefix("{0}", 32), _masked4(_address4("{0}"), _prefix("{0}", 32))
    else:
        prefix, masked = _prefix6("{0}"), _masked6(_address6("{0}"), _prefix6("{0}"))
    return f"ifNull({_KEY.replace('{prefix}', prefix).replace('{network}', masked)}, '')"


def networks_around(version: int) -> str:
    """Return the template of the SQL array of all networks that an address is in; empty if it is none."""
    longest, number = (32, _address4("{0}")) if version == 4 else (128, _address6("{0}"))
    masked = _masked4("n", "p") if version == 4 else _masked6("n", "p")
    keys = _KEY.replace("{prefix}", "p").replace("{network}", masked)
    numbers = f"arrayMap(n -> assumeNotNull(n), arrayFilter(n -> isNotNull(n), [{number}]))"
    return f"arrayFlatten(arrayMap(n -> arrayMap(p -> {keys}, range({longest + 1})), {numbers}))"


FUNCTIONS: tuple[Entry, ...] = (
    scalar("parse_ipv4(string) long", _NETWORK4, null=True),
    scalar("parse_ipv4_mask(string, long) long", _UNDER4, null=True),
    scalar("parse_ipv6(string) string", _written6(_masked6(_address6("{0}"), _prefix6("{0}"))), null=True),
    scalar(
        "parse_ipv6_mask(string, long) string",
        _written6(_masked6(_address6("{0}"), _least(_prefix6("{0}"), _under6("{1}", "{0}")))),
        null=True,
    ),
    scalar("ipv4_compare(string, string, long?) long", _comparison(4), null=True),
    scalar("ipv6_compare(string, string, long?) long", _comparison(6), null=True),
    scalar("ipv4_is_match(string, string, long?) bool", _match(4), null=True),
    scalar("ipv6_is_match(string, string, long?) bool", _match(6), null=True),
    scalar("ipv4_is_in_range(string, string) bool", _match(4), null=True),
    scalar("ipv6_is_in_range(string, string) bool", _match(6), null=True),
    special("ipv4_is_in_any_range")(_in_any(4)),
    special("ipv6_is_in_any_range")(_in_any(6)),
    scalar("ipv4_is_private(string) bool", f"({_PRIVATE})", null=True),
    scalar("ipv4_netmask_suffix(string) long", _SUFFIX4, null=True),
    scalar("format_ipv4(text, long?) string", _formatted(with_prefix=False)),
    scalar("format_ipv4_mask(text, long?) string", _formatted(with_prefix=True)),
    scalar("ipv4_range_to_cidr_list(string, string) dynamic", _RANGE, null=True),
    _has_ipv4,
)
