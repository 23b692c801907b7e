"""Pooled gradients against autograd on named weights, cut by hand for each architecture."""

import copy

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from torch.nn import functional

from memunlearn.localization.labelled import Cell
from memunlearn.localization.parameter_gradients import layer_spread, layer_total, layer_variance, parameter_gradients, shares
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet

P, C, ROWS = 4, 8, 3
H, S, D, MLP = tiny.HEADS, tiny.HEAD_SIZE, tiny.D, tiny.MLP


@pytest.fixture(params=tiny.FAMILIES)
def family(request):
    return request.param


def rows_of(seed=1, rows=ROWS):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


def pooled(model, paragraphs, **options):
    return parameter_gradients(model, eligible_weights(model), paragraphs, **options)


def row_gradients(model, ids):
    """Gradients of one paragraph's NLL, by name, from a plain forward of the whole sequence."""
    model = copy.deepcopy(model).requires_grad_(True)
    logits = model(input_ids=ids[None]).logits[0]
    loss = sum(-functional.log_softmax(logits[i], -1)[ids[i + 1]] for i in range(P - 1, P + C - 1)) / C
    loss.backward()
    return {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def by_hand(family, g, layer):
    """{(kind, head): the gradients of that cell}, from what is known about each architecture's layout."""
    cut = {}
    if family == "gpt_neo":
        h = f"transformer.h.{layer}."
        for head in range(H):
            part = slice(head * S, (head + 1) * S)
            for kind in "qkv":
                cut[kind, head] = g[f"{h}attn.attention.{kind}_proj.weight"][part]
            cut["out", head] = g[f"{h}attn.attention.out_proj.weight"][:, part]
        cut["mlp_in", None], cut["mlp_out", None] = g[f"{h}mlp.c_fc.weight"], g[f"{h}mlp.c_proj.weight"]
    elif family == "gpt2":
        h = f"transformer.h.{layer}."
        for head in range(H):
            for i, kind in enumerate("qkv"):
                cut[kind, head] = g[f"{h}attn.c_attn.weight"][:, i * D + head * S : i * D + (head + 1) * S]
            cut["out", head] = g[f"{h}attn.c_proj.weight"][head * S : (head + 1) * S]
        cut["mlp_in", None], cut["mlp_out", None] = g[f"{h}mlp.c_fc.weight"], g[f"{h}mlp.c_proj.weight"]
    elif family == "gpt_neox":
        h = f"gpt_neox.layers.{layer}."
        for head in range(H):
            for i, kind in enumerate("qkv"):
                start = (3 * head + i) * S
                cut[kind, head] = g[f"{h}attention.query_key_value.weight"][start : start + S]
            cut["out", head] = g[f"{h}attention.dense.weight"][:, head * S : (head + 1) * S]
        cut["mlp_in", None], cut["mlp_out", None] = g[f"{h}mlp.dense_h_to_4h.weight"], g[f"{h}mlp.dense_4h_to_h.weight"]
    else:
        h = f"model.layers.{layer}."
        for kind, heads in (("q", H), ("k", 2), ("v", 2)):
            for head in range(heads):
                cut[kind, head] = g[f"{h}self_attn.{kind}_proj.weight"][head * S : (head + 1) * S]
        for head in range(H):
            cut["out", head] = g[f"{h}self_attn.o_proj.weight"][:, head * S : (head + 1) * S]
        cut["mlp_in", None] = np.concatenate([g[f"{h}mlp.{one}_proj.weight"] for one in ("gate", "up")])
        cut["mlp_out", None] = g[f"{h}mlp.down_proj.weight"]
    return cut


def test_every_cell_agrees_with_autograd_on_the_named_weight(family):
    model, paragraphs = tiny.tiny_model(family), rows_of()
    result = pooled(model, paragraphs, top_share=0.13)
    column = {(cell.layer, cell.kind, cell.head): i for i, cell in enumerate(result.cells)}
    seen = set()
    for row in range(ROWS):
        gradients = row_gradients(model, paragraphs.ids[row])
        for layer in range(tiny.LAYERS):
            for (kind, head), cell in by_hand(family, gradients, layer).items():
                i = column[layer, kind, head]
                magnitudes = np.sort(np.abs(cell.ravel()))
                top = magnitudes[len(magnitudes) - round(0.13 * len(magnitudes)) :].mean()
                expected = top, magnitudes.sum(), cell.mean(), cell.var()
                found = [
                    float(table[row, i]) for table in (result["top_mean"], result["total"], result["mean"], result["variance"])
                ]
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)
                assert result["size"][i] == cell.size
                seen.add(i)
    assert seen == set(range(len(result.cells)))
    assert result["size"].sum() == sum(weight.size for weight in eligible_weights(model))


