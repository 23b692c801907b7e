import dataclasses
import io
import warnings

import fake_charts
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, OTHERS, Distributions, Group, Lines, Series
from memunlearn.charts.matplotlib_files import draw_chart, picture


def pixels(chart):
    return matplotlib.image.imread(io.BytesIO(picture(chart).png), format="png")[..., :3]


def has_colour(image, colour):
    return bool((np.abs(image - np.array(to_rgb(colour))).max(axis=-1) < 0.01).any())


@pytest.mark.parametrize(
    ("kind", "colour"), [("lines", MEMORIZED), ("scatter", NON_MEMORIZED), ("distributions", "#E69F00"), ("bars", OTHERS[0])]
)
def test_every_kind_shows_its_values(kind, colour):
    make = fake_charts.KINDS[kind]
    image = pixels(fake_charts.chart(make(), columns=1))
    assert image.shape[1] >= 900 and image.shape[0] >= 300 and has_colour(image, colour)
    panel = make()
    if kind == "distributions":
        less = dataclasses.replace(panel, groups=panel.groups[:1])
    else:
        less = dataclasses.replace(panel, series=panel.series[:1])
    assert not np.array_equal(pixels(fake_charts.chart(less, columns=1)), image)


def test_a_heat_map_has_its_values_its_scale_and_its_dots():
    chart = fake_charts.chart(fake_charts.heat(), columns=1)
    axes, bar = draw_chart(chart).axes
    panel = chart.panels[0]
    assert np.array_equal(axes.images[0].get_array(), panel.values)
    assert axes.images[0].get_clim() == (0, max(map(max, panel.values)))
    assert [label.get_text() for label in axes.get_yticklabels()] == fake_charts.LAYERS
    assert bar.get_ylabel() == "nats per token"
    assert axes.collections[0].get_offsets().tolist() == [[2, 0], [0, 1]]
    assert not np.array_equal(pixels(chart), pixels(fake_charts.chart(fake_charts.heat(seed=1), columns=1)))


def test_a_missing_cell_differs_from_zero_and_zero_is_white():
    panel = fake_charts.heat(rows=["0"], columns=["a", "b", "c"], diverging=True)
    axes = draw_chart(fake_charts.chart(dataclasses.replace(panel, values=[[None, 0.0, 2.0]]))).axes[0]
    image = axes.images[0]
    colours = image.to_rgba(image.get_array())[0, :, :3]
    assert colours[1] == pytest.approx([1, 1, 1], abs=0.01) and colours[2] == pytest.approx(to_rgb(MEMORIZED), abs=0.01)
    assert colours[0] == pytest.approx([0.85] * 3, abs=0.01)


def test_a_map_of_50_columns_has_labels_that_do_not_touch():
    axes = draw_chart(fake_charts.chart(fake_charts.heat(columns=[str(i) for i in range(50)]))).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(i) for i in range(0, 50, 5)]


def test_shared_maps_have_one_bar_and_shared_lines_one_range():
    heats = draw_chart(fake_charts.chart(*(fake_charts.heat(seed) for seed in range(4)), shared=True))
    assert len(heats.axes) == 5 and len({axes.images[0].get_clim() for axes in heats.axes[:4]}) == 1
    apart = draw_chart(fake_charts.chart(*(fake_charts.heat(seed) for seed in range(4))))
    assert len(apart.axes) == 8
    panels = [Lines("", "x", "y", (Series("a", [0, 1], [0, high], MEMORIZED),)) for high in (1, 5)]
    assert len({axes.get_ylim() for axes in draw_chart(fake_charts.chart(*panels, shared=True)).axes}) == 1
    assert len({axes.get_ylim() for axes in draw_chart(fake_charts.chart(*panels)).axes}) == 2


def test_values_that_are_missing_are_gaps():
    axes = draw_chart(fake_charts.chart(fake_charts.lines())).axes[0]
    drawn = next(one for one in axes.lines if one.get_label() == "non-memorized")
    assert np.isnan(drawn.get_ydata()).nonzero()[0].tolist() == [3]


def test_one_legend_above_the_panels_names_each_series_once():
    figure = draw_chart(fake_charts.chart(fake_charts.lines(), fake_charts.lines()))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["memorized", "non-memorized"]
    figure.draw_without_rendering()
    bottom = legend.get_window_extent().y0
    titles = [text for axes in figure.axes for text in axes.findobj(Text) if text.get_text() == "drop by position"]
    assert len(titles) == 2 and all(title.get_window_extent().y1 < bottom for title in titles)


def test_long_titles_are_wrapped_and_nothing_leaves_the_figure():
    panels = [dataclasses.replace(fake_charts.lines(), title="a title of many words " * 8), fake_charts.bars()]
    figure = draw_chart(fake_charts.chart(*panels))
    figure.draw_without_rendering()
    assert figure.axes[0].get_title(loc="left").count("\n") >= 3
    inches = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert inches.x0 >= 0 and inches.y0 >= 0 and inches.x1 <= width and inches.y1 <= height


def test_markup_and_formulas_are_literal():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture(fake_charts.chart(fake_charts.bars(), fake_charts.distributions()))
        strange = "_a $x$ \x00 \ud800 中文"
        panel = dataclasses.replace(fake_charts.lines(), title=strange, series=(fake_charts.series(label=strange),))
        chart = fake_charts.chart(panel)
        assert picture(chart).pdf.startswith(b"%PDF")
    (shown,) = draw_chart(chart).legends[0].get_texts()
    assert shown.get_text().lstrip("\u200b").startswith("_a \\$x\\$ \ufffd \ufffd")


@pytest.mark.parametrize("make", fake_charts.KINDS.values())
def test_next_to_nothing_is_drawn(make):
    panel = make()
    if hasattr(panel, "series"):
        few = Series("memorized", [1.0], [2.0], MEMORIZED, low=[1.0], high=[3.0])
        none = Series("none", [None], [None], NON_MEMORIZED, low=[None], high=[None])
        changes = {"categories": ["a"]} if panel.kind == "bars" else {}
        panels = [dataclasses.replace(panel, series=series, **changes) for series in ((few,), (none,), ())]
    elif isinstance(panel, Distributions):
        panels = [dataclasses.replace(panel, groups=(Group("a", values, MEMORIZED),)) for values in ([1.0], [])]
    else:
        panels = [dataclasses.replace(panel, rows=["0"], columns=["q"], values=[[v]], marked=[]) for v in (1.0, 0.0, None)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in panels:
            assert picture(fake_charts.chart(one)).png.startswith(b"\x89PNG")


def test_logarithmic_axes():
    series = Series("memorized", [0.001, 0.01, 0.1], [0.0, 1.0, 100.0], MEMORIZED)
    axes = draw_chart(fake_charts.chart(Lines("", "x", "y", (series,), log_x=True, log_y=True))).axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    nothing = Series("memorized", [0.0], [-1.0], MEMORIZED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture(fake_charts.chart(Lines("", "x", "y", (nothing,), log_x=True, log_y=True)))


def test_pictures_are_the_same_every_time():
    chart = fake_charts.charts()[-2]
    assert picture(chart).png == picture(chart).png
