"""Recorded activations against a forward of the block written out by hand; replaced ones change what they say, only that."""

import math

import pytest
import tiny_architectures as tiny
import torch
from torch.nn import functional

from memunlearn.localization.activations import (
    Cell,
    Replacement,
    activation_cells,
    activation_sites,
    recorded,
    replaced,
)
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import eligible_weights

IDS = tiny.some_ids(3, rows=2, length=9)
H, S = tiny.HEADS, tiny.HEAD_SIZE


def recording(model, ids=IDS):
    sites = activation_sites(eligible_weights(model))
    with torch.no_grad(), recorded(model, sites) as found:
        logits = model(input_ids=ids, use_cache=False).logits
    return sites, dict(found), logits


def of_kind(sites, found, layer, kind):
    """{head: [B, T, features]} of one layer, from the recorded sites."""
    parts = {}
    for site in sites:
        if site.layer == layer and kind in {KINDS[code] for code in site.kinds.tolist()}:
            for head in site.heads[site.features(kind)].unique().tolist():
                parts.setdefault(head, []).append(found[site.name][..., site.features(kind, head)])
    return {head: torch.cat(tensors, -1) for head, tensors in parts.items()}


def split(x, heads):
    """[B, T, heads * S] -> [B, heads, T, S]."""
    return x.unflatten(-1, (heads, S)).transpose(1, 2)


def rotate(x, size=S):
    """Rotary embedding of `size` of the features [..., T, S], halves paired (NeoX, Llama); the rest as it is."""
    powers = torch.arange(0, size, 2).float() / size
    angles = torch.arange(x.shape[2]).float()[:, None] * 10000.0**-powers
    a, b, rest = x.split([len(powers), len(powers), S - 2 * len(powers)], -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), rest], -1)


def attend(q, k, v, scale, window=None):
    """[B, heads, T, S] each -> the head outputs, same shape."""
    scores = q @ k.transpose(-1, -2) * scale
    t = torch.arange(q.shape[2])
    hidden = t[None] > t[:, None]
    if window is not None:
        hidden |= t[:, None] - t[None] >= window
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ v


