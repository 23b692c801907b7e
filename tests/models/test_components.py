"""Eligible weights: counted by hand, and each head's weights checked by what changing them changes in the model."""

import copy

import pytest
import tiny_architectures as tiny
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from memunlearn.errors import UserError
from memunlearn.models import KINDS, Filter, attach, count_per_component, eligible_weights, locate, passing_positions

KIND_SIZES = {  # of one layer, by hand
    "q": tiny.D * tiny.D,
    "out": tiny.D * tiny.D,
    "mlp_in": tiny.D * tiny.MLP,
    "mlp_out": tiny.D * tiny.MLP,
}
TOGETHER = ("olmo2", "olmo3")  # which normalize q, and k, over all heads at once
GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "olmo", "smollm3", "granite", "stablelm", "cohere", "phi3")


@pytest.fixture(params=tiny.EVERY)
def family(request):
    return request.param


def everything(model):
    return {weight.name: None for weight in eligible_weights(model)}


def changed(model, layer, kind, heads, change):
    """A copy in which `change` was applied to the weights of these heads."""
    positions = passing_positions(eligible_weights(model), Filter([layer], [kind], heads))
    other = copy.deepcopy(model)
    for name, flat in positions.items():
        weight = other.get_parameter(name)
        with torch.no_grad():
            chosen = torch.arange(weight.numel()) if flat is None else flat
            weight.view(-1)[chosen] = change(weight.view(-1)[chosen])
    return other


def noisy(values):
    return values + torch.randn(values.shape, generator=torch.Generator().manual_seed(7))


def out_projection(model, layer):
    name = next(w.name for w in eligible_weights(model) if w.layer == layer and w.kind_names == ("out",))
    return model.get_submodule(name.removesuffix(".weight"))


def out_input(model, layer):
    """The input of the output projection, [N, I, H, head size]."""
    seen = []
    module = out_projection(model, layer)
    handle = module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(tiny.some_ids())
    handle.remove()
    return seen[0].unflatten(-1, (tiny.HEADS, tiny.HEAD_SIZE))


def attention(model, layer):
    with torch.no_grad():
        return model(tiny.some_ids(), output_attentions=True).attentions[layer]


def query_heads(family, head):
    """The query heads that use this kv head."""
    group = tiny.HEADS // tiny.KV_HEADS[family]
    return set(range(head * group, (head + 1) * group))


def test_eligible_counts_by_hand(family):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    kv = tiny.D * tiny.KV_HEADS[family] * tiny.HEAD_SIZE
    sizes = {**KIND_SIZES, "k": kv, "v": kv}
    if family == "bloom":  # whose MLPs are always four times as wide
        sizes["mlp_in"] = sizes["mlp_out"] = 4 * tiny.D * tiny.D
    if family == "mpt":
        sizes["mlp_in"] = sizes["mlp_out"] = 4 * tiny.D * tiny.D
    if family.startswith(GATED):
        sizes["mlp_in"] *= 2  # gate and up
    counts = count_per_component(everything(model), weights)
    assert counts == {f"{layer}.{kind}": sizes[kind] for layer in range(tiny.LAYERS) for kind in KINDS}
    assert sum(weight.size for weight in weights) == sum(counts.values())


def test_every_matrix_of_every_block_is_eligible_and_nothing_else(family):
    model = tiny.tiny_model(family)
    no_block = ("wpe", "embed_positions", "norm", "vision_tower", "multi_modal_projector")
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices = {n for n, p in model.named_parameters() if p.ndim == 2 and id(p) not in embeddings}
    expected = {name for name in matrices if not any(part in name for part in no_block)}
    weights = eligible_weights(model)
    assert {weight.name for weight in weights} == expected
    assert len(weights) == len(expected)
    assert all(weight.shape == tuple(model.get_parameter(weight.name).shape) for weight in weights)


@pytest.mark.parametrize("layer", range(tiny.LAYERS))
def test_v_of_a_head_changes_only_what_that_head_says(family, layer):
    model = tiny.tiny_model(family)
    before = out_input(model, layer)
    for head in range(tiny.KV_HEADS[family]):
        after = out_input(changed(model, layer, "v", [head], noisy), layer)
        heads = {h for h in range(tiny.HEADS) if not torch.equal(before[:, :, h], after[:, :, h])}
        assert heads == query_heads(family, head)


@pytest.mark.parametrize("layer", range(tiny.LAYERS))
@pytest.mark.parametrize("kind", ["q", "k"])
def test_q_and_k_of_a_head_change_only_where_that_head_looks(family, kind, layer):
    model = tiny.tiny_model(family)
    before = attention(model, layer)
    for head in range(tiny.HEADS if kind == "q" else tiny.KV_HEADS[family]):
        after = attention(changed(model, layer, kind, [head], noisy), layer)
        heads = {h for h in range(tiny.HEADS) if not torch.equal(before[:, h], after[:, h])}
        if family in TOGETHER:  # a larger q of one head makes those of the others smaller
            assert heads == set(range(tiny.HEADS))
        else:
            assert heads == ({head} if kind == "q" else query_heads(family, head))


