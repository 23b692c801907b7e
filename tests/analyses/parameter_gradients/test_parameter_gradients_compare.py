"""Pooled gradients that the test makes up: what is compared, where they are said to lie, and the figures of both."""

import numpy as np
import pytest
import torch

from memunlearn.analyses.parameter_gradients.compare import compare
from memunlearn.analyses.parameter_gradients.measure import Group, Measured
from memunlearn.analyses.parameter_gradients.tell import tell
from memunlearn.charts.description import BIN_COLOURS
from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.models.architectures import KINDS
from memunlearn.statistics.estimates import means_with_intervals
from memunlearn.statistics.permutation import max_t

HEADS = 2
MEMORIZED, OTHERS = 13, 12


def cells_of(layers):
    return tuple(
        Cell(layer, kind, head)
        for layer in range(layers)
        for kind in KINDS
        for head in ((None,) if kind.startswith("mlp") else range(HEADS))
    )


def group(label, rows, layers=3, seed=0, by_layer=None, size=1.0, first=0):
    """by_layer: what the gradients of a layer are multiplied by."""
    cells = cells_of(layers)
    generator = torch.Generator().manual_seed(seed)
    factor = torch.tensor([(by_layer or [1] * layers)[cell.layer] for cell in cells], dtype=torch.float64)
    values = {
        name: (
            ("row", "cell"),
            size * factor * (1 + 0.2 * torch.rand(rows, len(cells), generator=generator, dtype=torch.float64)),
        )
        for name in ("top_mean", "total", "mean", "variance")
    }
    sizes = torch.tensor([10.0 if cell.head is None else 4.0 for cell in cells], dtype=torch.float64)
    gradients = Labelled({"row": range(rows), "cell": cells}, values | {"size": (("cell",), sizes)})
    return Group(label, BIN_COLOURS[-1], np.arange(first, first + rows), gradients)


def measured(layers=3, memorized=MEMORIZED, others=OTHERS, **of_memorized):
    first = group("memorized", memorized, layers, 1, **of_memorized)
    second = group("non-memorized", others, layers, 2, first=100)
    bins = [
        Group(label, colour, one.clusters, one.gradients)
        for label, colour, one in (("0-10", BIN_COLOURS[0], second), ("50", BIN_COLOURS[-1], first))
        if one.rows
    ]
    return Measured(bins, first, second, memorized + others, 0)


def told(given, permutations=199):
    return tell(given, compare(given, permutations, 0), 0.1, 0, False)


def test_shares_ends_and_sizes_are_those_of_loops():
    given = measured(layers=4, by_layer=[2, 1, 1, 1])
    compared = compare(given, 99, 5)
    sides = []
    for one in (given.memorized, given.non_memorized):
        top, total = one.gradients["top_mean"].numpy(), one.gradients["total"].numpy()
        of_layer = np.array([[row[[cell.layer == layer for cell in given.cells]].sum() for layer in range(4)] for row in total])
        shares = of_layer / of_layer.sum(1, keepdims=True)
        sides.append((top / top.sum(1, keepdims=True), shares[:, [0, 3]], np.log(total.sum(1))))
    np.testing.assert_allclose(compared.memorized, sides[0][0].mean(0))
    np.testing.assert_allclose(compared.difference, sides[0][0].mean(0) - sides[1][0].mean(0))
    for side, (_, ends, _) in zip(compared.ends, sides, strict=True):
        np.testing.assert_allclose(side, ends.mean(0))
    assert (compared.lower, compared.upper) == ([0], [3])
    assert compared.ratio == pytest.approx(np.exp(sides[0][2].mean() - sides[1][2].mean()))
    clusters = np.r_[given.memorized.clusters, given.non_memorized.clusters]
    test = max_t(np.concatenate([side[0] for side in sides]), np.arange(25) < MEMORIZED, clusters, 99, 5)
    np.testing.assert_allclose(compared.test.p, test.p)


@pytest.mark.parametrize(
    ("by_layer", "place"),
    [
        ([3, 1, 1], "in lower"),
        ([1, 1, 3], "in higher"),
        ([1, 3, 1], "in both lower and higher, or in the middle,"),
    ],
)
def test_where_memorized_gradients_lie_is_said(by_layer, place):
    finding = told(measured(by_layer=by_layer))
    assert finding.sentences[0].startswith(f"Gradients of memorized paragraphs are concentrated {place} layers relative")
    assert "the lower third of the layers (0) holds" in finding.sentences[0]
    assert finding.numbers["lower_third"]["layers"] == [0] and finding.numbers["upper_third"]["layers"] == [2]


