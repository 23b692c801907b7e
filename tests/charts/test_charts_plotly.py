import json

import fake_charts
import numpy as np
import pytest

from memunlearn.charts.description import MEMORIZED, Heat, Lines, Series
from memunlearn.charts.plotly_page import plot
from memunlearn.charts.style import box_of

plotly = pytest.importorskip("plotly.graph_objects")


def traces(*panels, **more):
    return plot(fake_charts.chart(*panels, **more))["data"]


@pytest.mark.parametrize("chart", fake_charts.charts(), ids=lambda chart: chart.name)
def test_plotly_knows_every_key_and_json_holds_it(chart):
    made = plot(chart)
    for layout in (made["layout"], made["narrow"]):
        plotly.Figure(data=made["data"], layout=layout)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_lines_have_their_values_and_bands_with_gaps():
    panel = fake_charts.lines()
    band, first, broken_band, second = traces(panel)
    assert first["y"] == pytest.approx(panel.series[0].y, rel=1e-5) and first["line"]["color"] == MEMORIZED
    assert band["x"] == [*range(50), *range(49, -1, -1)] and band["y"][:50] == pytest.approx(panel.series[0].low, rel=1e-5)
    assert band["y"][:49:-1] == pytest.approx(panel.series[0].high, rel=1e-5)
    assert second["y"][3] is None and second["x"] == list(range(10)) and broken_band["x"].count(None) == 2
    assert second["text"][3] == second["text"][7] == "" and " to " in second["text"][0]


def test_scattered_points_say_their_text_literally():
    panel = fake_charts.scatter()
    points = traces(panel)[0]
    assert points["x"] == panel.series[0].x and points["y"] == pytest.approx(panel.series[0].y, rel=1e-5)
    assert points["customdata"][5].startswith("row 5 &lt;script&gt;alert(1)&lt;/script&gt; &amp; &amp;amp;")
    assert points["error_y"]["arrayminus"] == pytest.approx([0.5] * 200, rel=1e-4)


def test_bars_have_values_errors_and_categories():
    panel = fake_charts.bars()
    first, second = traces(panel)
    assert first["y"] == pytest.approx(panel.series[0].y, rel=1e-5) and second["y"][1] is None
    assert first["error_y"]["array"] == pytest.approx([0.2] * 5, rel=1e-4) and "error_y" not in second
    assert first["marker"]["pattern"]["shape"] != second["marker"]["pattern"]["shape"]
    layout = plot(fake_charts.chart(panel))["layout"]
    assert any(text.startswith("gradient") for text in layout["xaxis"]["ticktext"])
    assert "%{" not in second["hovertemplate"].replace("%{customdata", "").replace("%{y", "")


def test_distributions_have_boxes_of_all_values_and_some_points():
    panel = fake_charts.distributions()
    made = traces(panel)
    boxes, points = [one for one in made if one["type"] == "box"], [one for one in made if one["type"] == "scatter"]
    assert [one["x"] for one in boxes] == [[0], [1], [2]] and [len(one["y"]) for one in points] == [1000, 200, 1]
    assert boxes[0]["median"] == [pytest.approx(box_of(panel.groups[0]).median, rel=1e-5)]
    assert boxes[0]["upperfence"][0] < max(panel.groups[0].values)


def test_heat_maps_have_values_units_dots_and_a_scale():
    values = [[None if (row, column) == (4, 4) else row - column for column in range(6)] for row in range(12)]
    panel = Heat("", "layer", "component", fake_charts.LAYERS, fake_charts.COMPONENTS, values, "nats", True, [(1, 2)])
    made = plot(fake_charts.chart(panel))
    cells, missing, dots = made["data"]
    assert np.array_equal(np.array(cells["z"], dtype=float), np.array(values, dtype=float), equal_nan=True)
    assert [(y, x) for y, row in enumerate(missing["z"]) for x, value in enumerate(row) if value == 0] == [(4, 4)]
    assert (dots["x"], dots["y"]) == ([2], [1]) and cells["text"][11][5] == "layer 11, component mlp_out"
    axis = made["layout"][cells["coloraxis"]]
    assert (axis["cmin"], axis["cmax"]) == (-11, 11) and axis["colorbar"]["title"]["text"].endswith("nats")
    assert [colour for _, colour in axis["colorscale"]][1] == "#ffffff" and axis["colorscale"][-1] == [1, MEMORIZED]
    assert made["layout"]["yaxis"]["range"] == [11.5, -0.5]


def test_a_shared_scale_is_one_colour_axis():
    panels = [fake_charts.heat(seed) for seed in range(4)]
    assert {one.get("coloraxis") for one in traces(*panels, shared=True) if one["type"] == "heatmap"} == {"coloraxis"}
    assert len({one.get("coloraxis") for one in traces(*panels) if one["type"] == "heatmap"}) == 4


def test_shared_lines_have_one_range():
    layout = plot(fake_charts.chart(fake_charts.lines(), fake_charts.lines(), shared=True))["layout"]
    assert layout["yaxis2"]["matches"] == "y" and "matches" not in layout["yaxis"]


def test_each_series_stands_in_the_legend_once():
    made = traces(fake_charts.lines(), fake_charts.lines(), fake_charts.scatter())
    assert [one["name"] for one in made if one.get("showlegend")] == ["memorized", "non-memorized"]


def test_panels_do_not_overlap_and_stand_below_each_other_on_a_phone():
    made = plot(fake_charts.charts()[-2])
    for name, columns in (("layout", 2), ("narrow", 1)):
        layout = made[name]
        boxes = [(layout[f"xaxis{n}"]["domain"], layout[f"yaxis{n}"]["domain"]) for n in ("", 2, 3, 4, 5)]
        assert len({tuple(x) for x, _ in boxes}) == columns and layout["height"] > 300
        for place, (x, y) in enumerate(boxes):
            assert 0 <= x[0] < x[1] <= 1.0001 and -0.0001 <= y[0] < y[1] <= 1.0001
            for other_x, other_y in boxes[:place]:
                assert x[0] >= other_x[1] or x[1] <= other_x[0] or y[0] >= other_y[1] or y[1] <= other_y[0]


def test_colour_bars_have_room_between_maps():
    layout = plot(fake_charts.chart(fake_charts.heat(), fake_charts.heat()))["layout"]
    gap = layout["xaxis2"]["domain"][0] - layout["xaxis"]["domain"][1]
    pixels = 900 - layout["margin"]["l"] - layout["margin"]["r"]
    assert gap * pixels > 120 and layout["coloraxis"]["colorbar"]["x"] == layout["xaxis"]["domain"][1]


def test_every_label_is_literal():
    made = plot(fake_charts.chart(fake_charts.bars(), fake_charts.distributions()))
    assert "<script" not in json.dumps(made) and "<b>" not in json.dumps(made)


def test_logarithmic_axes():
    series = Series("memorized", [0.001, 0.1], [1.0, 100.0], MEMORIZED)
    layout = plot(fake_charts.chart(Lines("", "x", "y", (series,), log_x=True, log_y=True)))["layout"]
    assert layout["xaxis"]["type"] == layout["yaxis"]["type"] == "log"
