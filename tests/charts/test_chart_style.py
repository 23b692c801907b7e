import dataclasses

import fake_charts
import numpy as np
import pytest

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Group, Lines, Scatter, Series
from memunlearn.charts.style import (
    bands,
    box_of,
    drawn,
    group_label,
    points_of,
    reaches,
    scales,
    step_for,
    ticks_across,
)


def looks(*series, kind=Lines):
    panel = kind("", "", "", tuple(series))
    return [(one.marker, one.dash) for one in drawn(fake_charts.chart(panel)).panels[0].series]


def line(colour, marker="o", dash="-"):
    return Series("", [1.0], [1.0], colour, marker=marker, dash=dash)


def test_colours_left_alone_get_a_marker_and_a_dash_each_the_same_everywhere():
    memorized, other = looks(line(MEMORIZED), line(NON_MEMORIZED))
    assert memorized[0] != other[0] and memorized[1] != other[1]
    assert looks(line(NON_MEMORIZED)) == [other]
    assert looks(line(MEMORIZED, "none"), line(NON_MEMORIZED, "none")) == [("none", "-"), ("none", "--")]


def test_dashes_that_were_chosen_stay_and_markers_tell_colours_apart():
    drawn_as = looks(*(line(colour, dash=dash) for colour in (MEMORIZED, NON_MEMORIZED) for dash in ("-", "--")))
    assert [dash for _, dash in drawn_as] == ["-", "--", "-", "--"]
    assert drawn_as[0][0] == drawn_as[1][0] != drawn_as[2][0] == drawn_as[3][0]


def test_markers_that_tell_series_of_one_colour_apart_stay():
    chosen = [line(colour, marker) for colour in (MEMORIZED, NON_MEMORIZED) for marker in "so"]
    assert [marker for marker, _ in looks(*chosen, kind=Scatter)] == ["s", "o", "s", "o"]


def test_a_long_series_is_thinned_evenly_and_says_so():
    scattered = drawn(fake_charts.chart(fake_charts.scatter(2500))).panels[0].series[0]
    assert scattered.label == "memorized (1,000 of 2,500 drawn)"
    assert scattered.x[:3] == [0, 2, 5] and len(scattered.y) == len(scattered.low) == len(scattered.text) == 1000
    assert scattered.text[1].startswith("row 2 ")
    long = Lines("", "", "", (fake_charts.series(n=2500),))
    assert len(drawn(fake_charts.chart(long)).panels[0].series[0].x) == 2500


def test_the_box_is_of_all_values_and_the_points_are_some():
    values = list(np.random.default_rng(0).lognormal(size=2500))
    group = Group("memorized", values, MEMORIZED)
    box = box_of(group)
    assert (box.first, box.median, box.third) == pytest.approx(np.percentile(values, [25, 50, 75]))
    reach = 1.5 * (box.third - box.first)
    inside = [value for value in values if box.first - reach <= value <= box.third + reach]
    assert (box.low, box.high) == (min(inside), max(inside)) and box.high < max(values)
    assert len(points_of(group)) == 1000 and group_label(group).split() == ["memorized", "n", "=", "2,500", "1,000", "drawn"]
    assert box_of(Group("", [], MEMORIZED)) is None and box_of(Group("", [float("nan")], MEMORIZED)) is None


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


def test_intervals_have_gaps_where_a_value_is_missing():
    series = fake_charts.gaps()
    assert [x for x, _, _ in bands(series)] == [[0, 1, 2], [4, 5, 6], [8, 9]]
    below, above = reaches(series)
    assert [place for place, value in enumerate(below) if value is None] == [3, 7]
    assert above[0] == pytest.approx(0.75) and below[0] == pytest.approx(0.5)
    assert list(bands(line(MEMORIZED))) == [] and reaches(line(MEMORIZED)) is None


def test_labels_that_fit():
    counts = [str(i) for i in range(50)]
    assert ticks_across(counts, 1100, 7).labels == counts
    thin = ticks_across(counts, 250, 7)
    assert thin.places == list(range(0, 50, 5)) and thin.labels == counts[::5] and not thin.turned
    assert ticks_across(["mlp_in", "mlp_out"], 70, 7).labels == ["mlp_\nin", "mlp_\nout"]
    turned = ticks_across(["gradient", "contrastive\nn = 3"], 60, 7)
    assert turned.turned and turned.labels == ["gradient", "contrastive, n = 3"]
    assert ticks_across(["a" * 100] * 2, 60, 7).labels == ["a" * 29 + "…"] * 2
    many = ticks_across(["name" * 3] * 100, 300, 7)
    assert many.turned and 10 <= len(many.places) <= 20


@pytest.mark.parametrize(
    ("n", "room", "expected"), [(10, 100, 1), (10, 99, 2), (50, 100, 5), (1000, 100, 100), (3, 1, 5), (0, 1, 1)]
)
def test_steps(n, room, expected):
    assert step_for(n, room, 10) == expected
