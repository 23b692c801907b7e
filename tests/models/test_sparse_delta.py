"""Masks that hold: nothing outside the mask moves under any optimizer, and the base comes back bit for bit."""

import copy

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.models import (
    attach,
    base_parameters,
    delta_parameters,
    detach,
    is_attached,
    read_deltas,
    write_deltas,
    zero_deltas,
)

CHOICES = {"sparse": tiny.some_indices, "all": tiny.all_indices}
OPTIMIZERS = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=1.0),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2, weight_decay=1.0),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, weight_decay=1.0, nesterov=True),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=1e-3, momentum=0.9, weight_decay=1.0),
}


@pytest.fixture(params=tiny.FAMILIES)
def family(request):
    return request.param


def bits(tensor):
    return tensor.detach().view(torch.int32).clone()


def all_bits(model):
    return {name: bits(parameter) for name, parameter in base_parameters(model).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def train(model, make, steps=20):
    optimizer = make(list(delta_parameters(model).values()))
    for step in range(steps):
        ids = tiny.some_ids(seed=step)
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()


def effective(model, name):
    path, _, attribute = name.rpartition(".")
    return getattr(model.get_submodule(path), attribute)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("choice", CHOICES)
def test_weights_outside_the_mask_do_not_move(choice, optimizer):
    model = tiny.tiny_model("gpt_neo")
    before = all_bits(model)
    indices = CHOICES[choice](model)
    attach(model, indices)
    train(model, OPTIMIZERS[optimizer])
    assert same(all_bits(model), before)
    for name, base in before.items():
        now = bits(effective(model, name))
        moved = (now != base).flatten().nonzero().flatten()
        if name not in indices:
            assert not len(moved)
        elif indices[name] is None:
            assert len(moved) > 0.9 * base.numel()
        else:
            assert set(moved.tolist()) <= set(indices[name].tolist())
            assert len(moved) > 0.9 * len(indices[name])


@pytest.mark.parametrize("choice", CHOICES)
def test_only_chosen_weights_move_in_every_architecture(family, choice):
    model = tiny.tiny_model(family)
    before = all_bits(model)
    indices = CHOICES[choice](model)
    attach(model, indices)
    train(model, OPTIMIZERS["adamw"], steps=3)
    for name, base in before.items():
        moved = (bits(effective(model, name)) != base).flatten().nonzero().flatten()
        allowed = indices.get(name, torch.empty(0, dtype=torch.int64))
        assert allowed is None or set(moved.tolist()) <= set(allowed.tolist())


@pytest.mark.parametrize("choice", CHOICES)
def test_weight_decay_pulls_towards_the_base(choice):
    model = tiny.tiny_model("gpt2")
    attach(model, CHOICES[choice](model))
    generator = torch.Generator().manual_seed(3)
    write_deltas(model, {name: torch.randn(d.shape, generator=generator) for name, d in delta_parameters(model).items()})
    before = {name: delta.detach().clone() for name, delta in delta_parameters(model).items()}
    optimizer = torch.optim.AdamW(list(delta_parameters(model).values()), lr=0.1, weight_decay=1.0)
    for delta in delta_parameters(model).values():
        delta.grad = torch.zeros_like(delta)
    optimizer.step()
    for name, delta in delta_parameters(model).items():
        torch.testing.assert_close(delta.detach(), before[name] * 0.9)


@pytest.mark.parametrize("choice", CHOICES)
def test_gradient_of_a_delta_is_the_gradient_of_the_weight_there(family, choice):
    plain = tiny.tiny_model(family)
    model = copy.deepcopy(plain)
    ids = tiny.some_ids(seed=5)
    plain(ids, labels=ids).loss.backward()
    attach(model, CHOICES[choice](model))
    model(ids, labels=ids).loss.backward()
    for name, (indices, _) in read_deltas(model).items():
        reference = plain.get_parameter(name).grad
        reference = reference if indices is None else reference.flatten()[indices]
        assert reference.abs().sum() > 0
        torch.testing.assert_close(delta_parameters(model)[name].grad, reference)


def test_only_deltas_are_trainable_and_a_tensor_without_any_is_left_alone():
    model = tiny.tiny_model("gpt_neo")
    first, second = list(tiny.all_indices(model))[:2]
    attach(model, {first: torch.tensor([3, 5]), second: torch.empty(0, dtype=torch.int64)})
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        first.removesuffix("weight") + "parametrizations.weight.0.delta"
    }
    assert list(delta_parameters(model)) == [first]
    assert delta_parameters(model)[first].shape == (2,) and delta_parameters(model)[first].dtype == torch.float32
    assert base_parameters(model).keys() == base_parameters(tiny.tiny_model("gpt_neo")).keys()


