"""A subnetwork: what loops over sorted scores drop, and the gradient that goes straight through the choice."""

import copy

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.models import attach, base_parameters, delta_parameters, eligible_weights
from memunlearn.models.baking import bake
from memunlearn.models.sparse_delta import read_deltas, zero_deltas
from memunlearn.models.subnet_delta import dropped_of, subnet

SHARE = 0.07


def attached(family, seed=4):
    base = tiny.tiny_model(family)
    model = copy.deepcopy(base)
    names = {weight.name: None for weight in eligible_weights(base) if {"mlp_in", "mlp_out"} & set(weight.kind_names)}
    attach(model, names, subnet(SHARE, seed))
    return base, model, list(names)


def naive_dropped(scores):
    """The places of the lowest |score|, the first of equals first."""
    order = sorted(range(scores.numel()), key=lambda place: abs(float(scores.flatten()[place])))
    return sorted(order[: int(SHARE * scores.numel())])


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2", "llama"])
def test_the_lowest_scores_are_dropped_and_nothing_else(family):
    base, model, names = attached(family)
    with torch.no_grad():
        for scores in delta_parameters(model).values():
            scores.view(-1)[[3, 8, 11]] = torch.tensor([0.0, -1e-9, 0.0])  # lowest whatever their sign, two of them equal
    baked, changes = dict(bake(model).named_parameters()), read_deltas(model)
    assert sorted(changes) == sorted(names)
    for name in names:
        weight = base_parameters(base)[name].detach()
        dropped = naive_dropped(delta_parameters(model)[f"{name}.scores"].detach())
        expected = weight.clone()
        expected.view(-1)[dropped] = 0
        assert torch.equal(baked[name].detach(), expected) and {3, 8, 11} <= set(dropped)
        indices, delta = changes[name]
        assert indices.tolist() == dropped and torch.equal(delta, -weight.flatten()[dropped])
        assert len(dropped) == dropped_of(SHARE, weight.numel()) == int(0.07 * weight.numel())


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2"])
def test_the_gradient_goes_straight_through(family):
    """d loss / d score = sign(score) * base * d loss / d weight, also where the weight is dropped."""
    base, model, names = attached(family)
    plain, ids = bake(model), tiny.some_ids(3)
    model(ids, labels=ids).loss.backward()
    plain(ids, labels=ids).loss.backward()
    for name in names:
        scores, weight = delta_parameters(model)[f"{name}.scores"], base_parameters(base)[name].detach()
        expected = scores.detach().sign() * weight * plain.get_parameter(name).grad
        torch.testing.assert_close(scores.grad, expected, rtol=1e-4, atol=1e-7)
        dropped = naive_dropped(scores.detach())
        assert bool(scores.grad.flatten()[dropped].any())


def test_scores_are_drawn_with_the_seed_within_the_bounds_of_a_linear_layer():
    (_, one, names), (_, again, _), (_, other, _) = attached("gpt2"), attached("gpt2"), attached("gpt2", seed=5)
    for name in names:
        scores = [delta_parameters(model)[f"{name}.scores"] for model in (one, again, other)]
        assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])
        bound = base_parameters(one)[name].shape[0] ** -0.5  # Conv1D stores its inputs first
        assert 0.9 * bound < float(scores[0].detach().abs().max()) <= bound


def test_a_subnetwork_is_never_the_base_model():
    with pytest.raises(NotImplementedError, match="always lacks something"):
        zero_deltas(attached("gpt_neo")[1])
