"""Effects that the test makes up: their means, the strongest of them, and which of four sentences they bear out."""

import numpy as np
import pytest
import torch

from memunlearn.analyses.activation_patching.compare import compare
from memunlearn.analyses.activation_patching.measure import Measured
from memunlearn.analyses.activation_patching.tell import tell
from memunlearn.localization.activation_patching import DIRECTIONS, POSITIONS
from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.localization.twins import Twins
from memunlearn.models.architectures import KINDS
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.statistics.estimates import means_with_intervals

P, C = 3, 2
CELLS = tuple(Cell(layer, kind, None) for layer in range(2) for kind in KINDS)


def measured(effects, kept=None, memorized=None):
    """effects: [rows, directions, positions, cells]."""
    rows = len(effects)
    kept = torch.ones(rows, dtype=torch.bool) if kept is None else kept
    memorized = rows if memorized is None else memorized
    ids = torch.arange(memorized * (P + C)).reshape(memorized, P + C)
    paragraphs = ParagraphSet(ids, P, tuple(f"row {row}" for row in range(memorized)))
    some = paragraphs.select(torch.arange(rows))
    twins = Twins(some, some, torch.arange(rows), torch.arange(rows) % P, torch.arange(rows) % C)
    labels = {"row": range(rows), "direction": DIRECTIONS, "position": POSITIONS, "cell": CELLS}
    values = {
        "effect": (("row", "direction", "position", "cell"), torch.where(kept[:, None, None, None], effects, torch.nan)),
        "clean": (("row",), torch.arange(rows).double()),
        "corrupted": (("row",), torch.arange(rows).double() + 2),
        "kept": (("row",), kept),
    }
    return Measured(paragraphs, np.arange(memorized), twins, Labelled(labels, values))


def random_effects(rows=14, seed=0, spread=0.05):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(rows, 2, 2, len(CELLS), generator=generator, dtype=torch.float64)


def at(finding, position="intervention"):
    return finding.sentences[POSITIONS.index(position)]


def told(effects, **given):
    found = measured(effects, **given)
    return tell(found, compare(found, seed=0), False, 0.5)


def test_means_are_over_kept_rows_with_intervals_over_their_clusters():
    kept = torch.arange(14) != 5
    given = measured(random_effects(), kept)
    compared = compare(given, seed=3)
    expected = means_with_intervals(random_effects()[kept].numpy(), np.arange(14)[kept.numpy()], 3)
    np.testing.assert_allclose(compared.means.value, expected.value)
    table = compared.table
    assert list(table) == ["position", "direction", "layer", "component", "head", "effect", "low", "high", "rows"]
    assert set(table["rows"]) == {13} and compared.counts == {"memorized": 14, "with_twin": 14, "rows": 13, "clusters": 13}
    for place, (position, direction, layer, kind, low) in enumerate(
        zip(*(table[name] for name in ("position", "direction", "layer", "component", "low")), strict=True)
    ):
        where = DIRECTIONS.index(direction), POSITIONS.index(position), CELLS.index(Cell(layer, kind, None))
        assert table["effect"][place] == pytest.approx(expected.value[where]) and low == pytest.approx(expected.low[where])


def test_the_first_of_those_that_differ_by_rounding_is_the_strongest():
    effects = random_effects()
    effects[..., 3] = 0.4
    effects[..., 9] = 0.4 + 1e-6
    strongest = compare(measured(effects), seed=0).strongest
    for position in POSITIONS:
        for direction in DIRECTIONS:
            best = strongest[position][direction]
            assert (best["layer"], best["component"]) == (0, "out") and best["effect"] == pytest.approx(0.4)
            assert (best["position"], best["direction"]) == (position, direction)


def test_effects_outside_0_to_1_are_counted_but_not_those_of_rounding():
    effects = torch.full((4, 2, 2, len(CELLS)), 0.5, dtype=torch.float64)
    effects[0] = -5e-4
    effects[1] = 1 + 5e-4
    effects[2] = -0.2
    assert compare(measured(effects), seed=0).outside == 0.25


def carrying(into_original, into_twin, same=True):
    """Effects in which cell 2, and the other way cell 2 or 7, has this mean; all others none."""
    effects = random_effects(spread=0.02)
    effects[:, 0, :, 2] += into_original
    effects[:, 1, :, 2 if same else 7] += into_twin
    return effects


def test_a_cell_that_does_most_both_ways_is_the_same_cell():
    sentence = at(told(carrying(0.8, 0.6)))
    assert "At the intervention token the twin's layer 0 v patched into the original does most, 79 % of the damage" in sentence
    assert "the original's same cell patched into the twin undoes 6" in sentence and "of it (95 % interval" in sentence


def test_another_cell_the_other_way_is_named():
    sentence = at(told(carrying(0.8, 0.6, same=False)), "impact")
    assert sentence.startswith("At the impact token's prediction the twin's layer 0 v")
    assert "the original's layer 1 k patched into the twin undoes most, 6" in sentence


def noise(effects, direction, seed=5):
    """So much scatter in one direction that no cell is sure there."""
    generator = torch.Generator().manual_seed(seed)
    effects = effects.clone()
    shape = effects[:, direction].shape
    effects[:, direction] = 3 * torch.randn(shape, generator=generator, dtype=torch.float64) - 1
    return effects


def test_what_is_not_sure_is_not_said_to_be_carried():
    sentence = at(told(noise(carrying(0.8, 0.6), 1)))
    assert sentence.endswith("no single cell of the original patched into the twin is sure to undo any of it.")
    sentence = at(told(noise(carrying(0.8, 0.6), 0)))
    assert "no single cell's activations carry the effect of the perturbation: the largest mean, layer" in sentence
    assert "patched into the twin undoes" in sentence
    sentence = at(told(noise(noise(carrying(0.8, 0.6), 0), 1, seed=6)))
    assert "no single cell's activations carry" in sentence and "undoes" not in sentence


def test_too_few_clusters_have_no_interval():
    finding = told(carrying(0.8, 0.6)[:9])
    assert "there is no interval, so chance is not ruled out" in at(finding) and "of the damage" in at(finding)
    assert "There are no intervals" in finding.notes[-1]


def test_rows_without_a_twin_are_empty_in_the_table_and_counted():
    finding = told(random_effects(11), kept=torch.arange(11) > 1, memorized=13)
    table = finding.tables["activation_patching_rows"]
    assert table["origin"] == [f"row {row}" for row in range(13)] and table["cluster"] == list(range(13))
    for name in ("intervention", "token", "impact", "clean_nll", "corrupted_nll", "kept"):
        assert table[name][11:] == [None, None] and None not in table[name][:11]
    assert table["token"][4] == 4 * (P + C) + 4 % P and table["impact"][:3] == [0, 1, 0]
    assert table["kept"][:3] == [False, False, True]
    assert "2 of 13 memorized paragraphs have no twin" in finding.notes[4]
    assert "2 of 11 twins are left out" in finding.notes[5] and "less than 0.5 nats" in finding.notes[5]
    assert finding.numbers["clean_nll"] == pytest.approx(6) and finding.numbers["corrupted_nll"] == pytest.approx(8)


def test_the_panels_are_the_means_of_their_position_and_direction():
    effects = random_effects()
    [chart] = told(effects).charts
    means = effects.mean(0).numpy()
    for panel, (j, i) in zip(chart.panels, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        assert panel.title == f"{DIRECTIONS[i]}, {POSITIONS[j]} token"
        np.testing.assert_allclose(np.array(panel.values).flatten(), means[i, j])
    assert "over 14 memorized paragraphs in 14 clusters" in chart.caption
