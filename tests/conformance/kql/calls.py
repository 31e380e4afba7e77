"""Calls to compare binders on: of every function there is, with good arguments and with each kind of wrong one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.kql.vendor import Parameter, Signatures

__all__ = ["COLUMNS", "calls"]

COLUMNS = {
    f"{type_}_": type_
    for type_ in ("bool", "int", "long", "real", "decimal", "string", "datetime", "timespan", "guid", "dynamic")
}
"""The columns of the table Samples: one of each type."""
_LITERALS = {
    "bool": "true", "int": "int(2)", "long": "2", "real": "2.5", "decimal": "decimal(2.5)", "string": "'a'",
    "datetime": "datetime(2024-02-03)", "timespan": "2h", "guid": "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)",
    "dynamic": "dynamic([1, 2])", "type": "typeof(long)",
}  # fmt: skip
_KINDS = {
    "Integer": "long", "RealOrDecimal": "real", "StringOrDynamic": "string", "StringOrArray": "string",
    "IntegerOrArray": "long", "DynamicArray": "dynamic", "DynamicBag": "dynamic", "Number": "real",
    "NumberOrBool": "long", "Summable": "long", "Orderable": "datetime", "NotRealOrBool": "string",
    "NotDynamic": "string", "CommonNumber": "long", "CommonSummable": "long", "CommonOrderable": "long",
}  # fmt: skip
"""Kinds of parameters → a type that fits."""
_WRONG = [*COLUMNS, "'a'", "2", "2.5", "dynamic([1, 2])", "nowhere", "Samples"]
"""What stands in for each argument in turn."""


def _good(parameter: Parameter, number: int) -> str:
    if parameter.values:
        value = parameter.values[number % len(parameter.values)]
        return value if parameter.kind in ("Number", "Integer") else f"'{value}'"
    if parameter.kind == "Tabular":
        return "Samples"
    type_ = parameter.types[0] if parameter.kind == "Declared" else _KINDS.get(parameter.kind, "string")
    if parameter.argument.startswith(("Literal", "Constant")) or type_ == "type":
        return _LITERALS[type_]
    return "*" if parameter.argument == "StarOnly" else f"{type_}_"


def _arguments(signature: Sequence[Parameter], *, all_: bool) -> list[str]:
    """Return arguments that fit: as few as there may be, or all."""
    found: list[str] = []
    for parameter in signature:
        times = max(parameter.least, 1 + (parameter.most > 1)) if all_ else parameter.least
        found += [_good(parameter, len(found) + n) for n in range(times)]
    return found


def _variants(signature: Sequence[Parameter]) -> Iterator[list[str]]:
    few, all_ = _arguments(signature, all_=False), _arguments(signature, all_=True)
    yield few
    yield all_
    yield few[:-1]
    yield [*all_, "long_"]
    for place in range(len(all_)):
        for other in _WRONG:
            yield [*all_[:place], other, *all_[place + 1 :]]


def calls(name: str, signatures: Signatures) -> list[str]:
    """Return calls of a function."""
    found = [f"{name}({', '.join(given)})" for signature in signatures for given in _variants(signature)]
    return list(dict.fromkeys(found))
