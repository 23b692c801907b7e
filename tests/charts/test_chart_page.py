"""What a page gets of a chart: rows once, and a specification a width."""

import json

import fake_charts
import pytest

from memunlearn.charts.page import library, page_figure


def names_of(spec):
    """The data that a specification reads."""
    if isinstance(spec, dict):
        data = spec.get("data")
        here = {data["name"]} if isinstance(data, dict) and "name" in data else set()
        return here.union(*(names_of(value) for value in spec.values()))
    return set().union(*map(names_of, spec)) if isinstance(spec, list) else set()


@pytest.mark.parametrize("chart", fake_charts.charts(), ids=lambda chart: chart.name)
def test_both_widths_draw_the_same_rows(chart):
    made = page_figure(chart)
    assert names_of(made["wide"]) == names_of(made["narrow"]) == made["datasets"].keys()
    assert "datasets" not in made["wide"] and json.loads(json.dumps(made, allow_nan=False)) == made


def test_panels_stand_below_each_other_on_a_phone():
    made = page_figure(fake_charts.charts()[-1])
    wide, narrow = (made[name]["vconcat"][-1] for name in ("wide", "narrow"))
    assert (wide["columns"], narrow["columns"]) == (2, 1)
    assert narrow["concat"][0]["width"] < 350 < 2 * wide["concat"][0]["width"] < 900


def test_a_figure_of_a_thousand_points_is_light():
    made = page_figure(fake_charts.chart(fake_charts.distributions(sizes=(1000,))))
    assert len(json.dumps(made, separators=(",", ":"))) < 60_000


def test_the_library_is_one_script_without_an_end_that_needs_no_eval():
    script = library()
    assert 500_000 < len(script) < 1_100_000 and "</script" not in script.lower()
    assert "window.vegaEmbed" in script and library() is script


def test_the_library_says_whose_it_is_and_under_which_licences():
    said = library().partition("\n")[0]
    assert said.startswith("/*") and said.endswith("*/")
    vega, d3 = said.split("D3")
    assert all(part in vega for part in ("Vega-Lite", "Vega-Embed", "BSD 3-Clause", "University of Washington"))
    assert "ISC" in d3 and "Mike Bostock" in d3
