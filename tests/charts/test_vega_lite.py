"""Values in the drawing equal the numbers that were described."""

import dataclasses
import json

import fake_charts
import numpy as np
import pytest
from chart_scene import BOTTOM, LEFT, scene

from memunlearn.charts.colours import BLUE, VERMILLION
from memunlearn.charts.description import (
    MEMORIZED,
    NON_MEMORIZED,
    Bars,
    Chart,
    Distributions,
    Estimates,
    Group,
    Heat,
    Lines,
    Scatter,
    Series,
    Violins,
)
from memunlearn.charts.numbers import box_of
from memunlearn.charts.vega_lite import figure

altair = pytest.importorskip("altair")


def only(*panels, **more):
    """The first panel as it is drawn."""
    return scene(fake_charts.chart(*panels, columns=1, **more)).panels[0]


def close(values):
    return pytest.approx(values, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("width", [900, 350])
@pytest.mark.parametrize("chart", fake_charts.charts(), ids=lambda chart: chart.name)
def test_the_language_knows_every_key_and_json_holds_it(chart, width):
    made = figure(chart, 1 if width == 350 else chart.columns, width)
    altair.Chart.from_dict(made.spec, validate=True)
    assert json.loads(json.dumps(made.whole, allow_nan=False)) == made.whole


def test_lines_have_their_values_and_bands():
    panel = fake_charts.lines()
    drawn = only(panel)
    for series in panel.series:
        known = [value for value in series.y if value is not None]
        points = drawn.items("symbol", series.colour)
        assert drawn.values(points) == close(known)
        assert drawn.values(points, "x") == close([x for x, y in zip(series.x, series.y, strict=True) if y is not None])
    band = drawn.items("area", MEMORIZED)
    assert drawn.values(band) == close(panel.series[0].low) and drawn.values(band, "y2") == close(panel.series[0].high)
    assert {item["opacity"] for item in band} == {0.18}


def test_a_gap_breaks_the_line_and_the_band():
    drawn = only(fake_charts.lines())
    assert [place for place, item in enumerate(drawn.items("line", NON_MEMORIZED)) if not item["defined"]] == [3]
    assert [place for place, item in enumerate(drawn.items("area", NON_MEMORIZED)) if not item["defined"]] == [3, 7]
    assert len(drawn.items("symbol", NON_MEMORIZED)) == 9


def test_a_band_of_one_point_is_seen():
    series = Series(label="a", x=[0, 1, 2], y=[1, 2, 3], colour=MEMORIZED, low=[None, 1.5, None], high=[None, 2.5, None])
    (point,) = [
        item for item in only(Lines(title="", x_label="x", y_label="y", series=(series,))).items("area") if item["defined"]
    ]
    assert point["stroke"] == MEMORIZED and point["strokeWidth"] == 1 and point["y"] - point["y2"] > 20


def test_a_path_goes_back_where_its_points_do():
    series = Series(label="run", x=[0, 3, 1, 2], y=[4, 3, 2, 1], colour=MEMORIZED)
    drawn = only(Lines(title="", x_label="x", y_label="y", series=(series,)))
    assert drawn.values(drawn.items("line"), "x") == close([0, 3, 1, 2])


def test_a_line_at_zero_is_drawn_where_it_was_asked_for():
    series = (Series(label="a", x=[0, 1], y=[2, 3], colour=MEMORIZED),)
    with_zero = only(Lines(title="", x_label="x", y_label="y", series=series, zero=True))
    (zero,) = with_zero.items("rule")
    assert with_zero.values([zero]) == close([0])
    without = only(Lines(title="", x_label="x", y_label="y", series=series))
    assert not without.items("rule") and min(float(text) for _, text in without.ticks[LEFT]) >= 2


def axes_of(*panels, **more):
    """(x, y) of each panel: what must be inside."""
    views = figure(fake_charts.chart(*panels, columns=1, **more), 1, 600).whole["vconcat"][-1]["concat"]
    return [tuple(view["encoding"][along]["scale"]["domain"] for along in "xy") for view in views]


@pytest.mark.parametrize("asked", [False, True])
def test_axes_include_zero_where_that_was_asked_for(asked):
    series = (Series(label="a", x=[40.0, 45.0], y=[10.0, 30.0], colour=BLUE),)
    names = {"title": "", "x_label": "x", "y_label": "y", "series": series}
    x, y = ([0, 45], [0, 30]) if asked else ([40, 45], [10, 30])
    group = Group(label="a", values=[10.0, 30.0], colour=BLUE)
    drawn = axes_of(
        Lines(**names, zero_x=asked),
        Scatter(**names, zero=asked),
        Distributions(title="", y_label="y", groups=(group,), zero=asked),
    )
    assert [drawn[0][0], drawn[1], drawn[2][1]] == [x, (x, y), y] and drawn[0][1] == [10, 30]
    assert axes_of(Scatter(**names, zero=asked, log_x=True, log_y=True)) == [([40, 45], [10, 30])]


def test_a_line_without_markers_still_answers_the_pointer():
    drawn = only(Lines(title="", x_label="x", y_label="y", series=(fake_charts.series(marker="none"),)))
    points = drawn.items("symbol")
    assert len(points) == 50 and {item["opacity"] for item in points} == {0}


def test_lines_differ_in_marker_and_dash():
    drawn = only(fake_charts.lines())
    looks = [
        (drawn.items("symbol", c)[0]["shape"], tuple(drawn.items("line", c)[0]["strokeDash"]))
        for c in (MEMORIZED, NON_MEMORIZED)
    ]
    assert looks[0][0] != looks[1][0] and looks[0][1] != looks[1][1]


def test_scattered_points_have_values_and_intervals_and_are_opaque():
    panel = fake_charts.scatter()
    drawn = only(panel)
    points, intervals = drawn.items("symbol", MEMORIZED), drawn.items("rule")[:200]
    assert drawn.values(points) == close(panel.series[0].y) and drawn.values(points, "x") == close(panel.series[0].x)
    assert drawn.values(intervals) == close(panel.series[0].low) and drawn.values(intervals, "y2") == close(
        panel.series[0].high
    )
    assert {item["opacity"] for item in [*points, *intervals]} == {1}


def test_many_points_are_thinned_evenly_and_smaller():
    few, many = (only(Scatter(title="", x_label="x", y_label="y", series=(fake_charts.series(n=n),))) for n in (40, 2500))
    assert len(many.items("symbol")) == 1000 and many.values(many.items("symbol")[:3], "x") == close([0, 2, 5])
    assert many.items("symbol")[0]["size"] < few.items("symbol")[0]["size"]


def test_bars_have_values_intervals_and_stripes():
    panel = fake_charts.bars()
    drawn = only(panel)
    first, second = drawn.items("rect", panel.series[0].colour), drawn.items("rect", panel.series[1].colour)
    assert drawn.values(first) == close(panel.series[0].y) and drawn.values(first, "y2") == close([0] * 5)
    assert [round(value, 2) for value in drawn.values([item for item in second if item["height"]])] == [0.1, 0.3, 0.4, 0.5]
    ends = drawn.items("rule", "#222222")
    assert drawn.values(ends) == close(panel.series[0].low) and drawn.values(ends, "y2") == close(panel.series[0].high)
    assert len(drawn.items("rule", "#ffffff")) == 5  # one a bar of the second series, none of the first
    assert all(left["x2"] <= right["x"] for left, right in zip(first, second, strict=True))
    assert [text.partition("_")[0] for _, text in drawn.ticks[BOTTOM][:4]] == ["gradient", "gradient", "contrastive", "fisher"]


def test_bars_below_zero_hang_from_it():
    drawn = only(Bars("", "y", ["a", "b"], (Series(label="s", x=[], y=[-2.0, 3.0], colour=MEMORIZED),)))
    below, above = drawn.items("rect")
    assert sorted([*drawn.values([below]), *drawn.values([below], "y2")]) == close([-2, 0])
    assert sorted([*drawn.values([above]), *drawn.values([above], "y2")]) == close([0, 3])


def test_boxes_have_an_outline_of_all_values_and_points_beside_each_other():
    panel = fake_charts.distributions()
    drawn = only(panel)
    boxes = drawn.items("rect")
    assert len(boxes) == 3 and all(item.get("fill") is None and item["stroke"] for item in boxes)
    for box, group in zip(boxes, panel.groups, strict=False):
        of = box_of(group.values)
        assert sorted([*drawn.values([box]), *drawn.values([box], "y2")]) == close([of.first, of.third])
    whiskers = [item for item in drawn.items("rule", panel.groups[0].colour)]
    of = box_of(panel.groups[0].values)
    assert sorted(drawn.values(whiskers, "y2")) == close([of.low, of.high]) and of.high < max(panel.groups[0].values)
    medians = drawn.items("rule", "#222222")
    assert drawn.values(medians) == close([box_of(group.values).median for group in panel.groups[:3]])
    points = drawn.items("symbol", panel.groups[1].colour)
    assert drawn.values(points) == close(panel.groups[1].values)
    assert len({round(item["x"]) for item in points}) > 10 and len(drawn.items("symbol", panel.groups[0].colour)) == 1000
    assert boxes[0]["x"] < min(item["x"] for item in drawn.items("symbol", panel.groups[0].colour))


def test_groups_say_how_many_they_are():
    labels = [text.replace("\u00a0", " ") for _, text in only(fake_charts.distributions()).ticks[BOTTOM]]
    assert labels[:3] == ["0-10\nn = 1,300\n1,000 drawn", "11-29\nn = 200", "30-49\nn = 1"] and labels[3].endswith("n = 0")


def test_groups_of_one_label_stand_side_by_side_and_in_the_legend():
    colours = {"before": BLUE, "after": VERMILLION}
    groups = [
        Group(label=label, values=[1.0, 2.0, 6.0], colour=colours[name], name=name, text=list("abc"))
        for label in "pq"
        for name in colours
    ]
    drawn = scene(fake_charts.chart(Distributions(title="", y_label="EM", groups=tuple(groups), mean=True), columns=1))
    (panel,) = drawn.panels
    assert drawn.legend == ["before", "after"] and [text[0] for _, text in panel.ticks[BOTTOM]] == ["p", "q"]
    boxes = sorted(panel.items("rect"), key=lambda item: item["x"])
    assert [box["stroke"] for box in boxes] == [BLUE, VERMILLION] * 2
    assert all(left["x2"] < right["x"] for left, right in zip(boxes, boxes[1:], strict=False))
    assert panel.values([item for item in panel.items("rule") if item.get("strokeDash") == [2, 2]]) == close([3.0] * 4)
    for box in boxes:
        inside = [item for item in panel.items("symbol", box["stroke"]) if box["x"] < item["x"] < box["x2"]]
        assert len(inside) == 3


def test_heat_maps_have_colours_dots_and_labels():
    values = [[None if (row, column) == (4, 4) else row - column for column in range(6)] for row in range(12)]
    panel = Heat(
        title="",
        row_label="layer",
        column_label="component",
        rows=fake_charts.LAYERS,
        columns=fake_charts.COMPONENTS,
        values=values,
        unit="nats",
        diverging=True,
        marked=[(1, 2)],
    )
    drawn = only(panel)
    cells = {(round(item["y"]), round(item["x"])): item["fill"] for item in drawn.items("rect")}
    colours = [cells[place] for place in sorted(cells)]
    assert len(cells) == 72 and colours[4 * 6 + 4] == "#d9d9d9"
    assert colours[0] == "rgb(255, 255, 255)" and colours[66] == "rgb(213, 94, 0)"  # 0 - 0, and 11 - 0
    assert [text for _, text in drawn.ticks[LEFT]] == fake_charts.LAYERS
    assert [text for _, text in drawn.ticks[BOTTOM]] == ["q", "k", "v", "out", "mlp_in", "mlp_out"]
    (dot,) = drawn.items("symbol")
    assert dot["y"] == pytest.approx(drawn.ticks[LEFT][1][0], abs=1) and dot["x"] == pytest.approx(
        drawn.ticks[BOTTOM][2][0], abs=1
    )
    assert drawn.items("rect")[0]["y"] < drawn.items("rect")[-1]["y"] and len(drawn.bars) == 1


def test_a_shared_scale_has_one_bar_for_the_same_colours():
    panels = [fake_charts.heat(seed) for seed in range(4)]
    together = scene(fake_charts.chart(*panels, shared=True)).panels
    assert [len(panel.bars) for panel in together] == [0, 1, 0, 0]
    apart = scene(fake_charts.chart(*panels)).panels
    assert [len(panel.bars) for panel in apart] == [1] * 4
    values = [value for panel in panels for row in panel.values for value in row]
    fills = [item["fill"] for panel in together for item in panel.items("rect")]
    darkest, palest = (np.array(fills)[np.argsort(values)[place]] for place in (-1, 0))
    assert darkest == "rgb(8, 48, 107)" and palest == fills[int(np.argmin(values))] != darkest


def test_many_labels_do_not_touch():
    drawn = only(fake_charts.heat(columns=[str(i) for i in range(50)], rows=[str(i) for i in range(100)]))
    across, down = drawn.ticks[BOTTOM], drawn.ticks[LEFT]
    assert all(other - place > 14 for (place, _), (other, _) in zip(across, across[1:], strict=False))
    assert all(other - place > 11 for (place, _), (other, _) in zip(down, down[1:], strict=False)) and len(down) < 100


def test_estimates_have_points_means_intervals_and_zero():
    panel = fake_charts.estimates()
    drawn = only(panel)
    points, means = drawn.items("symbol", BLUE), drawn.items("symbol", VERMILLION)
    assert drawn.values(points, "x") == close([point for row in panel.rows for point in row.points])
    assert drawn.values(means, "x") == close([-2, 0.5, 1]) and {item["shape"] for item in means} == {"diamond"}
    (interval,) = drawn.items("rule", VERMILLION)
    assert [*drawn.values([interval], "x"), *drawn.values([interval], "x2")] == close([-3.25, -0.75])
    assert drawn.values(drawn.items("rule", "#444444"), "x") == close([0])
    assert means[0]["y"] == interval["y"] < means[1]["y"] < means[2]["y"]
    assert [text.replace("\n", " ").strip() for _, text in drawn.ticks[LEFT]][0] == panel.rows[0].label


def test_violins_have_densities_on_their_sides_and_means():
    panel = fake_charts.violins()
    drawn = only(panel)
    outline = drawn.items("area", BLUE)[:60]
    assert drawn.values(outline, "x")[0] == close(min(panel.rows[0].above)) and drawn.values(outline, "x")[-1] == close(
        max(panel.rows[0].above)
    )
    peak = max(outline, key=lambda item: item["y"] - item["y2"])
    assert drawn.values([peak], "x")[0] == pytest.approx(10, abs=1.5) and all(item["y2"] <= item["y"] for item in outline)
    assert all(item["y2"] >= item["y"] for item in drawn.items("area", VERMILLION))
    means = drawn.values(drawn.items("rule", "#222222"), "x")
    assert means == close([np.mean(panel.rows[0].above), np.mean(panel.rows[0].below), 7, np.mean(panel.rows[2].above), 3.5])


@pytest.mark.parametrize("kind", ["lines", "scatter", "distributions", "bars"])
def test_shared_panels_have_one_y_axis(kind):
    def panel(high):
        if kind == "distributions":
            return Distributions(title="", y_label="y", groups=(Group(label="a", values=[0.5, high], colour=MEMORIZED),))
        series = (Series(label="a", x=[1, 2], y=[0.5, high], colour=MEMORIZED),)
        return (
            Bars("", "y", ["a", "b"], series)
            if kind == "bars"
            else {"lines": Lines, "scatter": Scatter}[kind](title="", x_label="x", y_label="y", series=series)
        )

    panels = [panel(1.0), panel(5.0)]
    shared = scene(fake_charts.chart(*panels, shared=True)).panels
    assert shared[0].ticks[LEFT] == shared[1].ticks[LEFT] and LEFT in shared[0].titles and LEFT not in shared[1].titles
    apart = scene(fake_charts.chart(*panels)).panels
    assert apart[0].ticks[LEFT] != apart[1].ticks[LEFT] and LEFT in apart[1].titles


def test_shared_scatters_of_one_quantity_have_one_x_axis():
    def panel(far, label):
        return Scatter(
            title="", x_label=label, y_label="NLL", series=(Series(label="a", x=[0, far], y=[1, 2], colour=MEMORIZED),)
        )

    same = scene(fake_charts.chart(panel(1, "EM"), panel(50, "EM"), shared=True)).panels
    assert same[0].ticks[BOTTOM] == same[1].ticks[BOTTOM]
    other = scene(fake_charts.chart(panel(1, "EM"), panel(50, "KL"), shared=True)).panels
    assert other[0].ticks[BOTTOM] != other[1].ticks[BOTTOM]


def test_logarithmic_axes_and_what_they_cannot_show():
    series = Series(label="memorized", x=[0.001, 0.01, 0.1], y=[0.0, 1.0, 100.0], colour=MEMORIZED)
    drawn = only(Lines(title="", x_label="x", y_label="y", series=(series,), log_x=True, log_y=True))
    x = [item["x"] for item in drawn.items("symbol")]
    assert len(x) == 2 and x == pytest.approx([drawn.width / 2, drawn.width], abs=1)
    nothing = Series(label="memorized", x=[0.0], y=[-1.0], colour=MEMORIZED)
    linear = only(Lines(title="", x_label="x", y_label="y", series=(nothing,), log_x=True, log_y=True))
    assert linear.values(linear.items("symbol")) == close([-1])
    group = Group(label="a", values=[0.0, 1.0, 10.0, 100.0], colour=MEMORIZED)
    points = only(Distributions(title="", y_label="y", groups=(group,), log_y=True)).items("symbol")
    first, second, third = sorted(item["y"] for item in points)
    assert second - first == pytest.approx(third - second, abs=0.1)


@pytest.mark.parametrize("make", fake_charts.KINDS.values())
def test_next_to_nothing_is_drawn(make):
    panel = make()
    if isinstance(panel, Distributions):
        panels = [
            dataclasses.replace(panel, groups=(Group(label="a", values=values, colour=MEMORIZED),))
            for values in ([1.0], [0.0], [], [None])
        ]
        panels.append(dataclasses.replace(panel, groups=()))
    elif isinstance(panel, Heat):
        panels = [dataclasses.replace(panel, rows=["0"], columns=["q"], values=[[v]], marked=[]) for v in (1.0, 0.0, None)]
    elif isinstance(panel, Estimates | Violins):
        panels = [dataclasses.replace(panel, rows=rows) for rows in (panel.rows[1:2], ())]
    else:
        few = Series(label="memorized", x=[1.0], y=[2.0], colour=MEMORIZED, low=[1.0], high=[3.0])
        none = Series(label="none", x=[None], y=[None], colour=NON_MEMORIZED, low=[None], high=[None])
        changes = {"categories": ["a"]} if isinstance(panel, Bars) else {}
        panels = [dataclasses.replace(panel, series=series, **changes) for series in ((few,), (none,), ())]
    for one in panels:
        drawn = scene(fake_charts.chart(one))
        assert drawn.width > 300 and len(drawn.panels) == 1


def test_each_series_stands_in_the_legend_once():
    assert scene(fake_charts.chart(fake_charts.lines(), fake_charts.lines(), fake_charts.scatter())).legend == [
        "memorized",
        "non-memorized",
    ]
    assert scene(fake_charts.chart(fake_charts.heat())).legend == []


def test_a_long_legend_is_broken_and_stays_above_the_panels():
    series = tuple(
        dataclasses.replace(fake_charts.series(), label=f"objective {i}, mask gradient", colour=f"#0000{i:02x}")
        for i in range(9)
    )
    drawn = scene(fake_charts.chart(Lines(title="a title", x_label="x", y_label="y", series=series), columns=1), width=350)
    lines = sorted({y for _, y in drawn.legend_places})
    assert len(drawn.legend) == 9 and len(lines) > 4 and lines[-1] + 10 < drawn.panels[0].y - 20


@pytest.mark.parametrize(("columns", "width"), [(2, 900), (1, 350)])
def test_panels_do_not_overlap_and_the_figure_is_about_as_wide_as_asked_for(columns, width):
    for chart in fake_charts.charts()[-2:]:
        drawn = scene(chart, columns, width)
        assert len({panel.x for panel in drawn.panels}) == columns and drawn.width < 1.15 * width
        for place, panel in enumerate(drawn.panels):
            for other in drawn.panels[:place]:
                beside = panel.x >= other.x + other.width + 30 or other.x >= panel.x + panel.width + 30
                assert beside or panel.y >= other.y + other.height + 40


def test_long_titles_and_labels_are_broken():
    panel = dataclasses.replace(
        fake_charts.lines(), title="a title of many words " * 8, y_label="drop in a quantity of a long name " * 3
    )
    drawn = only(panel)
    assert drawn.titles["top"].count("\n") >= 1 and drawn.titles[LEFT].count("\n") >= 1


def test_every_text_is_literal():
    strange = "\"]; {signal: 1} datum.x + \\ ' $x$ \x00 \ud800 \u2028 %{x} 中文"
    shown = strange.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    panel = Lines(
        title=strange, x_label=strange, y_label=strange, series=(fake_charts.series(label=strange, text=[strange] * 50),)
    )
    heat = Heat(
        title=strange,
        row_label=strange,
        column_label=strange,
        rows=[strange],
        columns=[strange, "q"],
        values=[[1.0, 2.0]],
        unit=strange,
    )
    drawn = scene(Chart(name="c", caption="", alt="", panels=(panel, heat), columns=1))
    assert drawn.legend == [shown]
    first, second = drawn.panels
    words = " ".join(shown.split())
    assert all(" ".join(first.titles[side].split()) == words for side in ("top", LEFT, BOTTOM))
    assert second.ticks[LEFT][0][1] == shown and {"q"} < {text for _, text in second.ticks[BOTTOM]}


def test_very_small_and_large_numbers_are_powers_of_ten():
    for far, expected in ((3e-7, "e"), (3e8, "e"), (30.0, "")):
        drawn = only(
            Lines(title="", x_label="x", y_label="y", series=(Series(label="a", x=[0, 1], y=[0, far], colour=MEMORIZED),))
        )
        assert all(expected in text for _, text in drawn.ticks[LEFT] if text.strip("0.e+")) and (
            expected or "e" not in drawn.ticks[LEFT][1][1]
        )


def test_zero_among_very_small_numbers_is_zero_on_axes_and_colour_bars():
    tiny = Series(label="", x=[0.0, 1e-4], y=[0.0, 1e-4], colour=BLUE)
    drawn = only(Lines(title="", x_label="x", y_label="y", series=(tiny,)))
    assert all("0" in [text for _, text in drawn.ticks[side]] for side in (LEFT, BOTTOM))
    heat = Heat(title="", row_label="", column_label="", rows=["0"], columns=["q", "k"], values=[[0.0, 1e-4]], unit="u")
    bar = json.dumps(only(heat).bars)
    assert '"text": "0"' in bar and "0e+0" not in bar


def test_single_groups_with_names_stand_in_the_middle_and_share_their_entry_with_a_series():
    series = tuple(Series(label=f"bin {n}", x=[1.0], y=[1.0], colour=colour) for n, colour in enumerate((BLUE, VERMILLION)))
    named = [Group(label=f"b{one.label[-1]}", values=[1.0, 2.0, 4.0], colour=one.colour, name=one.label) for one in series]
    points = Scatter(title="", x_label="x", y_label="y", series=series)
    chart = fake_charts.chart(points, Distributions(title="", y_label="y", groups=tuple(named)), columns=1)
    made = figure(chart, 1, 600)
    assert scene(chart).legend == ["bin 0", "bin 1"]
    assert [made.datasets[f"p1b{nth}"][0]["x"] for nth in range(2)] == [0, 1]
    assert made.datasets["p1b0"][0]["right"] == pytest.approx(0.275)
    boxes = [one for one in made.spec["vconcat"][-1]["concat"][1]["layer"] if one["mark"]["type"] == "rect"]
    assert [one["transform"][0]["calculate"] for one in boxes] == ["0", "1"]


def test_columns_are_as_many_as_asked_for_and_never_more_than_panels():
    three = [fake_charts.lines() for _ in range(3)]
    for columns, across in ((1, 1), (2, 2), (3, 3), (9, 3)):
        drawn = scene(fake_charts.chart(*three), columns, width=900)
        assert len({round(panel.x) for panel in drawn.panels}) == across
        assert len({(panel.width, panel.height) for panel in drawn.panels}) == 1


def test_only_a_heat_map_leaves_room_for_a_colour_bar_on_a_phone():
    drawn = scene(fake_charts.chart(fake_charts.lines(), fake_charts.heat(), fake_charts.bars()), 1, width=350)
    lines, heat, bars = (panel.width for panel in drawn.panels)
    assert lines == bars == heat + 104


def test_a_map_is_as_high_as_its_rows_within_bounds():
    heights = [only(fake_charts.heat(rows=[str(row) for row in range(rows)])).height for rows in (1, 12, 20, 200)]
    assert heights == [110, 264, 440, 560]


def test_rows_have_room_for_their_labels():
    panel = fake_charts.estimates()
    drawn = only(panel)
    lines = max(text.count("\n") + 1 for _, text in drawn.ticks[LEFT])
    assert lines == 4 and drawn.height == 3 * (4 * 14 + 10)
    short = dataclasses.replace(panel, rows=tuple(dataclasses.replace(row, label="a") for row in panel.rows))
    assert only(short).height == 3 * 40


def test_labels_of_rows_stand_beside_their_middles():
    drawn = only(fake_charts.violins())
    lines = {row: [item for item in drawn.items("rule", "#222222") if int(item["y"] // 52) == row] for row in range(3)}
    for row, (place, text) in enumerate(drawn.ticks[LEFT]):
        written = text.count("\n") + 1 - (len(text) - len(text.lstrip("\n")))
        first = place + 14 * (len(text) - len(text.lstrip("\n")))
        middle = first + 14 * (written - 1) / 2
        assert middle == pytest.approx(26 + 52 * row, abs=8) and (lines[row] or row)


def test_the_first_rows_and_columns_are_top_and_left():
    values = [[1.0, 2.0], [3.0, 9.0]]
    drawn = only(
        Heat(
            title="",
            row_label="layer",
            column_label="component",
            rows=["0", "1"],
            columns=["q", "k"],
            values=values,
            unit="nats",
        )
    )
    first, last = drawn.items("rect")[0], drawn.items("rect")[-1]
    assert first["x"] < last["x"] and first["y"] < last["y"] and last["fill"] == "rgb(8, 48, 107)"
    assert drawn.ticks[LEFT][0][0] < drawn.ticks[LEFT][1][0] and drawn.ticks[BOTTOM][0][1] == "q"
    assert (drawn.titles[LEFT], drawn.titles[BOTTOM]) == ("layer", "component")


def test_what_a_cell_says_beside_its_value():
    texts = [["12 of 48 weights", "0 of 48 weights"]]
    heat = Heat(
        title="",
        row_label="layer",
        column_label="component",
        rows=["0"],
        columns=["q", "k"],
        values=[[25.0, 0.0]],
        unit="%",
        texts=texts,
    )
    made = figure(fake_charts.chart(heat), 1, 600)
    assert [row["text"] for row in made.datasets["p0cells"]] == texts[0]
    tooltip = made.spec["vconcat"][0]["concat"][0]["layer"][0]["mark"]["tooltip"]["expr"]
    assert '"that is": datum.text' in tooltip and '"%":' in tooltip


@pytest.mark.parametrize("chart", fake_charts.charts(), ids=lambda chart: chart.name)
def test_every_layer_draws_rows_that_are_there_and_none_is_left_over(chart):
    made = figure(chart, chart.columns, 900)
    views = made.spec["vconcat"][-1]["concat"]
    read = [layer["data"]["name"] for view in views for layer in view["layer"]]
    assert set(read) == set(made.datasets)
    for view in views:
        for layer in view["layer"]:
            rows = made.datasets[layer["data"]["name"]]
            fields = {channel["field"] for channel in layer["encoding"].values() if "field" in channel}
            assert all(fields <= row.keys() for row in rows)


def test_rows_hold_six_digits_and_no_more():
    third = Series(label="a", x=[1 / 3], y=[2 / 3], colour=MEMORIZED, low=[1 / 7], high=[8 / 9])
    made = figure(fake_charts.chart(Scatter(title="", x_label="x", y_label="y", series=(third,))), 1, 600)
    assert made.datasets["p0s0"] == [{"x": 0.333333, "y": 0.666667, "low": 0.142857, "high": 0.888889}]


def test_whole_numbers_have_no_ticks_between_them():
    layers = only(
        Lines(
            title="",
            x_label="layer",
            y_label="y",
            series=(Series(label="a", x=[0, 1, 2, 3], y=[1, 2, 3, 4], colour=MEMORIZED),),
        )
    )
    assert [text for _, text in layers.ticks[BOTTOM]] == ["0", "1", "2", "3"]
    scales = only(
        Lines(title="", x_label="scale", y_label="y", series=(Series(label="a", x=[0, 0.5, 2], y=[1, 2, 3], colour=MEMORIZED),))
    )
    assert any("." in text for _, text in scales.ticks[BOTTOM])


def test_narrow_cells_have_no_lines_between_them():
    few, many = (only(fake_charts.heat(columns=[str(i) for i in range(n)])).items("rect")[0] for n in (30, 31))
    assert few["stroke"] == "#ffffff" and many.get("stroke") is None
