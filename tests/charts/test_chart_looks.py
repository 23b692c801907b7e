import dataclasses

import fake_charts
import pytest

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, OTHERS, Lines, Scatter, Series
from memunlearn.charts.looks import LOOKS, drawn, evenly


def looks(*series, kind=Lines):
    panel = kind(title="", x_label="", y_label="", series=tuple(series))
    return [(one.marker, one.dash) for one in drawn(fake_charts.chart(panel)).panels[0].series]


def line(colour, marker="o", dash="-"):
    return Series(label="", x=[1.0], y=[1.0], colour=colour, marker=marker, dash=dash)


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


@pytest.mark.parametrize("n", [7, 12, 16])
def test_many_looks_that_were_chosen_stay_though_some_share_marker_and_dash(n):
    colours = (*list(LOOKS)[:6], "#000000")
    chosen = [line(colours[place % 7], "o^sDvP"[place % 6], ("-", "--", ":")[place // 7]) for place in range(n)]
    assert looks(*chosen) == [(series.marker, series.dash) for series in chosen]
    assert len({(series.colour, *look) for series, look in zip(chosen, looks(*chosen), strict=True)}) == n


def test_a_long_series_is_thinned_evenly_and_says_so():
    scattered = drawn(fake_charts.chart(fake_charts.scatter(2500))).panels[0].series[0]
    assert scattered.label == "memorized (1,000 of 2,500 drawn)"
    assert scattered.x[:3] == [0, 2, 5] and len(scattered.y) == len(scattered.low) == len(scattered.text) == 1000
    assert scattered.text[1].startswith("row 2 ")
    long = Lines(title="", x_label="", y_label="", series=(fake_charts.series(n=2500),))
    assert len(drawn(fake_charts.chart(long)).panels[0].series[0].x) == 2500


def test_every_colour_that_has_a_look_is_told_from_memorized_and_non_memorized_or_stands_apart():
    assert LOOKS[MEMORIZED] != LOOKS[NON_MEMORIZED] and len({LOOKS[colour] for colour in (MEMORIZED, *OTHERS[2:])}) == 3


def test_a_colour_without_a_look_stays_as_it_is():
    assert looks(line("#123456", "D", ":")) == [("D", ":")]


def test_what_is_no_series_stays_as_it_is():
    chart = fake_charts.chart(fake_charts.heat(), fake_charts.bars(), fake_charts.distributions(), fake_charts.violins())
    assert drawn(chart) == chart


def test_intervals_that_are_not_there_are_not_thinned():
    series = dataclasses.replace(fake_charts.series(n=1001), low=None, high=None)
    thin = drawn(fake_charts.chart(Scatter(title="", x_label="x", y_label="y", series=(series,)))).panels[0].series[0]
    assert thin.low is thin.high is thin.text is None and len(thin.x) == 1000


@pytest.mark.parametrize(
    ("n", "at_most", "expected"),
    [(5, 5, [0, 1, 2, 3, 4]), (5, 9, [0, 1, 2, 3, 4]), (5, 3, [0, 1, 3]), (6, 3, [0, 2, 4]), (0, 3, []), (7, 1, [0])],
)
def test_evenly(n, at_most, expected):
    assert evenly(list(range(n)), at_most) == expected
