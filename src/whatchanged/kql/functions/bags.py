"""Functions of property bags. A bag is JSON text; in SQL it is taken apart into pairs of a key and a JSON text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.arrays import elements, of_arrays
from whatchanged.kql.functions.casts import to_dynamic
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.dynamic import array_of, constants_of
from whatchanged.kql.functions.signature import Entry, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions

__all__ = ["FUNCTIONS", "bag_of"]

_PATH = re.compile(r"\$((?:\.\w+|\[(?:'[^']*'|\"[^\"]*\")\])+)$")
_STEP = re.compile(r"\.(\w+)|\[(?:'([^']*)'|\"([^\"]*)\")\]")


def _pairs(sql: str) -> str:
    return f"JSONExtractKeysAndValuesRaw(ifNull({sql}, '{{{{}}}}'))"


def bag_of(pairs: str) -> str:
    """Return the SQL that makes a bag of an SQL array of keys and JSON texts."""
    joined = f"arrayStringConcat(arrayMap(p -> concat(toJSONString(p.1), ':', p.2), {pairs}), ',')"
    return f"concat('{{{{', {joined}, '}}}}')"


def _is_bag(sql: str) -> str:
    return f"JSONType(ifNull({sql}, 'null')) = 'Object'"


def _of_bag(sql: str, number: int = 0) -> str:
    return f"if({_is_bag(f'{{{number}}}')}, {sql}, NULL)"


def _steps(key: str) -> list[str]:
    """Return the keys of a JSON path (`$.a.b`), or the key itself."""
    match = _PATH.match(key)
    if match is None:
        return [key]
    return [name or single or double for name, single, double in _STEP.findall(match[1])]


def _first_of_each(pairs: str) -> str:
    """Return pairs of which none has the key of one before it."""
    keys = f"arrayMap(p -> p.1, {pairs})"
    return f"arrayFilter((p, i) -> indexOf({keys}, p.1) = i, {pairs}, arrayEnumerate({pairs}))"


def _merged(count: int) -> str:
    every = f"arrayConcat({', '.join(_pairs(f'{{{number}}}') for number in range(count))})"
    return bag_of(_first_of_each(every))


@special("bag_has_key")
def _bag_has_key(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    bag, key = argument(binder, call, 0, Type.DYNAMIC), argument(binder, call, 1, Type.STRING)
    steps: list[Scalar] = [key]
    if isinstance(key, Constant):
        steps = [Constant(step, Type.STRING) for step in _steps(str(key.value))]
    path = ", ".join(f"{{{number}}}" for number in range(1, len(steps) + 1))
    return Apply(_of_bag(f"CAST(JSONHas({{0}}, {path}) AS Bool)"), (bag, *steps), Type.BOOL, nullable=True)


def _replaced(bag: str, steps: list[str], value: str | None) -> str:
    """Return a bag with the value at a path set, or taken out; what is on the way and missing is made."""
    key, *deeper = steps
    kept = f"arrayFilter(p -> p.1 != {key}, {_pairs(bag)})"
    if not deeper:
        return bag_of(kept) if value is None else bag_of(f"arrayPushBack({kept}, ({key}, {value}))")
    inner = f"nullIf(JSONExtractRaw(ifNull({bag}, '{{{{}}}}'), {key}), '')"
    changed = _replaced(inner, deeper, value)
    if value is None:
        changed = f"if({_is_bag(inner)}, {changed}, ifNull({inner}, 'null'))"
        return bag_of(f"arrayMap(p -> if(p.1 = {key}, ({key}, {changed}), p), {_pairs(bag)})")
    return bag_of(f"arrayPushBack({kept}, ({key}, {changed}))")


@special("bag_set_key")
def _bag_set_key(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 3)
    bag, value = argument(binder, call, 0, Type.DYNAMIC), to_dynamic(binder.bind(call.arguments[2]))
    key = binder.bind(call.arguments[1])
    if not isinstance(key, Constant) or key.type is not Type.STRING:
        raise KqlUnsupported("the key must be a constant", call.arguments[1].span)
    steps = [Constant(step, Type.STRING) for step in _steps(str(key.value))]
    names = [f"{{{number}}}" for number in range(2, len(steps) + 2)]
    template = _of_bag(_replaced("{0}", names, "ifNull({1}, 'null')"))
    return Apply(template, (bag, value, *steps), Type.DYNAMIC, nullable=True)


@special("bag_remove_keys")
def _bag_remove_keys(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    bag, keys = argument(binder, call, 0, Type.DYNAMIC), argument(binder, call, 1, Type.DYNAMIC)
    if not isinstance(keys, Constant):
        wanted = f"arrayMap(x -> JSONExtractString(x), {elements(1)})"
        template = _of_bag(bag_of(f"arrayFilter(p -> NOT has({wanted}, p.1), {_pairs('{0}')})"))
        return Apply(template, (bag, keys), Type.DYNAMIC, nullable=True)
    for key in constants_of(keys):
        if isinstance(key, Constant) and key.type is Type.STRING:
            steps = [Constant(step, Type.STRING) for step in _steps(str(key.value))]
            names = [f"{{{number}}}" for number in range(1, len(steps) + 1)]
            bag = Apply(_of_bag(_replaced("{0}", names, None)), (bag, *steps), Type.DYNAMIC, nullable=True)
    return bag


@special("bag_zip")
def _bag_zip(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    arrays = tuple(argument(binder, call, number, Type.DYNAMIC) for number in (0, 1))
    zipped = f"arrayZip({elements(0)}, arrayResize({elements(1)}, length({elements(0)}), 'null'))"
    texts = f"arrayFilter(p -> startsWith(p.1, '\"'), {zipped})"
    pairs = f"arrayMap(p -> (JSONExtractString(p.1), p.2), {texts})"
    return Apply(of_arrays(bag_of(_first_of_each(pairs)), 0), arrays, Type.DYNAMIC, nullable=True)


def _packed(columns: list[tuple[str, Scalar]], ignore_empty: bool) -> Scalar:
    """Return a bag of columns by their names; without those that are null or empty, if so asked."""
    arguments: list[Scalar] = []
    pairs = []
    for name, value in columns:
        at = len(arguments)
        arguments += [Constant(name, Type.STRING), to_dynamic(value)]
        pairs.append(f"({{{at}}}, ifNull({{{at + 1}}}, 'null'))")
    if not pairs:
        return Constant("{}", Type.DYNAMIC)
    every = f"[{', '.join(pairs)}]"
    if ignore_empty:
        every = f"arrayFilter(p -> p.2 NOT IN ('null', '\"\"'), {every})"
    return Apply(bag_of(every), tuple(arguments), Type.DYNAMIC, nullable=False)


@special("pack_all")
def _pack_all(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 0, 1)
    ignore = binder.flag(call.arguments[0], "whether to ignore") if call.arguments else False
    return _packed(list(binder.columns.items()), ignore)


@special("bag_pack_columns")
def _bag_pack_columns(binder: Expressions, call: tree.Call) -> Scalar:
    columns = []
    if not call.arguments:
        raise KqlSemanticError("bag_pack_columns() takes columns", call.span)
    for part in call.arguments:
        if not isinstance(part, tree.Name):
            raise KqlSemanticError("bag_pack_columns() takes columns", part.span)
        columns.append((part.name, binder.bind(part)))
    return _packed(columns, ignore_empty=False)


_KEYS = "arrayMap(x -> toJSONString(x), JSONExtractKeys(ifNull({0}, '{{}}')))"

FUNCTIONS: tuple[Entry, ...] = (
    scalar("bag_keys(dynamic) dynamic", _of_bag(array_of(_KEYS)), null=True),
    scalar("bag_merge(dynamic, dynamic*) dynamic", _merged, null=False),
    _bag_has_key,
    _bag_set_key,
    _bag_remove_keys,
    _bag_zip,
    _pack_all,
    _bag_pack_columns,
)
