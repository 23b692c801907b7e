"""Shares of two groups compared, with numbers that the test makes up: what is tested, named, averaged and drawn."""

import numpy as np
import pytest
import torch

from memunlearn.analyses.activation_gradients.charts import distance_in_words, lower_half, percent, shares_in_words
from memunlearn.analyses.activation_gradients.compare import compare, component_means, with_interval
from memunlearn.analyses.activation_gradients.measure import Group, Measured
from memunlearn.analyses.activation_gradients.tell import tell
from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.models.architectures import KINDS
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.permutation import max_t

LAYERS, HEADS, POSITIONS, PREFIX = 3, 2, 5, 3
CELLS = tuple(
    Cell(layer, kind, head)
    for layer in range(LAYERS)
    for kind in KINDS
    for head in ((None,) if kind.startswith("mlp") else range(HEADS))
)


def gradients_of(rows, seed, more=()):
    """Random shares; in the cells of `more` three times as much."""
    generator = torch.Generator().manual_seed(seed)
    factor = torch.tensor([3.0 if cell in more else 1.0 for cell in CELLS], dtype=torch.float64)
    pooled = (0.5 + torch.rand(rows, len(CELLS), POSITIONS, generator=generator, dtype=torch.float64)) * factor[:, None]
    heads = torch.tensor([1.0 if cell.head is None else HEADS for cell in CELLS], dtype=torch.float64)
    whole = pooled / heads[:, None]
    shares = whole / whole.sum((1, 2), keepdim=True)
    return Labelled(
        {"row": range(rows), "cell": CELLS, "position": range(POSITIONS)},
        {
            "magnitude": (("row", "cell"), pooled.mean(2)),
            "share": (("row", "cell"), shares.sum(2)),
            "position_share": (("row", "position"), shares.sum(1)),
            "by_position": (("cell", "position"), pooled.mean(0)),
            "share_by_position": (("cell", "position"), shares.mean(0)),
        },
    )


def measured(memorized=14, others=15, more=(), twins=None):
    sizes = {"memorized": memorized, "non-memorized": others}
    groups = {
        label: Group(gradients_of(rows, place, more if not place else ()), np.arange(rows) + 100 * place)
        for place, (label, rows) in enumerate(sizes.items())
        if rows
    }
    clusters = np.empty(0, dtype=int) if twins is None else np.arange(len(twins["distance"]))
    return Measured(groups, twins, clusters, PREFIX)


def twins(distance):
    components = tuple(dict.fromkeys(cell.component for cell in CELLS))
    values = torch.tensor(distance, dtype=torch.float64)
    return Labelled({"row": range(len(values)), "cell": components}, {"distance": (("row", "cell"), values)})


def test_components_are_means_of_magnitudes_and_sums_of_shares():
    group = measured().groups["memorized"]
    components, magnitude, share = component_means(group)
    assert len(components) == LAYERS * len(KINDS) and magnitude.shape == share.shape == (14, len(components))
    for place, component in enumerate(components):
        mine = [i for i, cell in enumerate(CELLS) if cell.component == component]
        torch.testing.assert_close(magnitude[:, place], group.gradients["magnitude"][:, mine].mean(1))
        torch.testing.assert_close(share[:, place], group.gradients["share"][:, mine].sum(1))


@pytest.mark.parametrize("family", ["heads", "components"])
def test_each_family_is_tested_by_itself_over_clusters(family):
    given = measured()
    found = compare(given, 99, seed=4).families[family]
    values = np.concatenate(
        [
            (group.gradients["share"] if family == "heads" else component_means(group)[2]).numpy()
            for group in given.groups.values()
        ]
    )
    clusters = np.concatenate([group.clusters for group in given.groups.values()])
    expected = max_t(values, np.arange(29) < 14, clusters, 99, 4)
    np.testing.assert_allclose(found.test.p, expected.p)
    np.testing.assert_allclose(found.test.difference, expected.difference)
    np.testing.assert_allclose(found.means["memorized"] - found.means["non-memorized"], expected.difference)


def test_a_cell_with_more_of_the_gradient_is_named_and_counted():
    most = Cell(2, "v", 1)
    compared = compare(measured(more=(most, Cell(0, "mlp_in", None))), 199, seed=0)
    best = compared.numbers["tests"]["heads"]
    assert (best["layer"], best["component"], best["head"]) in {(2, "v", 1), (0, "mlp_in", None)}
    assert best["exceeding"] == 2 and best["cells"] == len(CELLS) and best["below"] > 0 and best["p"] < 0.05
    finding = tell(measured(more=(most, Cell(0, "mlp_in", None))), compared, 0)
    assert f"in 2 of {len(CELLS)} cells" in finding.sentences[0] and f"and less in {best['below']}." in finding.sentences[0]
    heads = next(chart for chart in finding.charts if chart.name == "activation_gradients_heads")
    value_panel = next(panel for panel in heads.panels if panel.title == "v")
    assert (2, 1) in value_panel.marked and heads.caption.count("beyond chance") == 1


