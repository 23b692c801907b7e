"""What is computed before it is drawn, against the obvious way."""

import math

import numpy as np
import pytest
import scipy.stats

from memunlearn.charts.numbers import box_of, density, finite, reach, short, without


@pytest.mark.parametrize("n", [1, 2, 3, 10, 2500])
def test_a_box(n):
    values = list(np.random.default_rng(n).lognormal(size=n))
    box = box_of([*values, None, math.nan, math.inf])
    assert (box.first, box.median, box.third) == pytest.approx(np.percentile(values, [25, 50, 75]))
    far = 1.5 * (box.third - box.first)
    inside = [value for value in values if box.first - far <= value <= box.third + far]
    assert (box.low, box.high) == (min(inside), max(inside)) and box.mean == pytest.approx(sum(values) / n)


def test_no_values_no_box():
    assert box_of([]) is None and box_of([None, math.nan]) is None


def test_a_density_is_a_sum_of_bells():
    values = np.random.default_rng(0).normal(10, 3, 201)
    places, heights = density(values.tolist())
    spread = min(values.std(), np.subtract(*np.percentile(values, [75, 25])) / 1.34)
    width = 0.9 * spread * len(values) ** -0.2
    expected = np.array([scipy.stats.norm.pdf(place, values, width).sum() for place in places])
    assert heights == pytest.approx(expected / expected.max()) and max(heights) == 1
    assert (places[0], places[-1]) == (values.min(), values.max()) and np.diff(places) == pytest.approx(np.ptp(values) / 59)


def test_a_density_of_whole_numbers_that_are_nearly_all_the_same_has_a_width():
    places, heights = density([50.0] * 97 + [0.0, 0.0, 0.0])
    assert heights[-1] == 1 and 0 < heights[0] < 0.1 and heights[-2] > 0.1 and heights[30] < 1e-6


def test_a_density_needs_two_values():
    assert density([]) == density([3.0]) == density([3.0, 3.0, None]) == ([], [])


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([1.0, None, 3.0, math.nan], {}, (1.0, 3.0)),
        ([1.0, 3.0], {"with_zero": True}, (0.0, 3.0)),
        ([-2.0, -1.0], {"with_zero": True}, (-2.0, 0.0)),
        ([0.0, 0.1, 10.0], {"log": True}, (0.1, 10.0)),
        ([0.1, 10.0], {"log": True, "with_zero": True}, (0.1, 10.0)),
        ([5.0], {}, (4.5, 5.5)),
        ([0.0], {}, (0.0, 1.0)),
        ([5.0], {"log": True}, (2.5, 10.0)),
        ([], {}, (0.0, 1.0)),
        ([-1.0], {"log": True}, (1.0, 10.0)),
    ],
)
def test_what_an_axis_reaches(values, options, expected):
    assert reach(values, **options) == pytest.approx(expected)


def test_six_digits_and_no_number_that_json_lacks():
    assert short(math.pi * 1e6) == 3141590.0 and short(-1.23456789e-9) == -1.23457e-9 and short(0.0) == 0
    assert short(None) is short(math.nan) is short(-math.inf) is None
    assert finite([1, None, math.inf, 0.5]) == [1, 0.5]


def test_a_logarithmic_axis_shows_what_is_positive():
    values = [-1.0, 0.0, 2.00000001, None]
    assert without(values, log=True) == [None, None, 2.0, None] and without(values, log=False) == [-1.0, 0.0, 2.0, None]