@pytest.mark.parametrize("kind", ["q", "k"])
def test_where_a_norm_takes_a_scale_back_is_known(family, kind):
    """Of one head: nothing where each head is normalized by itself; of all heads: nothing where any norm is."""
    model = tiny.tiny_model(family)
    before, weights = attention(model, 0), eligible_weights(model)
    over = next(weight.scale_free for weight in weights if weight.layer == 0 and kind in weight.kind_names)
    one, every = ([0], list(range(tiny.HEADS if kind == "q" else tiny.KV_HEADS[family])))
    unscaled = {"head": (True, True), "layer": (False, len(every) > 1), None: (False, False)}[over]
    for heads, nothing in zip((one, every), unscaled, strict=True):
        after = attention(changed(model, 0, kind, heads, lambda values: 0.5 * values), 0)
        moved = float((before - after).abs().max())
        assert moved < 2e-3 if nothing else moved > 1e-2  # a norm adds a little to what it divides by


def of_projection(model, layer, said):
    return out_projection(model, layer)(said)


@pytest.mark.parametrize("layer", range(tiny.LAYERS))
def test_out_of_a_head_reads_only_that_head(family, layer):
    model = tiny.tiny_model(family)
    said = out_input(model, layer)
    for head in range(tiny.HEADS):
        zeroed = changed(model, layer, "out", [head], torch.zeros_like)
        without_head = said.clone()
        without_head[:, :, head] = 0
        with torch.no_grad():
            got = of_projection(zeroed, layer, said.flatten(2))
            expected = of_projection(model, layer, without_head.flatten(2))
        torch.testing.assert_close(got, expected)


def test_head_and_kind_of_a_flat_index(family):
    weights = eligible_weights(tiny.tiny_model(family))
    for weight in weights:
        flat = torch.arange(weight.size)
        kinds, heads = locate(weight, flat)
        for position in range(0, weight.size, 37):
            along = torch.unravel_index(torch.tensor(position), weight.shape)[weight.axis]
            assert kinds[position] == weight.kinds[along] and heads[position] == weight.heads[along]
        for kind in weight.kind_names:
            for head in weight.heads[weight.kinds == KINDS.index(kind)].unique().tolist():
                mine = ((kinds == KINDS.index(kind)) & (heads == head)).nonzero().flatten()
                if head >= 0:
                    passing = passing_positions(weights, Filter([weight.layer], [kind], [head]))[weight.name]
                    assert torch.equal(mine, passing)


def test_counts_of_some_indices(family):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    indices = tiny.some_indices(model)
    counts = count_per_component(indices, weights)
    sizes = {weight.name: weight.size for weight in weights}
    assert sum(counts.values()) == sum(sizes[name] if flat is None else len(flat) for name, flat in indices.items())
    naive = dict.fromkeys(counts, 0)
    for weight in weights:
        if weight.name in indices:
            flat = indices[weight.name]
            for position in range(weight.size) if flat is None else flat.tolist():
                along = divmod(position, weight.shape[1])[weight.axis]
                naive[f"{weight.layer}.{KINDS[weight.kinds[along]]}"] += 1
    assert counts == naive


def test_counts_refuse_a_weight_of_another_model():
    weights = eligible_weights(tiny.tiny_model("gpt2"))
    with pytest.raises(UserError, match="q_proj"):
        count_per_component({"transformer.h.0.attn.attention.q_proj.weight": None}, weights)


def test_order_is_the_same_with_deltas_attached(family):
    model = tiny.tiny_model(family)
    names = [weight.name for weight in eligible_weights(model)]
    attach(model, {name: None for name in names[::2]})
    assert [weight.name for weight in eligible_weights(model)] == names
    assert [weight.layer for weight in eligible_weights(model)] == sorted(weight.layer for weight in eligible_weights(model))


XGLM_PATTERNS = {
    "model.layers.{layer}.self_attn.q_proj.weight": "q",
    "model.layers.{layer}.self_attn.k_proj.weight": "k",
    "model.layers.{layer}.self_attn.v_proj.weight": "v",
    "model.layers.{layer}.self_attn.out_proj.weight": "out",
    "model.layers.{layer}.fc1.weight": "mlp_in",
    "model.layers.{layer}.fc2.weight": "mlp_out",
}


@pytest.fixture(scope="module")
def xglm():
    config = AutoConfig.for_model("xglm", d_model=12, num_layers=2, attention_heads=3, ffn_dim=20, vocab_size=50)
    return AutoModelForCausalLM.from_config(config)


def test_an_unknown_architecture_is_named_and_can_be_described(xglm):
    with pytest.raises(UserError, match="XGLMForCausalLM.*model.patterns"):
        eligible_weights(xglm)
    weights = eligible_weights(xglm, XGLM_PATTERNS)
    assert sum(weight.size for weight in weights) == 2 * (4 * 12 * 12 + 2 * 12 * 20)
    assert weights[0].heads.tolist() == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("patterns", "says"),
    [
        ({"model.layers.{layer}.fc1.weight": "mlp"}, "'mlp'.*mlp_in"),
        ({"model.layers.0.fc1.weight": "mlp_in"}, "needs {layer}"),
        ({"transformer.h.{layer}.fc1.weight": "mlp_in"}, "no weight named like transformer.h"),
        ({"model.layers.{layer}.fc1.bias": "mlp_in"}, "only matrices"),
        ({"model.layers.{layer}.fc1.weight": "q"}, "20 indices do not divide into 3 heads"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(xglm, patterns, says):
    with pytest.raises(UserError, match=says):
        eligible_weights(xglm, patterns)