@torch.no_grad()
def by_hand(family, model):
    """[per layer {kind: {head or -1: [B, T, features]}}], computed from the weights alone."""
    layers, x = [], None
    if family in ("gpt_neo", "gpt2"):
        base = model.transformer
        x = base.wte.weight[IDS] + base.wpe.weight[: IDS.shape[1]]
        for number, block in enumerate(base.h):
            h = block.ln_1(x)
            if family == "gpt_neo":
                a = block.attn.attention
                q, k, v = (h @ m.weight.T for m in (a.q_proj, a.k_proj, a.v_proj))
                window, scale, project = (None, 4)[number % 2], 1.0, lambda y, a=a: y @ a.out_proj.weight.T + a.out_proj.bias
                into, out = (lambda y, m=m: y @ m.weight.T + m.bias for m in (block.mlp.c_fc, block.mlp.c_proj))
            else:
                a = block.attn
                q, k, v = (h @ a.c_attn.weight + a.c_attn.bias).split(tiny.D, -1)
                window, scale, project = None, S**-0.5, lambda y, a=a: y @ a.c_proj.weight + a.c_proj.bias
                into, out = (lambda y, m=m: y @ m.weight + m.bias for m in (block.mlp.c_fc, block.mlp.c_proj))
            heads = attend(*(split(y, H) for y in (q, k, v)), scale, window)
            x = x + project(heads.transpose(1, 2).flatten(2))
            mlp_in = into(block.ln_2(x))
            mlp_out = out(functional.gelu(mlp_in, approximate="tanh"))
            x = x + mlp_out
            layers.append(named(split(q, H), split(k, H), split(v, H), heads, mlp_in, mlp_out))
    elif family == "gpt_neox":
        x = model.gpt_neox.embed_in.weight[IDS]
        for block in model.gpt_neox.layers:
            a, m = block.attention, block.mlp
            fused = (block.input_layernorm(x) @ a.query_key_value.weight.T + a.query_key_value.bias).unflatten(-1, (H, 3, S))
            q, k, v = (fused[..., i, :].transpose(1, 2) for i in range(3))
            turned = int(S * model.config.rope_parameters["partial_rotary_factor"])
            heads = attend(rotate(q, turned), rotate(k, turned), v, S**-0.5)
            mlp_in = block.post_attention_layernorm(x) @ m.dense_h_to_4h.weight.T + m.dense_h_to_4h.bias
            mlp_out = functional.gelu(mlp_in) @ m.dense_4h_to_h.weight.T + m.dense_4h_to_h.bias
            x = x + heads.transpose(1, 2).flatten(2) @ a.dense.weight.T + a.dense.bias + mlp_out
            layers.append(named(q, k, v, heads, mlp_in, mlp_out))
    else:
        x = model.model.embed_tokens.weight[IDS]
        kv = tiny.KV_HEADS["llama"]
        for block in model.model.layers:
            a, m = block.self_attn, block.mlp
            h = block.input_layernorm(x)
            q, k, v = split(h @ a.q_proj.weight.T, H), split(h @ a.k_proj.weight.T, kv), split(h @ a.v_proj.weight.T, kv)
            heads = attend(rotate(q), *(y.repeat_interleave(H // kv, 1) for y in (rotate(k), v)), S**-0.5)
            x = x + heads.transpose(1, 2).flatten(2) @ a.o_proj.weight.T
            h = block.post_attention_layernorm(x)
            gate, up = h @ m.gate_proj.weight.T, h @ m.up_proj.weight.T
            mlp_out = (functional.silu(gate) * up) @ m.down_proj.weight.T
            x = x + mlp_out
            layers.append(named(q, k, v, heads, torch.cat([gate, up], -1), mlp_out))
    return layers


def named(q, k, v, heads, mlp_in, mlp_out):
    per_head = {"q": q, "k": k, "v": v, "out": heads}
    return {kind: dict(enumerate(x.unbind(1))) for kind, x in per_head.items()} | {
        "mlp_in": {-1: mlp_in},
        "mlp_out": {-1: mlp_out},
    }


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_recorded_activations_are_those_of_the_block(family):
    model = tiny.tiny_model(family)
    sites, found, _ = recording(model)
    for layer, expected in enumerate(by_hand(family, model)):
        for kind in KINDS:
            ours = of_kind(sites, found, layer, kind)
            assert ours.keys() == expected[kind].keys()
            for head, values in expected[kind].items():
                torch.testing.assert_close(ours[head], values, rtol=1e-4, atol=1e-5, msg=f"layer {layer} {kind} {head}")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_replacing_by_its_own_changes_nothing_bit_for_bit(family):
    model = tiny.tiny_model(family)
    sites, found, logits = recording(model)
    own = {name: Replacement(torch.ones_like(x, dtype=torch.bool), x) for name, x in found.items()}
    with torch.no_grad(), replaced(model, sites, own), recorded(model, sites) as again:
        assert torch.equal(model(input_ids=IDS, use_cache=False).logits, logits)
    assert all(torch.equal(again[name], found[name]) for name in found)
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS, use_cache=False).logits, logits)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_replacing_changes_exactly_what_it_names(family, kind):
    model = tiny.tiny_model(family)
    sites, found, logits = recording(model)
    site = next(s for s in sites if s.layer == 0 and s.features(kind).any())
    head = int(site.heads[site.features(kind)].max())
    chosen = torch.zeros(found[site.name].shape, dtype=torch.bool)
    chosen[1, 4] = site.features(kind, head)
    new = torch.randn(found[site.name].shape, generator=torch.Generator().manual_seed(8))
    expected = torch.where(chosen, new, found[site.name])
    # Hooks run in the order of their making: what is recorded last is what the model goes on with.
    with torch.no_grad(), replaced(model, sites, {site.name: Replacement(chosen, new)}), recorded(model, sites) as after:
        changed = model(input_ids=IDS, use_cache=False).logits
    assert torch.equal(after[site.name], expected)
    assert torch.equal(changed[0], logits[0]) and torch.equal(changed[1, :4], logits[1, :4])
    assert not torch.allclose(changed[1, 4:], logits[1, 4:])
    for other in sites:
        if (other.layer, int(other.kinds.min())) < (0, int(site.kinds.min())) and family != "gpt_neox":
            assert torch.equal(after[other.name], found[other.name])


def test_a_patch_broadcasts_over_rows_and_takes_another_at_each():
    model = tiny.tiny_model("gpt2")
    sites, found, _ = recording(model)
    site = sites[0]
    where = torch.zeros(2, 1, len(site.kinds), dtype=torch.bool)
    where[0, 0] = site.features("v", 1)
    value = torch.randn(len(site.kinds), generator=torch.Generator().manual_seed(8))
    with torch.no_grad(), replaced(model, sites, {site.name: Replacement(where, value)}), recorded(model, sites) as after:
        model(input_ids=IDS, use_cache=False)
    changed = after[site.name] != found[site.name]
    assert torch.equal(changed, where.expand_as(changed))
    assert torch.equal(after[site.name][0, :, site.features("v", 1)], value[site.features("v", 1)].expand(9, -1))


def test_replacing_at_no_site_is_an_error():
    model = tiny.tiny_model("gpt2")
    sites, found, _ = recording(model)
    new = Replacement(torch.tensor(True), torch.tensor(0.0))
    with pytest.raises(KeyError), replaced(model, sites[1:], {sites[0].name: new}):
        pass


@pytest.mark.parametrize("family", tiny.EVERY)
def test_cells_hold_every_feature_once(family):
    sites = activation_sites(eligible_weights(tiny.tiny_model(family)))
    kv = tiny.KV_HEADS[family]
    cells = activation_cells(sites)
    expected = [
        Cell(layer, kind, head)
        for layer in range(tiny.LAYERS)
        for kind in KINDS
        for head in ([None] if "mlp" in kind else range(kv if kind in "kv" else H))
    ]
    assert list(cells.labels) == expected
    whole = activation_cells(sites, per_head=False)
    assert list(whole.labels) == [Cell(layer, kind, None) for layer in range(tiny.LAYERS) for kind in KINDS]
    for site in sites:
        for found, at in ((cells, site.heads.tolist()), (whole, [-1] * len(site.heads))):
            labels = [found.labels[i] for i in found.of_feature[site.name].tolist()]
            assert [(c.layer, c.kind, -1 if c.head is None else c.head) for c in labels] == [
                (site.layer, KINDS[kind], head) for kind, head in zip(site.kinds.tolist(), at, strict=True)
            ]