def test_halves_of_layers_and_prefixes_are_sums_with_intervals():
    given = measured()
    numbers = compare(given, 20, seed=7).numbers
    assert numbers["layers_in_lower_half"] == 1 and lower_half(numbers) == "in layer 0"
    assert lower_half({"layers_in_lower_half": 6}) == "in the lower half of the layers (0 to 5)"
    for label, group in given.groups.items():
        for key, values in (
            ("prefix_share", group.gradients["position_share"][:, :PREFIX].sum(1)),
            ("lower_half_share", group.gradients["share"][:, [cell.layer == 0 for cell in CELLS]].sum(1)),
        ):
            mean, (low, high) = mean_with_interval(values.numpy(), group.clusters, 7, limits=(0, np.inf))
            found = numbers["groups"][label][key]
            assert (found["mean"], found["low"], found["high"]) == pytest.approx((mean, low, high))
            assert f"{percent(mean)} (95 % interval {percent(low)} to {percent(high)}) of {label}" in shares_in_words(
                numbers, key, "of {}"
            )


def test_percent_has_more_digits_where_there_is_little():
    assert [percent(value) for value in (0.01234, 0.1, 0.5)] == ["1.23 %", "10.0 %", "50.0 %"]


def test_no_rows_have_no_mean():
    assert with_interval(np.empty(0), np.empty(0), 0) == {"mean": None, "low": None, "high": None}
    assert with_interval(np.array([0.25, 0.75]), np.array([0, 1]), 0) == {"mean": 0.5, "low": None, "high": None}


def test_distances_are_means_over_the_rows_that_have_one():
    distance = torch.rand(12, LAYERS * len(KINDS), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    distance[:, 4] += 1
    distance[:3, 4] = torch.nan
    distance[:, 7] = torch.nan
    given = measured(twins=twins(distance.tolist()))
    compared = compare(given, 20, seed=0)
    table = compared.distances
    for place in range(distance.shape[1]):
        there = distance[:, place][distance[:, place].isfinite()]
        assert table["rows"][place] == len(there)
        assert table["distance"][place] == (pytest.approx(float(there.mean())) if len(there) else None)
    best = compared.numbers["largest_distance"]
    assert (best["layer"], best["component"], best["rows"]) == (0, "mlp_in", 9) and best["low"] is None  # nine clusters
    said = distance_in_words(compared.numbers)
    assert f"differ most in layer 0 mlp_in: mean cosine distance {best['distance']:.2f}, over 9 pairs." in said
    heat = next(chart for chart in tell(given, compared, 0).charts if chart.name.endswith("twins")).panels[0]
    assert heat.values[1][1] is None and heat.values[0][4] == best["distance"]
    assert compared.numbers["memorized_with_twin"] == 12


def test_without_twins_or_a_group_what_is_left_is_told():
    given = measured(others=0)
    compared = compare(given, 20, seed=0)
    assert not compared.is_tested and compared.numbers["largest_distance"] is None and compared.distances["rows"] == []
    finding = tell(given, compared, 0)
    assert len(finding.sentences) == 3 and finding.tables["activation_gradients_twins"]["distance"] == []
    assert "There are no non-memorized paragraphs: nothing is compared." in finding.notes
    assert "14 of 14 memorized paragraphs have no perturbed twin" in finding.notes[-1]


def test_the_peak_of_layers_by_positions_is_named():
    given = measured(others=0)
    finding = tell(given, compare(given, 20, seed=0), 0)
    chart = next(chart for chart in finding.charts if chart.name == "activation_gradients_layers_positions")
    naive = np.zeros((LAYERS, POSITIONS))
    for cell, values in zip(CELLS, given.groups["memorized"].gradients["share_by_position"].numpy(), strict=True):
        naive[cell.layer] += 100 * values
    np.testing.assert_allclose(np.array(chart.panels[0].values), naive)
    layer, position = np.unravel_index(naive.argmax(), naive.shape)
    assert f"largest at layer {layer}, position {position} for memorized text; the prefix ends at {PREFIX - 1}" in chart.caption
