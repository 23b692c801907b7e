"""Low-rank deltas: the loops that they stand for, values and gradients, in every layout; and peft's LoRA, where it is there."""

import copy

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.models import attach, base_parameters, delta_parameters, detach, eligible_weights, is_attached
from memunlearn.models.baking import bake
from memunlearn.models.low_rank_delta import low_rank, parameters_a_rank
from memunlearn.models.patches import capture_change
from memunlearn.models.sparse_delta import read_deltas, write_deltas, zero_deltas

RANK, ALPHA = 3, 5.0


def attached(family, seed=4):
    """The plain model, and one whose factors all count."""
    base = tiny.tiny_model(family)
    model = copy.deepcopy(base)
    attach(model, tiny.all_indices(model), low_rank(RANK, ALPHA, seed))
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for value in delta_parameters(model).values():
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return base, model


def factors(model, name):
    trained = delta_parameters(model)
    return trained[f"{name}.A"].detach(), trained[f"{name}.B"].detach()


def naive_change(model, name, transposed):
    A, B = factors(model, name)
    change = torch.zeros(len(B), A.shape[1])
    for row in range(len(B)):
        for column in range(A.shape[1]):
            change[row, column] = ALPHA / RANK * sum(float(B[row, r] * A[r, column]) for r in range(RANK))
    return change.T if transposed else change


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_effective_weight_is_base_and_product(family):
    base, model = attached(family)
    baked = dict(bake(model).named_parameters())
    weight = eligible_weights(base)[-1]
    expected = base_parameters(base)[weight.name] + naive_change(model, weight.name, family == "gpt2")
    torch.testing.assert_close(baked[weight.name].detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    A, B = factors(model, weight.name)
    assert A.numel() + B.numel() == RANK * parameters_a_rank([weight.shape])


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2"])
def test_gradients_are_those_of_the_weights(family):
    """dL/dB = scale * g A', dL/dA = scale * B' g, with g the gradient of the plain weight at the same place."""
    _, model = attached(family)
    plain, ids = bake(model), tiny.some_ids(2)
    name = eligible_weights(plain)[3].name
    model(ids, labels=ids).loss.backward()
    plain(ids, labels=ids).loss.backward()
    g = plain.get_parameter(name).grad
    g = g.T if family == "gpt2" else g
    A, B = factors(model, name)
    trained = delta_parameters(model)
    torch.testing.assert_close(trained[f"{name}.B"].grad, ALPHA / RANK * g @ A.T, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(trained[f"{name}.A"].grad, ALPHA / RANK * B.T @ g, rtol=1e-4, atol=1e-6)


def test_at_the_start_nothing_is_changed_and_b_has_a_gradient():
    base, model = tiny.tiny_model("gpt_neo"), tiny.tiny_model("gpt_neo")
    attach(model, tiny.all_indices(model), low_rank(RANK, ALPHA, 0))
    ids = tiny.some_ids()
    assert torch.equal(model(ids).logits, base(ids).logits)
    model(ids, labels=ids).loss.backward()
    assert all(float(p.grad.norm()) > 0 for name, p in delta_parameters(model).items() if name.endswith(".B"))
    again = tiny.tiny_model("gpt_neo")
    attach(again, tiny.all_indices(again), low_rank(RANK, ALPHA, 0))
    other = tiny.tiny_model("gpt_neo")
    attach(other, tiny.all_indices(other), low_rank(RANK, ALPHA, 1))
    name = next(name for name in delta_parameters(model) if name.endswith(".A"))
    drawn = [delta_parameters(one)[name] for one in (model, again, other)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_the_change_is_dense_and_can_be_read_from_other_values():
    base, model = attached("gpt2")
    kept = {name: value.detach().clone() for name, value in delta_parameters(model).items()}
    before = read_deltas(model)
    zero_deltas(model)
    assert torch.equal(model(tiny.some_ids()).logits, base(tiny.some_ids()).logits)
    assert all(not delta.any() for _, delta in read_deltas(model).values())
    change = capture_change(model, trained=kept)
    assert all(flat is None for flat in change.indices.values())
    assert all(torch.equal(change.deltas[name], delta) for name, (_, delta) in before.items())
    assert {name: tensor.shape for name, tensor in base_parameters(model).items()} == {
        name: tensor.shape for name, tensor in base.named_parameters()
    }
    detach(model)
    assert not is_attached(model) and all(torch.equal(p, base.get_parameter(n)) for n, p in model.named_parameters())
    attach(model, change.indices)
    write_deltas(model, change.deltas)
    torch.testing.assert_close(model(tiny.some_ids()).logits, attached("gpt2")[1](tiny.some_ids()).logits)


def test_the_product_stays_in_fp32_under_autocast():
    _, model = attached("gpt_neo")
    module, name = model.transformer.h[0].mlp.c_fc, "transformer.h.0.mlp.c_fc.weight"
    with torch.autocast("cpu", torch.bfloat16):
        weight = module.weight
    assert weight.dtype == torch.float32 and torch.equal(weight, module.weight) and name in read_deltas(model)


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2"])
def test_it_is_pefts_lora_merged(family):
    peft = pytest.importorskip("peft")
    base, model = attached(family)
    names = [weight.name for weight in eligible_weights(base)]
    modules = [name.removesuffix(".weight") for name in names]
    config = peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=modules, fan_in_fan_out=family == "gpt2", lora_dropout=0.0
    )
    theirs = peft.get_peft_model(copy.deepcopy(base), config)
    with torch.no_grad():
        for name, module in zip(names, modules, strict=True):
            layer = theirs.base_model.model.get_submodule(module)
            A, B = factors(model, name)
            layer.lora_A["default"].weight.copy_(A)
            layer.lora_B["default"].weight.copy_(B)
    merged = theirs.merge_and_unload()
    for name, parameter in bake(model).named_parameters():
        torch.testing.assert_close(parameter, merged.get_parameter(name), rtol=1e-5, atol=1e-6)
