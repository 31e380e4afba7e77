"""Functions that search texts with regular expressions: `extract`, `trim`, `replace_regex` and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.conversion import explicit
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.dynamic import array_of, constants_of
from whatchanged.kql.functions.regex import Pattern, constant_pattern, pattern
from whatchanged.kql.functions.signature import Entry, special
from whatchanged.kql.functions.strings import arguments, count_plain
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "type_literal"]


def type_literal(binder: Expressions, expression: tree.Expression) -> Type:
    """Return the type of `typeof(type)`. Raises KqlSemanticError if it is none."""
    from whatchanged.kql.syntax import tree

    if isinstance(expression, tree.Call) and expression.name == "typeof" and len(expression.arguments) == 1:
        name = expression.arguments[0]
        if isinstance(name, tree.Name):
            return binder.type_named(name.name, name.span)
    raise KqlSemanticError("a type is expected here: typeof(long)", expression.span)


def _texts(binder: Expressions, call: tree.Call, count: int) -> list[Scalar]:
    """Return so many arguments, all of them texts."""
    counted(call, count)
    return [argument(binder, call, number, Type.STRING) for number in range(count)]


def _known(binder: Expressions, expression: tree.Expression) -> Pattern:
    return constant_pattern(binder.text(expression, "the regular expression"), expression.span)


@special("extract")
def _extract(binder: Expressions, call: tree.Call) -> Scalar:
    """Return a group of the first match; group 0 is all of it; empty if there is none."""
    given = call.arguments
    if not 3 <= len(given) <= 4:
        raise KqlSemanticError(f"extract() takes 3 to 4 arguments, not {len(given)}", call.span)
    expression = _known(binder, given[0])
    group, source = binder.integer(given[1], "the number of the group"), text_of(binder.bind(given[2]))
    if not 0 <= group <= len(expression.groups):
        raise KqlSemanticError(f"the regular expression has no group {group}", given[1].span)
    groups = Constant(f"({expression.text})", Type.STRING)
    found = Apply(f"extractGroups({{0}}, {{1}})[{group + 1}]", (source, groups), Type.STRING, nullable=False)
    if len(given) == 3:
        return found
    return _as(found, type_literal(binder, given[3]), call)


def _as(text: Scalar, wanted: Type, call: tree.Call) -> Scalar:
    value = explicit(text, wanted)
    if value is None:
        raise KqlSemanticError(f"{call.name}() gives no {wanted.value}", call.span)
    return value


@special("extract_all", "extractall")
def _extract_all(binder: Expressions, call: tree.Call) -> Scalar:
    """Return all matches: of one group an array of texts, of several an array of arrays; null without a match."""
    given = call.arguments
    if not 2 <= len(given) <= 3:
        raise KqlSemanticError(f"{call.name}() takes 2 to 3 arguments, not {len(given)}", call.span)
    expression, source = _known(binder, given[0]), text_of(binder.bind(given[-1]))
    if not expression.groups:
        raise KqlSemanticError("the regular expression needs a group in brackets", given[0].span)
    chosen = _groups(binder, given[1], expression) if len(given) == 3 else list(range(1, len(expression.groups) + 1))
    if len(chosen) == 1:
        item = f"toJSONString(m[{chosen[0]}])"
    else:
        item = array_of(f"arrayMap(t -> toJSONString(t), [{', '.join(f'm[{group}]' for group in chosen)}])")
    matches = f"arrayMap(m -> {item}, extractAllGroupsVertical({{0}}, {{1}}))"
    template = f"nullIf({array_of(matches)}, '[]')"
    return Apply(template, (source, Constant(expression.text, Type.STRING)), Type.DYNAMIC, nullable=True)


def _groups(binder: Expressions, argument: tree.Expression, expression: Pattern) -> list[int]:
    """Return the numbers of chosen groups, which may be called by name."""
    found = []
    for item in constants_of(binder.constant(argument, "the list of groups")):
        name = item.value if isinstance(item, Constant) else None
        if isinstance(name, str) and name in expression.groups:
            found.append(expression.groups.index(name) + 1)
        elif isinstance(name, int) and 1 <= name <= len(expression.groups):
            found.append(name)
        else:
            raise KqlSemanticError(f"the regular expression has no group {name}", argument.span)
    if not found:
        raise KqlSemanticError("the list of groups is empty", argument.span)
    return found


_TRIMMED = {"trim_start": ("\\A(?:", ")"), "trim_end": ("(?:", ")\\z")}


@special("trim_start", "trim_end")
def _trim_end_of(binder: Expressions, call: tree.Call) -> Scalar:
    expression, source = _texts(binder, call, 2)
    head, tail = _TRIMMED[call.name]
    return _without(expression, source, call, head, tail)


@special("trim")
def _trim(binder: Expressions, call: tree.Call) -> Scalar:
    expression, source = _texts(binder, call, 2)
    return _without(expression, _without(expression, source, call, "\\A(?:", ")+"), call, "(?:", ")+\\z")


def _without(expression: Scalar, source: Scalar, call: tree.Call, head: str, tail: str) -> Scalar:
    found = pattern(expression, call.arguments[0].span)
    if isinstance(found, Constant):
        whole: Scalar = Constant(f"{head}{found.value}{tail}", Type.STRING)
    else:
        ends = (Constant(head, Type.STRING), Constant(tail, Type.STRING))
        whole = Apply("concat({1}, {0}, {2})", (found, *ends), Type.STRING, nullable=False)
    return Apply("replaceRegexpOne({0}, {1}, '')", (source, whole), Type.STRING, nullable=False)


@special("replace_regex", "replace")
def _replace_regex(binder: Expressions, call: tree.Call) -> Scalar:
    r"""Replace every match; `\1` in the replacement stands for the first group, `\0` for the match."""
    first, second, third = _texts(binder, call, 3)
    expression, rewrite, source = (first, second, third) if call.name == "replace" else (second, third, first)
    span = call.arguments[0 if call.name == "replace" else 1].span
    values = (source, pattern(expression, span), rewrite)
    return Apply("replaceRegexpAll({0}, {1}, {2})", values, Type.STRING, nullable=False)


@special("countof")
def _countof(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2, 3)
    source, search = (argument(binder, call, number, Type.STRING) for number in (0, 1))
    kind = binder.text(call.arguments[2], "the kind of search") if len(call.arguments) == 3 else "normal"
    if kind == "normal":
        return count_plain(source, search)
    if kind != "regex":
        raise KqlSemanticError("the kind of search is 'normal' or 'regex'", call.arguments[2].span)
    wanted = (source, pattern(search, call.arguments[1].span))
    return Apply("toInt64(countMatches({0}, {1}))", wanted, Type.LONG, nullable=False)


@special("indexof_regex")
def _indexof_regex(binder: Expressions, call: tree.Call) -> Scalar:
    """Find the n-th match within a part of the text; matches do not overlap, characters count from 0."""
    values = arguments(binder, call, 2, 5)
    expression = _known(binder, call.arguments[1])
    given = [argument(binder, call, number, Type.LONG) for number in range(2, len(values))]
    numbers = [*given, *(Constant(value, Type.LONG) for value in (0, -1, 1)[len(values) - 2 :])]
    part = "substringUTF8({0}, {2} + 1, if({3} < 0, lengthUTF8({0}), {3}))"
    # A match begins where the text before it ends: everything up to it is matched with it.
    before = "extractAllGroupsVertical({part}, {1})"
    hits = (
        f"arrayMap(g -> arrayCumSum(arrayMap(m -> lengthUTF8(m[1]), g))[{{4}}] "
        f"+ if({{4}} > 1, arrayCumSum(arrayMap(m -> lengthUTF8(m[2]), g))[{{4}} - 1], 0), "
        f"[{before.replace('{part}', part)}])[1]"
    )
    count = f"length({before.replace('{part}', part)})"
    found = f"if({{4}} BETWEEN 1 AND toInt64({count}), toInt64({{2}} + {hits}), -1)"
    template = f"if({{2}} < 0 OR {{3}} < -1 OR {{4}} < 0, NULL, {found})"
    flag = "(?s:(.*?))"
    whole = Constant(f"{flag}({expression.text})", Type.STRING)
    return Apply(template, (text_of(values[0]), whole, *numbers), Type.LONG, nullable=True)


FUNCTIONS: tuple[Entry, ...] = (
    _extract,
    _extract_all,
    _trim_end_of,
    _trim,
    _replace_regex,
    _countof,
    _indexof_regex,
)
