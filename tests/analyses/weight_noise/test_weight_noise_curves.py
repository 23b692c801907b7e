"""Halves of clusters, the curves over the noise against loops, and the bands that are drawn."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from memunlearn.analyses.weight_noise.charts import charts
from memunlearn.analyses.weight_noise.compare import compare, curves_of
from memunlearn.analyses.weight_noise.measure import CONTROL, MATCHED, RANDOM, TOP, Measured, Rows
from memunlearn.analyses.weight_noise.tell import tell
from memunlearn.localization.labelled import Labelled
from memunlearn.scoring.score import ParagraphScores

C = 4
SCALES = [1.0, 2.5]


def measured(memorized=5, others=6, seeds=3, choices=(TOP, CONTROL, RANDOM, MATCHED), broken=False):
    generator = torch.Generator().manual_seed(1)
    rows = memorized + 2 * others
    shape = (len(choices), len(SCALES), seeds, rows)
    em = torch.randint(0, C + 1, shape, generator=generator).double()
    nll = 5 * torch.rand(shape, generator=generator, dtype=torch.float64)
    if broken:
        nll[0, 1] = torch.nan
    read = torch.rand(seeds, rows, generator=generator) < 0.6
    read[:, [0, memorized % rows, -1]] = True
    em[:, :, ~read], nll[:, :, ~read] = torch.nan, torch.nan
    every = ("choice", "scale", "seed", "row")
    scores = Labelled(
        {"choice": list(choices), "scale": SCALES, "seed": range(seeds), "row": range(rows)},
        {"em": (every, em), "nll": (every, nll), "read": (("seed", "row"), read)},
    )
    token_nll = torch.rand(rows, C, generator=generator)
    of_rows = {"em": torch.randint(2, C + 1, (rows,), generator=generator), "nll": token_nll.mean(1)}
    before = ParagraphScores(of_rows, token_nll)
    kinds = np.repeat(["memorized", "non_memorized", "own"], [memorized, others, others])
    clusters = np.r_[np.arange(memorized + others), memorized + np.arange(others)]
    return Measured(
        kinds=kinds,
        clusters=clusters,
        scores=scores,
        before=before,
        unit=0.02,
        top=SimpleNamespace(k=7, eligible=900),
        held_out=True,
    )


def naive_mean(values, kinds, read, name):
    return [
        np.mean([values[seed][row] for row in range(len(kinds)) if kinds[row] == name and read[seed][row]])
        for seed in range(len(read))
    ]


def test_curves_are_means_over_the_rows_that_a_seed_reads():
    given = measured()
    curves = curves_of(given)
    read = given.scores["read"].numpy()
    assert curves.sizes == {"memorized": 5, "non_memorized": 6} and curves.seeds == 3
    for name in curves.sizes:
        for metric, before in (("em", given.before.em), ("nll", given.before.nll)):
            for c, choice in enumerate(curves.choices):
                for s in range(len(SCALES)):
                    expected = naive_mean(given.scores[metric][c, s].numpy(), given.kinds, read, name)
                    np.testing.assert_allclose(curves.of(metric, choice, name)[s], expected)
                    assert curves.mean(metric, choice, name, s) == pytest.approx(np.mean(expected))
            without = naive_mean([before.double().numpy()] * 3, given.kinds, read, name)
            assert curves.without[metric, name] == pytest.approx(np.mean(without))


def test_the_scale_that_is_told_of_is_the_least_that_halves_em_or_the_largest():
    given = measured()
    given.scores["em"][0, 1], given.scores["em"][0, 0] = 0.0, 4.0
    curves = curves_of(given)
    assert curves.halved_at(TOP) == 1 == curves.compared_at
    given.scores["em"][0] = 4.0
    curves = curves_of(given)
    assert curves.halved_at(TOP) is None and curves.compared_at == 1
    given.scores["em"][0] = 0.0
    assert curves_of(given).halved_at(TOP) == 0
    nothing = replace(given.before, values={**given.before.values, "em": torch.zeros_like(given.before.em)})
    assert curves_of(replace(given, before=nothing)).halved_at(TOP) is None  # nothing was recited without noise


def test_the_table_has_a_row_for_the_model_without_noise_and_for_everything_else():
    given = measured()
    curves = curves_of(given)
    table = tell(given, (curves, None), 0.01, False).tables["weight_noise"]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    assert list(table) == ["choice", "scale", "deviation", "seed", "set", "paragraphs", "em", "nll"]
    assert len(rows) == 2 * (1 + 4 * len(SCALES) * 3)
    for row in rows:
        if row["choice"] == "none":
            assert (row["scale"], row["deviation"], row["seed"]) == (0.0, 0.0, None)
            assert row["em"] == curves.without["em", row["set"]] and row["nll"] == curves.without["nll", row["set"]]
            continue
        place = SCALES.index(row["scale"]), row["seed"]
        assert row["em"] == curves.of("em", row["choice"], row["set"])[place]
        assert row["nll"] == curves.of("nll", row["choice"], row["set"])[place]
        assert row["deviation"] == pytest.approx(0.02 * row["scale"]) and row["paragraphs"] == curves.sizes[row["set"]]


def test_bands_go_from_the_lowest_to_the_highest_seed():
    curves = curves_of(measured())
    for chart, metric in zip(charts(curves, 0.01), ("nll", "em"), strict=True):
        assert chart.name == f"weight_noise_{metric}" and "bands: lowest to highest of 3 noise seeds" in chart.caption
        assert "on 1 % of the weights, at 2.5 standard deviations" in chart.caption
        for panel, name in zip(chart.panels, curves.sizes, strict=True):
            for series, choice in zip(panel.series, curves.choices, strict=True):
                values = curves.of(metric, choice, name)
                assert series.x == [0.0, *SCALES] and series.y[0] == series.low[0] == curves.without[metric, name]
                np.testing.assert_allclose(series.y[1:], values.mean(1))
                np.testing.assert_allclose(series.low[1:], values.min(1))
                np.testing.assert_allclose(series.high[1:], values.max(1))
            assert len({(series.dash, series.marker) for series in panel.series}) == 4


def test_one_seed_has_no_band_and_noise_that_breaks_the_model_no_point():
    curves = curves_of(measured(seeds=1, broken=True))
    nll = charts(curves, 0.01)[0]
    assert nll.caption.endswith("; one noise seed.") and "not finite (top)" in nll.caption
    for panel in nll.panels:
        assert all(series.low is None and series.high is None for series in panel.series)
        assert panel.series[0].y[1] is not None and panel.series[0].y[2] is None
    assert curves.mean("nll", TOP, "memorized", 1) is None


def test_without_a_control_nothing_is_compared_with_it():
    given = measured(others=0, choices=(TOP, RANDOM, MATCHED))
    curves, found = compare(given, seed=0)
    assert found is None and list(curves.sizes) == ["memorized"]
    finding = tell(given, (curves, found), 0.01, True)
    assert len(finding.sentences) == 2 and finding.numbers["against_control"] is None
    assert "there is no control" in finding.notes[2] and "own output" in finding.notes[3]


@pytest.mark.parametrize("seed", range(5))
def test_halves_are_whole_clusters_and_none_is_on_both_sides(seed):
    clusters = torch.tensor([0, 0, 1, 2, 3, 3, 4, 0, 5, 6, 7, 7, 8])
    rows = Rows.of(torch.arange(7), torch.arange(7, 13), clusters, [seed, seed + 100])
    assert rows.held_out and rows.read.shape == (2, 13)
    for read, chosen_for in zip(rows.read, rows.chosen_for, strict=True):
        assert torch.equal(read, ~chosen_for)
        assert not set(clusters[read].tolist()) & set(clusters[chosen_for].tolist())
        assert len(set(clusters[:7][read[:7]].tolist())) == 3  # of five
    assert torch.equal(Rows.of(torch.arange(7), torch.arange(7, 13), clusters, [seed]).read[0], rows.read[0])


def test_a_group_of_one_cluster_is_read_where_it_was_chosen_for():
    rows = Rows.of(torch.arange(3), torch.arange(3, 9), torch.tensor([0, 0, 0, 1, 2, 3, 4, 5, 6]), [0])
    assert rows.read[0, :3].all() and rows.chosen_for[0, :3].all() and not rows.held_out
    assert int(rows.read[0, 3:].sum()) == 3