def test_a_row_is_what_it_is_alone_and_not_a_part_of_a_mean(family):
    model, paragraphs = tiny.tiny_model(family), rows_of()
    together = pooled(model, paragraphs)
    for row in range(ROWS):
        alone = pooled(model, paragraphs.select([row]))
        for name in ("top_mean", "total", "mean", "variance"):
            torch.testing.assert_close(together[name][row : row + 1], alone[name])
    assert (together["total"][0] != together["total"][1]).all()


def test_layers_are_pooled_over_their_weights(family):
    model, paragraphs = tiny.tiny_model(family), rows_of(rows=1)
    result = pooled(model, paragraphs)
    gradients = row_gradients(model, paragraphs.ids[0])
    for layer in range(tiny.LAYERS):
        whole = np.concatenate([cell.ravel() for cell in by_hand(family, gradients, layer).values()])
        assert float(layer_total(result)[0, layer]) == pytest.approx(np.abs(whole).sum(), rel=1e-4)
        assert float(layer_variance(result)[0, layer]) == pytest.approx(whole.var(), rel=1e-4)
        of_layer = [i for i, cell in enumerate(result.cells) if cell.layer == layer]
        assert float(layer_spread(result)[0, layer]) == pytest.approx(result["top_mean"][0, of_layer].numpy().var(), rel=1e-6)


def test_cells_lie_by_layer_kind_and_head():
    result = pooled(tiny.tiny_model("gpt2"), rows_of(rows=1))
    cells = result.cells
    assert cells[:2] == (Cell(0, "q", 0), Cell(0, "q", 1)) and result["size"][:2].tolist() == [D * S] * 2
    kinds = [kind for kind in ("q", "k", "v", "out") for _ in range(H)] + ["mlp_in", "mlp_out"]
    assert [cell.kind for cell in cells] == kinds * tiny.LAYERS
    assert cells[-1] == Cell(1, "mlp_out", None) and result["size"][-1] == D * MLP


def test_shares_of_a_paragraph_are_one_and_of_nothing_are_nan():
    result = shares(pooled(tiny.tiny_model("gpt_neo"), rows_of())["top_mean"])
    torch.testing.assert_close(result.sum(1), torch.ones(ROWS, dtype=torch.float64))
    assert shares(torch.zeros(1, 3)).isnan().all()


def test_the_model_is_left_as_it_was(family):
    model = tiny.tiny_model(family)
    model.get_input_embeddings().weight.requires_grad_(False)
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    state = copy.deepcopy(model.state_dict())
    pooled(model, rows_of())
    beyond = ParagraphSet(torch.full((1, P + C), tiny.VOCABULARY), P, ("x",))
    with pytest.raises(IndexError):
        pooled(model, beyond)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_rows_and_the_smallest_share():
    model = tiny.tiny_model("llama")
    assert pooled(model, rows_of(rows=0))["top_mean"].shape == (0, len(pooled(model, rows_of()).cells))
    result = pooled(model, rows_of(rows=1), top_share=1e-9)
    gradients = row_gradients(model, rows_of(rows=1).ids[0])
    assert float(result["top_mean"][0, 0]) == pytest.approx(np.abs(by_hand("llama", gradients, 0)["q", 0]).max(), rel=1e-4)