def test_thirds_of_many_layers_are_ranges():
    finding = told(measured(layers=6))
    assert "the lower third of the layers (0-1) holds" in finding.sentences[0]
    assert "the upper third of the layers (4-5) holds" in finding.sentences[0]
    assert finding.sentences[0].startswith("No difference is seen in how far down")


def test_one_layer_has_no_ends():
    given = measured(layers=1, size=4.0)
    finding = told(given)
    assert compare(given, 99, 0).ends_test is None and "lower_third" not in finding.numbers
    assert len(finding.sentences) == 2 and "4 times larger" in finding.sentences[1]


def test_cells_with_more_and_with_less_are_counted_named_and_marked():
    finding = told(measured(by_layer=[1, 1, 4]))
    more, less = finding.numbers["significant_more"], finding.numbers["significant_less"]
    assert (more, less) == (10, 20) and "30 of 30 cells differ" in finding.sentences[1]
    assert "; the largest excess is layer 2 " in finding.sentences[1]
    panels = finding.charts[-1].panels
    assert [panel.title for panel in panels] == ["q, by head", "k, by head", "v, by head", "out, by head", "MLP"]
    assert (
        sum(len(panel.marked) for panel in panels) == 30 and "(10 cells with more, 20 with less)" in finding.charts[-1].caption
    )
    table = finding.tables["parameter_gradients_difference"]
    differences = {(c.layer, c.kind, c.head): d for c, d in zip(cells_of(3), table["difference"], strict=True)}
    assert panels[4].columns == ["mlp_in", "mlp_out"] and panels[4].column_label == "component"
    assert panels[2].values[2][1] == pytest.approx(100 * differences[2, "v", 1])
    assert panels[4].values[0][1] == pytest.approx(100 * differences[0, "mlp_out", None])


def test_few_clusters_leave_the_numbers_without_tests():
    given = measured(memorized=9)
    finding = told(given)
    table = finding.tables["parameter_gradients_difference"]
    assert set(table["t"]) == set(table["p_corrected"]) == {None} and None not in table["difference"]
    assert finding.numbers["smallest_p"] is None and finding.numbers["gradient_ratio"] == pytest.approx(1, abs=0.1)
    assert "no test with so few clusters" in finding.charts[-1].caption
    assert "No interval for EM 50: fewer than 10 clusters." in finding.notes


def test_an_empty_group_is_not_compared():
    given = measured(others=0)
    assert compare(given, 99, 0) is None
    finding = told(given)
    assert len(finding.sentences) == 1 and "Gradients of 13 paragraphs in 1 EM bin were read; " in finding.sentences[0]
    assert "There is no non-memorized paragraph: nothing is compared." in finding.notes and len(finding.charts) == 3


def test_layers_have_intervals_over_clusters_in_the_table_and_as_bands():
    given = measured()
    finding = told(given)
    table = finding.tables["parameter_gradients_layers"]
    at = [place for place, label in enumerate(table["bin"]) if label == "50"]
    totals = given.memorized.gradients["total"].numpy()
    of_layer = np.stack([totals[:, [c.layer == layer for c in given.cells]].sum(1) for layer in range(3)], 1)
    expected = means_with_intervals(of_layer, given.memorized.clusters, 0, limits=(0.0, np.inf))
    np.testing.assert_allclose([table["sum"][place] for place in at], expected.value)
    np.testing.assert_allclose([table["sum_low"][place] for place in at], expected.low)
    np.testing.assert_allclose([table["sum_over_paragraphs"][place] for place in at], of_layer.sum(0))
    assert {table["paragraphs"][place] for place in at} == {MEMORIZED} == {table["clusters"][place] for place in at}
    panel = next(chart for chart in finding.charts if chart.name == "parameter_gradients_layers").panels[0]
    line = next(series for series in panel.series if series.label == "EM 50")
    np.testing.assert_allclose(line.low, np.maximum(expected.low, expected.value / 3))
    np.testing.assert_allclose(line.high, expected.high)
    assert panel.log_y and line.colour == BIN_COLOURS[-1]


def test_heat_maps_of_bins_are_means_over_heads():
    given = measured()
    chart = told(given).charts[0]
    means = given.memorized.gradients["top_mean"].mean(0).numpy()
    panel = next(panel for panel in chart.panels if panel.title == "EM 50 (n = 13)")
    for row, layer in enumerate(panel.rows):
        for column, kind in enumerate(panel.columns):
            mine = [i for i, cell in enumerate(given.cells) if (str(cell.layer), cell.kind) == (layer, kind)]
            assert panel.values[row][column] == pytest.approx(means[mine].mean())
    assert f"{given.cells[int(means.argmax())]} for EM 50" in chart.caption
