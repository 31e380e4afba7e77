"""Conversions of units on the engine, beside the manual's own examples."""

from __future__ import annotations

import math

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlUnsupported
from whatchanged.kql.types import Schema


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("convert_angle(1, 'Revolution', 'Gradian')", 400),
        ("convert_angle(180, 'Degree', 'Radian')", math.pi),
        ("convert_energy(1, 'KilowattHour', 'Megajoule')", 3.6),
        ("convert_force(1, 'KilogramForce', 'Newton')", 9.80665),
        ("convert_length(1, 'Mile', 'Yard')", 1760),
        ("convert_length(1, 'NauticalMile', 'Kilometer')", 1.852),
        ("convert_mass(1, 'Stone', 'Pound')", 14),
        ("convert_mass(1, 'Slug', 'Kilogram')", 14.593903),
        ("convert_speed(1, 'Knot', 'KilometerPerHour')", 1.852),
        ("convert_volume(1, 'UsGallon', 'UsQuart')", 4),
        ("convert_volume(1, 'OilBarrel', 'Liter')", 158.987295),
        ("convert_volume(1, 'ImperialGallon', 'Liter')", 4.54609),
        ("convert_temperature(-40, 'DegreeCelsius', 'DegreeFahrenheit')", -40),
        ("convert_temperature(100, 'DegreeCelsius', 'DegreeReaumur')", 80),
        ("convert_temperature(100, 'DegreeCelsius', 'DegreeDelisle')", 0),
        ("convert_temperature(100, 'DegreeCelsius', 'DegreeNewton')", 33),
        ("convert_temperature(100, 'DegreeCelsius', 'DegreeRoemer')", 60),
        ("convert_temperature(671.67, 'DegreeRankine', 'DegreeCelsius')", 100),
    ],
)
def test_conversion(engine: Engine, expression: str, expected: float) -> None:
    [[value]] = engine.rows(compile_query(f"print v = {expression}", Schema({})))
    assert value == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_a_unit_without_one_definition_is_refused() -> None:
    with pytest.raises(KqlUnsupported, match="no unit 'Shackle'"):
        compile_query("print convert_length(1, 'Shackle', 'Meter')", Schema({}))