@pytest.mark.parametrize("choice", CHOICES)
def test_zero_deltas_change_no_bit_not_even_of_a_negative_zero(choice):
    model = tiny.tiny_model("gpt2")
    indices = CHOICES[choice](model)
    with torch.no_grad():
        for name in indices:
            model.get_parameter(name)[0, ::2] = -0.0
    before = all_bits(model)
    attach(model, indices)
    assert same({name: bits(effective(model, name)) for name in before}, before)
    train(model, OPTIMIZERS["adamw"], steps=2)
    assert not same({name: bits(effective(model, name)) for name in before}, before)
    zero_deltas(model)
    assert same({name: bits(effective(model, name)) for name in before}, before)


@pytest.mark.parametrize("choice", CHOICES)
def test_detach_gives_the_base_back(family, choice):
    model = tiny.tiny_model(family)
    reference = copy.deepcopy(model)
    attach(model, CHOICES[choice](model))
    assert is_attached(model)
    train(model, OPTIMIZERS["adamw"], steps=3)
    detach(model)
    assert not is_attached(model)
    assert same(all_bits(model), all_bits(reference))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert type(model.get_submodule(next(iter(tiny.all_indices(model))).rpartition(".")[0])).__name__ in ("Linear", "Conv1D")
    with torch.no_grad():
        assert torch.equal(model(tiny.some_ids()).logits, reference(tiny.some_ids()).logits)


def test_detaching_a_deep_copy_leaves_the_original_attached():
    model = tiny.tiny_model("gpt_neo")
    attach(model, tiny.some_indices(model))
    train(model, OPTIMIZERS["adamw"], steps=2)
    with torch.no_grad():
        before = model(tiny.some_ids()).logits
        detach(copy.deepcopy(model))
        assert torch.equal(model(tiny.some_ids()).logits, before)


def test_deltas_are_read_and_written():
    model = tiny.tiny_model("llama")
    indices = tiny.some_indices(model)
    attach(model, indices)
    train(model, OPTIMIZERS["sgd"], steps=2)
    with torch.no_grad():
        trained = model(tiny.some_ids()).logits
    saved = read_deltas(model)
    parameters = delta_parameters(model)
    zero_deltas(model)
    write_deltas(model, {name: delta for name, (_, delta) in saved.items()})
    assert all(delta_parameters(model)[name] is parameters[name] for name in parameters)
    with torch.no_grad():
        assert torch.equal(model(tiny.some_ids()).logits, trained)
    for name, (flat, _) in saved.items():
        assert (flat is None and indices[name] is None) or torch.equal(flat, indices[name])
    some = next(iter(saved))
    with pytest.raises(UserError, match="only one of them"):
        write_deltas(model, {some: saved[some][1]})
    with pytest.raises(UserError, match="deltas for a mask"):
        write_deltas(model, {name: delta[:1] for name, (_, delta) in saved.items()})


@pytest.mark.parametrize(
    ("indices", "says"),
    [
        (torch.tensor([2, 1]), "sorted, unique"),
        (torch.tensor([1, 1]), "sorted, unique"),
        (torch.tensor([-1, 1]), "within 0"),
        (torch.tensor([1, tiny.D * tiny.D]), "within 0"),
        (torch.tensor([1.0, 2.0]), "int64"),
        (torch.tensor([[1, 2]]), "flat"),
    ],
)
def test_indices_that_make_no_sense_are_refused(indices, says):
    model = tiny.tiny_model("gpt_neo")
    with pytest.raises(UserError, match=says):
        attach(model, {"transformer.h.0.attn.attention.q_proj.weight": indices})
    assert not is_attached(model) and all(parameter.requires_grad for parameter in model.parameters())


def test_what_cannot_be_attached_is_refused():
    model = tiny.tiny_model("gpt_neo")
    with pytest.raises(UserError, match="no weight nowhere.weight"):
        attach(model, {"nowhere.weight": None})
    with pytest.raises(UserError, match="tied.*lm_head"):
        attach(model, {"transformer.wte.weight": None})
    with pytest.raises(UserError, match="no weight is chosen"):
        attach(model, {})
    with pytest.raises(UserError, match="bfloat16.*fp32"):
        attach(copy.deepcopy(model).bfloat16(), tiny.some_indices(model))
    attach(model, tiny.some_indices(model))
    with pytest.raises(UserError, match="already carries"):
        attach(model, tiny.some_indices(model))
