"""The figures of em_nll: every row up to a limit, colours by bin, and the curve of scikit-learn's definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_material import C, tiny_material

from memunlearn.analyses.em_nll import EMNLL
from memunlearn.analyses.em_nll.charts import charts
from memunlearn.analyses.em_nll.measure import measure
from memunlearn.charts.description import BIN_COLOURS, NEUTRAL
from memunlearn.charts.looks import evenly


@pytest.fixture(scope="module")
def material():
    return tiny_material(memorized=6, others=14)


def with_scores(material, em, nll):
    values = {**material.scores.values, "em": em, "nll": nll}
    return replace(material, scores=replace(material.scores, values=values))


def told(material):
    return charts(measure(material), material, "Told apart.", "By bin.")


def test_every_point_stands_at_its_em_and_nll_with_its_origin(material):
    scatter = told(material)[0].panels[0]
    points = {text: (x, y) for series in scatter.series for x, y, text in zip(series.x, series.y, series.text, strict=True)}
    em, nll = material.scores.em.tolist(), material.scores.nll.double().tolist()
    assert points == {f"tiny:{row}": (em[row], nll[row]) for row in range(20)}
    assert told(material)[0].caption == "Told apart. By bin."
    boxes = told(material)[0].panels[1]
    assert [group.values for group in boxes.groups] == [series.y for series in scatter.series]
    looks = [(group.name, group.colour, group.marker) for group in boxes.groups]
    assert looks == [(series.label, series.colour, series.marker) for series in scatter.series]


def test_large_bins_are_thinned_evenly_and_say_so(material, monkeypatch):
    monkeypatch.setattr("memunlearn.analyses.em_nll.charts.evenly", lambda places: evenly(places, at_most=4))
    scatter = told(material)[0].panels[0]
    for series, (label, member) in zip(scatter.series, measure(material).members.items(), strict=True):
        rows = np.flatnonzero(member)
        assert series.label == f"EM {label} ({len(rows)} rows{', 4 drawn' * (len(rows) > 4)})"
        drawn = [rows[i * len(rows) // 4] for i in range(4)] if len(rows) > 4 else rows
        assert series.text == [f"tiny:{row}" for row in drawn]


def test_a_log_axis_only_where_every_nll_is_above_0(material):
    assert told(material)[0].panels[0].log_y and "log scale" in told(material)[0].panels[0].y_label
    zero = with_scores(material, material.scores.em, torch.arange(20.0))
    panel = told(zero)[0].panels[0]
    assert not panel.log_y and panel.y_label == "NLL (nats per token)"


def test_the_curve_is_that_of_thresholds_one_by_one(material):
    nll = torch.randperm(20, generator=torch.Generator().manual_seed(0)).float()
    nll[3] = nll[8]  # a tie
    given = with_scores(material, material.scores.em, nll)
    curve, chance = told(given)[1].panels[0].series
    memorized, compared = given.memorized.numpy(), (given.memorized | given.non_memorized).numpy()
    values = nll.numpy()
    expected = [(0.0, 0.0)]
    for threshold in sorted(set(values[compared])):
        below = values <= threshold
        expected.append(
            (below[compared & ~memorized].mean(), below[memorized].mean()),
        )
    assert list(zip(curve.x, curve.y, strict=True)) == [pytest.approx(point, abs=1e-6) for point in expected]
    assert chance.x == chance.y == [0.0, 1.0]


@pytest.mark.parametrize("missing", ["memorized", "non_memorized"])
def test_without_two_groups_there_is_no_curve(material, missing):
    alone = replace(material, **{missing: torch.zeros(20, dtype=torch.bool)})
    assert [chart.name for chart in told(alone)] == ["em_nll"]


def test_bins_of_a_source_are_coloured_from_low_to_high(material):
    em = torch.tensor([C] * 6 + [0] * 4 + [2] * 4 + [4] * 3 + [6] * 3)
    bins = ["e"] * 6 + ["a"] * 4 + ["b"] * 4 + ["c"] * 3 + ["d"] * 3
    given = replace(with_scores(material, em, torch.arange(1.0, 21)), bins=bins)
    assert list(measure(given).members) == ["a", "b", "c", "d", "e"]
    colours = [series.colour for series in told(given)[0].panels[0].series]
    assert colours == [BIN_COLOURS[0], BIN_COLOURS[1], BIN_COLOURS[2], NEUTRAL, BIN_COLOURS[-1]]
    assert len({series.marker for series in told(given)[0].panels[0].series}) == 4  # one serves twice


def test_bins_with_the_same_mean_em_always_stand_in_the_same_order(material):
    em = torch.tensor([C] * 6 + [1] * 14)
    for names in (("x", "y", "z"), ("z", "y", "x")):
        bins = ["m"] * 6 + [names[0]] * 5 + [names[1]] * 5 + [names[2]] * 4
        given = replace(with_scores(material, em, torch.arange(1.0, 21)), bins=bins)
        assert list(measure(given).members) == ["x", "y", "z", "m"]


def test_one_bin_alone_is_neither_low_nor_high(material):
    given = replace(material, bins=["all"] * 20)
    assert [series.colour for series in told(given)[0].panels[0].series] == [BIN_COLOURS[1]]
    assert list(EMNLL()(given).numbers["bins"]) == ["all"]
