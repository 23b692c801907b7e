"""Colour scales of heat maps."""

import dataclasses

import fake_charts
import pytest

from memunlearn.charts.colour_scales import DIVERGING, MAGNITUDES, scales


def heat(values, **more):
    one = fake_charts.heat(rows=[str(i) for i in range(len(values))], columns=[str(i) for i in range(len(values[0]))], **more)
    return dataclasses.replace(one, values=values)


@pytest.mark.parametrize(
    ("values", "diverging", "expected"),
    [
        ([[1.0, 3.0]], False, (0.0, 3.0)),
        ([[2.0, 3.0]], False, (2.0, 3.0)),
        ([[-1.0, 3.0]], False, (-1.0, 3.0)),
        ([[-1.0, 3.0, None]], True, (-3.0, 3.0)),
        ([[3.0]], False, (0.0, 3.0)),
        ([[0.0]], False, (0.0, 1.0)),
        ([[0.0]], True, (-1.0, 1.0)),
        ([[None, float("nan")]], False, (0.0, 1.0)),
    ],
)
def test_scales(values, diverging, expected):
    (scale,) = scales(fake_charts.chart(heat(values, diverging=diverging)))
    assert (scale.low, scale.high) == expected


def test_a_shared_scale_is_over_all_maps_of_a_unit():
    panels = (heat([[1.0, 3.0]]), fake_charts.lines(), heat([[0.5, 7.0]]), heat([[9.0]], unit="tokens"))
    together = scales(fake_charts.chart(*panels, shared=True))
    assert [(scale.panels, scale.high) for scale in together] == [((0, 2), 7.0), ((3,), 9.0)]
    assert [scale.panels for scale in scales(fake_charts.chart(*panels))] == [(0,), (2,), (3,)]


def test_signs_and_magnitudes_have_colours_of_their_own():
    (signs,), (magnitudes,) = (scales(fake_charts.chart(heat([[1.0, 3.0]], diverging=one))) for one in (True, False))
    assert signs.colours == DIVERGING and signs.colours[1] == "#ffffff" and magnitudes.colours == MAGNITUDES
    mixed = fake_charts.chart(heat([[1.0]], diverging=True), heat([[1.0]]), shared=True)
    assert [scale.panels for scale in scales(mixed)] == [(0,), (1,)]
