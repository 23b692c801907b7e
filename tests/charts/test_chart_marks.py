"""The parts that panels are put together from."""

import pytest
import vl_convert

from memunlearn.charts.labels import Ticks
from memunlearn.charts.marks import (
    DASHES,
    SHAPES,
    Drawing,
    axis,
    layer,
    named_axis,
    number_format,
    rows_of,
    said,
    shown,
    symbols,
    tint,
)


def evaluated(expression, **datum):
    """The text that Vega makes of an expression."""
    spec = {
        "data": {"values": [datum]},
        "mark": {"type": "text", "text": {"expr": f"toString({expression})"}},
        "encoding": {"x": {"value": 5}, "y": {"value": 5}},
    }
    made = vl_convert.vegalite_to_scenegraph(spec)["scenegraph"]
    while "text" not in made:
        made = made["items"][0]
    return made["text"]


@pytest.mark.parametrize(
    ("value", "expected"), [(2.0, "2"), (0.123456, "0.1235"), (12345.6, "1.235e+4"), (None, "-"), (0.0, "0")]
)
def test_numbers_in_print(value, expected):
    assert evaluated(f"({shown('y')})", y=value).replace("\u2212", "-") == expected


def test_names_under_the_pointer_are_all_there_once():
    expression = said('"a title"', [("title", "1"), ("EM", "2"), ("EM", "3")])["expr"]
    assert evaluated(f"{expression}['title']") == "a title"
    assert [evaluated(f"{expression}[{name!r}]") for name in ("title ", "EM", "EM ")] == ["1", "2", "3"]


def test_what_stands_under_the_pointer_cannot_leave_its_quotes():
    hostile = '": datum.secret, "\\'
    assert evaluated(f"{said('1', [(hostile, '2')])['expr']}['secret']", secret="told") is None


def test_layers_that_can_be_chosen_are_pale_while_others_are():
    made = layer("line", {"x": "x"}, entry=3, opacity=0.5, stroke="#000000")
    assert made["encoding"]["opacity"] == {"condition": {"param": "chosen", "value": 0.5}, "value": 0.04}
    assert made["transform"] == [{"calculate": "3", "as": "entry"}] and made["mark"]["stroke"] == "#000000"
    assert "transform" not in layer("line", {"x": "x"}) and layer("line", {"x": "x"})["mark"]["opacity"] == 1


def test_many_symbols_are_smaller_but_never_lost():
    sizes = [symbols({}, "#D55E00", "o", 40, crowd)["mark"]["size"] for crowd in (1, 100, 300, 5000)]
    assert sizes[0] == sizes[1] == 40 > sizes[2] == 20 > sizes[3] == 16
    assert symbols({}, "#D55E00", "D", 40, 1)["mark"]["fill"] == "#D55E00"
    assert symbols({}, "#D55E00", "D", 40, 9)["mark"]["stroke"] == "#D55E00"


def test_a_tint_is_the_colour_on_white():
    assert tint("#000000", 0.5) == "#808080" and tint("#D55E00", 1) == "#d55e00" and tint("#123456", 0) == "#ffffff"


def test_markers_and_dashes_differ():
    assert len(set(SHAPES.values())) == len(SHAPES) - 1 and len({tuple(dash) for dash in DASHES.values()}) == len(DASHES)


@pytest.mark.parametrize(("low", "high", "powers"), [(0, 50, False), (-3e-4, 1e-5, True), (0, 2e6, True), (0, 0, False)])
def test_powers_of_ten(low, high, powers):
    assert (number_format(low, high).get("format") == "~e") is powers


@pytest.mark.parametrize(("log", "low", "powers"), [(True, 9e-4, True), (True, 1e-3, False), (False, 9e-4, False)])
def test_powers_of_ten_on_a_logarithmic_axis_by_its_smallest_number(log, low, powers):
    assert (axis([], (low, 30), log)["axis"].get("format") == "~e") is powers


@pytest.mark.parametrize(("value", "expected"), [(0.0, "0"), (2e-5, "2e-5")])
def test_zero_among_powers_of_ten_is_written_as_it_is(value, expected):
    expression = number_format(0, 1e-4)["labelExpr"].replace("datum.label", "format(datum.value, '~e')")
    assert evaluated(expression, value=value).replace("\u2212", "-") == expected


def test_an_axis_of_numbers():
    made = axis(["two", "lines"], (1, 100), log=True)
    assert made["scale"] == {"type": "log", "domain": [1, 100], "nice": False}
    assert axis([], (1, 100))["scale"]["nice"] is True and made["axis"]["labelFlush"] is False
    assert made["axis"]["title"] == ["two", "lines"] and axis([], (0, 1))["axis"]["title"] is None


def test_an_axis_of_names_quotes_them_and_centres_those_of_several_lines():
    ticks = Ticks([0, 2], ['a "quoted" name', "two\nlines\nmore"], False)
    made = named_axis(ticks, [], {})
    assert made["axis"]["labelExpr"] == '[["a \\"quoted\\" name"], [""], ["two", "lines", "more"]][datum.value]'
    assert made["axis"]["values"] == [0, 2] and made["axis"]["labelAngle"] == 0 and "labelOffset" not in made["axis"]
    centred = named_axis(ticks, [], {}, centred=True)["axis"]
    assert centred["labelOffset"] == -14 and '["", "a ' in centred["labelExpr"]
    assert named_axis(Ticks([0], ["a"], True), [], {})["axis"]["labelAngle"] == -45


def test_rows():
    assert rows_of(x=[1, 2], y=[None, 3.0], low=None) == [{"x": 1, "y": None}, {"x": 2, "y": 3.0}]
    with pytest.raises(ValueError):
        rows_of(x=[1], y=[1, 2])


def test_a_drawing_knows_which_rows_its_layers_draw():
    drawing = Drawing()
    drawing.add("p0", [{"x": 1}], layer("point", {"x": "x"}), layer("rule", {"x": "x"}))
    assert drawing.rows == {"p0": [{"x": 1}]} and [one["data"] for one in drawing.layers] == [{"name": "p0"}] * 2
