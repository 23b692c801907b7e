"""Heat maps against loops that place every cell by hand, and the bands of intervals."""

import numpy as np
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.analyses.panels import COLOURS, band, heat_map, layers_by_components
from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED
from memunlearn.localization.activations import activation_cells, activation_sites
from memunlearn.localization.labelled import Cell
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import eligible_weights


def cells_of(family, per_head):
    return activation_cells(activation_sites(eligible_weights(tiny.tiny_model(family))), per_head).labels


def placed(heat):
    """{(row label, column label): value} of the panel."""
    return {
        (row, column): value
        for row, values in zip(heat.rows, heat.values, strict=True)
        for column, value in zip(heat.columns, values, strict=True)
    }


def numbers(cells, seed=0):
    return torch.rand(len(cells), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_components_stand_in_the_order_of_kinds_and_layers_from_the_top(family):
    cells = cells_of(family, per_head=False)
    values = numbers(cells)
    shuffled = torch.randperm(len(cells), generator=torch.Generator().manual_seed(1)).tolist()
    heat = layers_by_components("title", [cells[i] for i in shuffled], values[shuffled], "unit")
    assert heat.rows == [str(layer) for layer in range(tiny.LAYERS)] and heat.columns == list(KINDS)
    assert (heat.row_label, heat.column_label, heat.title, heat.unit) == ("layer", "component", "title", "unit")
    assert placed(heat) == {(str(c.layer), c.kind): float(v) for c, v in zip(cells, values, strict=True)}
    assert not heat.diverging and heat.marked == []


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_heads_of_one_kind_are_numbered_and_those_of_several_are_named(family):
    cells = cells_of(family, per_head=True)
    values = numbers(cells)
    for kind in KINDS[:4]:
        mine = [i for i, cell in enumerate(cells) if cell.kind == kind]
        heat = layers_by_components("", [cells[i] for i in mine], values[mine], "")
        heads = (2 if family == "llama" and kind in "kv" else tiny.HEADS) if kind != "out" else tiny.HEADS
        assert heat.column_label == "head" and heat.columns == [str(head) for head in range(heads)]
        assert placed(heat) == {(str(cells[i].layer), str(cells[i].head)): float(values[i]) for i in mine}
    heat = layers_by_components("", cells, values, "")
    assert heat.column_label == "component and head"
    named = [(str(c.layer), c.kind if c.head is None else f"{c.kind} {c.head}") for c in cells]
    assert placed(heat) == dict(zip(named, values.tolist(), strict=True))
    assert heat.columns[-2:] == ["mlp_in", "mlp_out"]


def test_cells_that_are_not_there_are_empty_and_so_is_what_is_not_finite():
    cells = [Cell(1, "q", None), Cell(3, "out", None), Cell(3, "q", None)]
    heat = layers_by_components("", cells, [0.5, np.nan, -1.0], "")
    assert heat.rows == ["1", "3"] and heat.columns == ["q", "out"]
    assert heat.values == [[0.5, None], [-1.0, None]]


def test_dots_stand_where_their_cells_stand():
    cells = [Cell(layer, "v", head) for layer in (2, 5) for head in (0, 1, 3)]
    heat = layers_by_components("", cells, range(6), "", diverging=True, marked=[cells[5], cells[1]])
    assert heat.diverging and heat.marked == [(0, 1), (1, 2)]
    assert [heat.values[row][column] for row, column in heat.marked] == [1, 5] and heat.columns == ["0", "1", "3"]


def test_a_value_too_few_is_a_mistake():
    with pytest.raises(ValueError, match="argument"):
        layers_by_components("", [Cell(0, "q", None), Cell(0, "k", None)], [1.0], "")


def test_a_plain_heat_map_numbers_what_has_no_label():
    heat = heat_map("title", np.array([[1.0, np.inf, 2], [3, 4, np.nan]]), "nats", rows=[7, "b"], marked=[(0, 2)])
    assert heat.rows == ["7", "b"] and heat.columns == ["0", "1", "2"] and heat.marked == [(0, 2)]
    assert heat.values == [[1.0, None, 2.0], [3.0, 4.0, None]] and heat.column_label == "head"
    other = heat_map("", np.zeros((1, 2)), "", row_label="row", column_label="token position", columns=["x", "y"])
    assert (other.row_label, other.column_label, other.rows, other.columns) == ("row", "token position", ["0"], ["x", "y"])


def test_a_band_is_there_where_one_point_has_an_interval():
    assert band([None, None]) is None and band([]) is None
    assert band([None, 0.25], 100) == [None, 25.0]
    assert band([0.0, 3.0], 2, [0.5, 1.0]) == [1.0, 6.0]


def test_memorized_text_has_its_colour_everywhere():
    assert COLOURS == {"memorized": MEMORIZED, "non-memorized": NON_MEMORIZED}
