"""`convert_angle`, `convert_length` and their like: a table of units each, in a unit of the table.

The factors are those by which the units are defined (SI, the international yard and pound of 1959, the US gallon and
the imperial gallon); units that have no one definition are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlUnsupported
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.signature import Bound, Entry, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "UNITS"]

_PREFIXES = {
    "Nano": 1e-9, "Micro": 1e-6, "Milli": 1e-3, "Centi": 1e-2, "Deci": 1e-1, "": 1.0, "Deca": 10.0, "Hecto": 100.0,
    "Kilo": 1e3, "Mega": 1e6, "Giga": 1e9, "Tera": 1e12,
}  # fmt: skip
_INCH, _FOOT, _YARD, _MILE = 0.0254, 0.3048, 0.9144, 1609.344
_SURVEY_FOOT = 1200 / 3937
_POUND, _GRAVITY = 0.45359237, 9.80665
_US_GALLON, _IMPERIAL_GALLON = 231 * _INCH**3, 4.54609e-3
_CUBIC_FOOT = _FOOT**3


def _scaled(name: str, size: float, prefixes: str) -> dict[str, float]:
    """Return a unit with its prefixes: `Kilo` before `Meter` is `Kilometer`; `-` is the unit alone."""
    found = {}
    for word in prefixes.split():
        prefix = word.strip("-")
        found[prefix + (name[0].lower() + name[1:] if prefix else name)] = _PREFIXES[prefix] * size
    return found


def _speeds() -> dict[str, float]:
    """Return lengths per time, of the times that the language has each for."""
    lengths = {
        "Centimeter": 0.01, "Decimeter": 0.1, "Foot": _FOOT, "Inch": _INCH, "Kilometer": 1e3, "Meter": 1.0,
        "Micrometer": 1e-6, "Mile": _MILE, "Millimeter": 1e-3, "Nanometer": 1e-9, "UsSurveyFoot": _SURVEY_FOOT,
        "Yard": _YARD,
    }  # fmt: skip
    times = {"Hour": 3600.0, "Minute": 60.0, "Second": 1.0}
    missing = {
        "DecimeterPerHour", "MicrometerPerHour", "NanometerPerHour", "MilePerMinute", "MilePerSecond",
    }  # fmt: skip
    speeds = {f"{length}Per{time}": size / s for length, size in lengths.items() for time, s in times.items()}
    return {"Knot": 1852 / 3600, **{name: size for name, size in speeds.items() if name not in missing}}


UNITS: Mapping[str, Mapping[str, float]] = {
    "angle": {
        **_scaled("Radian", 1.0, "Nano Micro Milli Centi Deci -"),
        **_scaled("Degree", math.pi / 180, "Nano Micro Milli -"),
        "Arcminute": math.pi / 10_800,
        "Arcsecond": math.pi / 648_000,
        "Gradian": math.pi / 200,
        "NatoMil": math.pi / 3200,
        "Revolution": 2 * math.pi,
    },
    "energy": {
        **_scaled("Joule", 1.0, "Milli - Kilo Mega Giga"),
        **_scaled("WattHour", 3600.0, "- Kilo Mega Giga Tera"),
        **_scaled("WattDay", 86_400.0, "- Kilo Mega Giga Tera"),
        **_scaled("ElectronVolt", 1.602176634e-19, "- Kilo Mega Giga Tera"),
        **_scaled("Calorie", 4.184, "- Kilo Mega"),
        **_scaled("BritishThermalUnit", 1055.05585262, "- Kilo Mega Giga"),
        "Erg": 1e-7,
        "FootPound": _FOOT * _POUND * _GRAVITY,
    },
    "force": {
        **_scaled("Newton", 1.0, "Micro Milli - Deca Kilo Mega"),
        "Dyn": 1e-5,
        "KilogramForce": _GRAVITY,
        "KiloPond": _GRAVITY,
        "KilopoundForce": 1000 * _POUND * _GRAVITY,
        "OunceForce": _POUND * _GRAVITY / 16,
        "Poundal": _POUND * _FOOT,
        "PoundForce": _POUND * _GRAVITY,
        "ShortTonForce": 2000 * _POUND * _GRAVITY,
        "TonneForce": 1000 * _GRAVITY,
    },
    "length": {
        **_scaled("Meter", 1.0, "Nano Micro Milli Centi Deci - Deca Hecto Kilo"),
        "Angstrom": 1e-10,
        "AstronomicalUnit": 1.495978707e11,
        "Chain": 66 * _FOOT,
        "Fathom": 6 * _FOOT,
        "Foot": _FOOT,
        "Hand": 4 * _INCH,
        "Inch": _INCH,
        "Microinch": _INCH * 1e-6,
        "Mil": _INCH / 1000,
        "Mile": _MILE,
        "NauticalMile": 1852.0,
        "Twip": _INCH / 1440,
        "UsSurveyFoot": _SURVEY_FOOT,
        "Yard": _YARD,
    },
    "mass": {
        **_scaled("Gram", 1e-3, "Nano Micro Milli Centi Deci - Deca Hecto Kilo"),
        **_scaled("Pound", _POUND, "- Kilo Mega"),
        **_scaled("Tonne", 1e3, "- Kilo Mega"),
        "Grain": _POUND / 7000,
        "LongHundredweight": 112 * _POUND,
        "LongTon": 2240 * _POUND,
        "Ounce": _POUND / 16,
        "ShortHundredweight": 100 * _POUND,
        "ShortTon": 2000 * _POUND,
        "Slug": _POUND * _GRAVITY / _FOOT,
        "Stone": 14 * _POUND,
    },
    "speed": _speeds(),
    "volume": {
        **_scaled("Liter", 1e-3, "Micro Milli Centi Deci - Deca Hecto Kilo Mega"),
        **_scaled("UsGallon", _US_GALLON, "-"),
        "AcreFoot": 43_560 * _CUBIC_FOOT,
        "BoardFoot": _CUBIC_FOOT / 12,
        "CubicCentimeter": 1e-6,
        "CubicDecimeter": 1e-3,
        "CubicFoot": _CUBIC_FOOT,
        "CubicHectometer": 1e6,
        "CubicInch": _INCH**3,
        "CubicKilometer": 1e9,
        "CubicMeter": 1.0,
        "CubicMicrometer": 1e-18,
        "CubicMile": _MILE**3,
        "CubicMillimeter": 1e-9,
        "CubicYard": _YARD**3,
        "HectocubicFoot": 100 * _CUBIC_FOOT,
        "HectocubicMeter": 100.0,
        "ImperialGallon": _IMPERIAL_GALLON,
        "ImperialOunce": _IMPERIAL_GALLON / 160,
        "ImperialPint": _IMPERIAL_GALLON / 8,
        "KilocubicFoot": 1000 * _CUBIC_FOOT,
        "KilocubicMeter": 1000.0,
        "KiloimperialGallon": 1000 * _IMPERIAL_GALLON,
        "MegacubicFoot": 1e6 * _CUBIC_FOOT,
        "MegaimperialGallon": 1e6 * _IMPERIAL_GALLON,
        "OilBarrel": 42 * _US_GALLON,
        "UsOunce": _US_GALLON / 128,
        "UsPint": _US_GALLON / 8,
        "UsQuart": _US_GALLON / 4,
    },
}  # fmt: skip
"""How large a unit is: in radians, joules, newtons, meters, kilograms, meters a second, cubic meters."""

_TEMPERATURES: Mapping[str, tuple[float, float]] = {
    "Kelvin": (1.0, 0.0),
    "DegreeCelsius": (1.0, 273.15),
    "MillidegreeCelsius": (0.001, 273.15),
    "DegreeDelisle": (-2 / 3, 373.15),
    "DegreeFahrenheit": (5 / 9, 459.67 * 5 / 9),
    "DegreeNewton": (100 / 33, 273.15),
    "DegreeRankine": (5 / 9, 0.0),
    "DegreeReaumur": (5 / 4, 273.15),
    "DegreeRoemer": (40 / 21, 273.15 - 7.5 * 40 / 21),
}
"""Slope and offset that lead to kelvins."""


def _unit(binder: Expressions, call: tree.Call, place: int, known: Mapping[str, object]) -> str:
    value = binder.bind(call.arguments[place])
    if not isinstance(value, Constant) or value.type is not Type.STRING:
        raise KqlUnsupported("the unit must be a constant", call.arguments[place].span)
    name = str(value.value)
    if name not in known:
        raise KqlUnsupported(
            f"{call.name}() has no unit {name!r} here; it has {', '.join(sorted(known))}", call.arguments[place].span
        )
    return name


def _converter(units: Mapping[str, float]) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        counted(call, 3)
        value = argument(binder, call, 0, Type.REAL)
        source, target = (units[_unit(binder, call, place, units)] for place in (1, 2))
        return Apply("({0} * {1})", (value, Constant(source / target, Type.REAL)), Type.REAL, value.nullable)

    return bind


@special("convert_temperature")
def _convert_temperature(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 3)
    value = argument(binder, call, 0, Type.REAL)
    (slope, offset), (to_slope, to_offset) = (
        _TEMPERATURES[_unit(binder, call, place, _TEMPERATURES)] for place in (1, 2)
    )
    factor, shift = Constant(slope / to_slope, Type.REAL), Constant((offset - to_offset) / to_slope, Type.REAL)
    return Apply("({0} * {1} + {2})", (value, factor, shift), Type.REAL, value.nullable)


FUNCTIONS: tuple[Entry, ...] = (
    *(special(f"convert_{kind}")(_converter(units)) for kind, units in UNITS.items()),
    _convert_temperature,
)
