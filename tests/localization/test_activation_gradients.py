"""Activation gradients against autograd on a delta that the test adds, one paragraph at a time."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.localization.activation_gradients import (
    activation_gradients,
    component_cells,
    gradient_distances,
    heads_of_components,
    of_components,
)
from memunlearn.localization.labelled import Cell
from memunlearn.localization.twins import Twins
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import eligible_weights
from memunlearn.models.sparse_delta import owner_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet

P, C = 4, 5
T = P + C - 1


def rows_of(seed, rows):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


ROWS, OTHERS = rows_of(1, 5), rows_of(2, 5)


def naive_gradient(model, weight, ids):
    """d NLL / d (something added to the activations at this weight), for one paragraph [I]: [T, features]."""
    module, _ = owner_of(model, weight.name)
    kind = weight.kind_names[0]
    width = weight.shape[1 - weight.axis] if kind == "mlp_out" else weight.shape[weight.axis]
    delta = torch.zeros(T, width, requires_grad=True)
    if kind == "out":
        handle = module.register_forward_pre_hook(lambda m, inputs: (inputs[0] + delta,))
    else:
        handle = module.register_forward_hook(lambda m, inputs, output: output + delta)
    logits = model(input_ids=ids[None, :-1]).logits[0]
    handle.remove()
    nll = -logits[P - 1 :].log_softmax(-1)[torch.arange(C), ids[P:]].mean()
    return torch.autograd.grad(nll, delta)[0]


def naive_cells(model, ids):
    """{(layer, kind, head): [T, features]}; a gated MLP's two projections side by side."""
    cells = {}
    for weight in eligible_weights(model):
        gradient = naive_gradient(model, weight, ids)
        for head in weight.heads.unique().tolist():
            for kind in weight.kind_names:
                chosen = torch.ones(gradient.shape[1], dtype=torch.bool)
                if head >= 0:
                    chosen = (weight.heads == head) & (weight.kinds == KINDS.index(kind))
                if chosen.any():
                    cells.setdefault(Cell(weight.layer, kind, None if head < 0 else head), []).append(gradient[:, chosen])
    return {cell: torch.cat(parts, 1).double() for cell, parts in cells.items()}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_magnitudes_and_shares_are_those_of_autograd_one_row_at_a_time(family):
    model = tiny.tiny_model(family)
    found = activation_gradients(model, eligible_weights(model), ROWS, batch_size=3)
    by_position, share_by_position = [], []
    for row, ids in enumerate(ROWS.ids):
        naive = naive_cells(model, ids)
        assert set(found.cells) == set(naive) and len(found.cells) == len(naive)
        magnitude = torch.stack([naive[cell].abs().mean(1) for cell in found.cells])  # [cells, T]
        torch.testing.assert_close(found["magnitude"][row], magnitude.mean(1), rtol=1e-4, atol=1e-9)
        heads = {(c.layer, c.kind): sum((o.layer, o.kind) == (c.layer, c.kind) for o in found.cells) for c in found.cells}
        whole = torch.stack([magnitude[i] / heads[cell.layer, cell.kind] for i, cell in enumerate(found.cells)])
        components = [torch.cat([naive[c] for c in found.cells if (c.layer, c.kind) == key], 1).abs().mean() for key in heads]
        assert float(whole.mean(1).sum()) == pytest.approx(float(sum(components)), rel=1e-5)
        shares = whole / whole.sum()
        torch.testing.assert_close(found["share"][row], shares.sum(1), rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(found["position_share"][row], shares.sum(0), rtol=1e-4, atol=1e-9)
        by_position.append(magnitude)
        share_by_position.append(shares)
    torch.testing.assert_close(found["by_position"], torch.stack(by_position).mean(0), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(found["share_by_position"], torch.stack(share_by_position).mean(0), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_batch_gives_what_single_rows_give(attention):
    model = tiny.tiny_model("llama")
    model.set_attn_implementation(attention)
    alone, together = (activation_gradients(model, eligible_weights(model), ROWS, batch_size=b) for b in (1, 5))
    for name in ("magnitude", "share", "position_share", "by_position", "share_by_position"):
        torch.testing.assert_close(alone[name], together[name], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_cosine_distances_are_those_of_the_flattened_gradients(family):
    model = tiny.tiny_model(family)
    twins = Twins(ROWS, OTHERS, torch.arange(5), torch.zeros(5).long(), torch.zeros(5).long())
    found = gradient_distances(model, eligible_weights(model), twins, batch_size=2)
    assert found.cells == tuple(Cell(layer, kind, None) for layer in range(tiny.LAYERS) for kind in KINDS)
    for row in range(5):
        ours, theirs = (naive_cells(model, side.ids[row]) for side in (ROWS, OTHERS))
        for i, cell in enumerate(found.cells):
            a, b = (
                torch.cat([g.flatten() for c, g in side.items() if (c.layer, c.kind) == (cell.layer, cell.kind)])
                for side in (ours, theirs)
            )
            expected = 1 - torch.cosine_similarity(a, b, 0)
            assert float(found["distance"][row, i]) == pytest.approx(float(expected), abs=1e-5)


def test_distances_to_itself_are_zero_and_none_without_twins():
    model = tiny.tiny_model("gpt2")
    same = Twins(ROWS, ROWS, torch.arange(5), torch.zeros(5).long(), torch.zeros(5).long())
    assert float(gradient_distances(model, eligible_weights(model), same)["distance"].abs().max()) < 1e-6
    none = torch.empty(0).long()
    nothing = Twins(ROWS.select(none), ROWS.select(none), none, none, none)
    assert gradient_distances(model, eligible_weights(model), nothing)["distance"].shape == (0, 12)


def test_the_model_is_left_as_it_was_and_no_gradient_mode_does_not_matter():
    model = tiny.tiny_model("gpt_neo")
    flags = [i % 3 > 0 for i, _ in enumerate(model.parameters())]
    for parameter, flag in zip(model.parameters(), flags, strict=True):
        parameter.requires_grad_(flag)
    before = activation_gradients(model, eligible_weights(model), ROWS)
    with torch.no_grad():
        again = activation_gradients(model, eligible_weights(model), ROWS)
    assert torch.equal(before["magnitude"], again["magnitude"])
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_components_of_heads():
    cells = (Cell(0, "q", 0), Cell(0, "q", 1), Cell(0, "mlp_in", None), Cell(1, "q", 0))
    whole, of = component_cells(cells)
    assert whole == (Cell(0, "q", None), Cell(0, "mlp_in", None), Cell(1, "q", None))
    assert of.tolist() == [0, 0, 1, 2]
    assert heads_of_components(cells).tolist() == [2, 2, 1, 1]
    assert of_components(cells, torch.tensor([[1.0, 2, 3, 4]])).tolist() == [[3, 3, 4]]


def test_no_paragraphs_are_refused():
    model = tiny.tiny_model("gpt2")
    with pytest.raises(ValueError, match="no paragraphs"):
        activation_gradients(model, eligible_weights(model), ROWS.select(torch.empty(0).long()))
