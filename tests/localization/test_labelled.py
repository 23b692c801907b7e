"""Numbers with named axes: what they refuse, what is left after a choice of rows, and the tables that are made of them."""

import itertools

import numpy as np
import pytest
import torch

from memunlearn.localization.labelled import Cell, Labelled, columns_of, stacked, table_of

CELLS = (Cell(0, "q", 0), Cell(0, "q", 1), Cell(1, "mlp_in", None))


def measured(rows=4):
    generator = torch.Generator().manual_seed(3)
    return Labelled(
        {"row": [f"row {i}" for i in range(rows)], "cell": CELLS, "position": range(2)},
        {
            "share": (("row", "cell"), torch.rand(rows, 3, generator=generator)),
            "by_position": (("cell", "position"), torch.rand(3, 2, generator=generator)),
            "across": (("position", "row"), torch.rand(2, rows, generator=generator)),
        },
    )


def test_a_cell_in_words_and_its_component():
    assert [str(cell) for cell in CELLS] == ["layer 0 q head 0", "layer 0 q head 1", "layer 1 mlp_in"]
    assert CELLS[1].component == Cell(0, "q", None) and CELLS[2].component == CELLS[2]
    assert len({CELLS[0].component, CELLS[1].component}) == 1


def test_numbers_are_had_by_name_and_their_axes_by_dim():
    found = measured()
    assert found["share"].shape == (4, 3) and found.cells == CELLS and found.rows == 4
    with pytest.raises(KeyError, match="shares"):
        found["shares"]


@pytest.mark.parametrize(
    ("dims", "shape"), [(("row", "cell"), (3, 4)), (("row",), (3,)), (("row", "cell"), (4,)), (("cell",), (3, 1))]
)
def test_numbers_that_do_not_fit_their_labels_are_refused(dims, shape):
    labels = {"row": range(4), "cell": CELLS}
    with pytest.raises(ValueError, match=rf"share must be .* over .*, not \({', '.join(map(str, shape))}"):
        Labelled(labels, {"share": (dims, torch.zeros(shape))})


@pytest.mark.parametrize("rows", [torch.tensor([2, 0]), torch.tensor([True, False, True, False]), torch.tensor([]).long()])
def test_rows_are_chosen_along_their_own_axis_wherever_it_stands(rows):
    found = measured()
    some = found.select(rows)
    places = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
    assert list(some.labels["row"]) == [f"row {place}" for place in places.tolist()] and some.rows == len(places)
    assert torch.equal(some["share"], found["share"][places])
    assert torch.equal(some["across"], found["across"][:, places])
    assert torch.equal(some["by_position"], found["by_position"]) and some.cells == CELLS


def test_a_table_has_a_row_for_every_combination_of_labels():
    values = np.random.default_rng(0).random((2, 3, 4))
    sizes = np.arange(24).reshape(2, 3, 4)
    labels = {"direction": ("there", "back"), "cell": CELLS, "position": range(5, 9)}
    table = table_of(labels, {"share": values, "size": sizes}, set="memorized")
    assert list(table) == ["set", "direction", "layer", "component", "head", "position", "share", "size"]
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    naive = []
    for (i, direction), (j, cell), (k, position) in itertools.product(*(enumerate(along) for along in labels.values())):
        naive.append(
            {
                "set": "memorized",
                "direction": direction,
                "layer": cell.layer,
                "component": cell.kind,
                "head": cell.head,
                "position": position,
                "share": float(values[i, j, k]),
                "size": int(sizes[i, j, k]),
            }
        )
    assert rows == naive
    assert {type(value) for value in table["size"]} == {int} and {type(value) for value in table["share"]} == {float}


def test_what_is_not_finite_is_none_and_one_number_serves_for_all():
    values = {"share": torch.tensor([1.0, torch.nan, torch.inf]), "rows": np.array(7), "t": np.array(np.nan)}
    table = table_of({"cell": CELLS}, values)
    assert table["share"] == [1.0, None, None] and table["rows"] == [7, 7, 7] and table["t"] == [None] * 3


def test_lists_may_hold_none_and_whole_numbers_in_them_are_floats():
    table = table_of({"cell": CELLS}, {"low": [None, 0.5, 1]})
    assert table["low"] == [None, 0.5, 1.0] and isinstance(table["low"][2], float)


def test_truth_values_stay_truth_values():
    assert table_of({"layer": range(2)}, {"kept": torch.tensor([True, False])})["kept"] == [True, False]


def test_no_labels_make_an_empty_table_with_all_columns():
    table = table_of({"cell": (), "position": range(3)}, {"share": np.empty((0, 3))}, set="memorized")
    assert set(table) == {"set", "layer", "component", "head", "position", "share"} and not any(table.values())


def test_tables_are_put_under_each_other():
    tables = [{"set": [name] * 2, "share": [start, start + 1]} for name, start in (("a", 0), ("b", 5))]
    assert stacked(tables) == {"set": ["a", "a", "b", "b"], "share": [0, 1, 5, 6]}
    assert stacked([{"set": [], "share": []}, tables[1]]) == tables[1]
    with pytest.raises(KeyError):
        stacked([tables[0], {"set": ["c"]}])


def test_rows_become_columns_in_their_order():
    assert columns_of([{"b": 1, "a": None}, {"b": 2, "a": "x"}]) == {"b": [1, 2], "a": [None, "x"]}
