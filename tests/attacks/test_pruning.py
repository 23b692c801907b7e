"""Pruning against a loop over weights; what else is in the model stays."""

import copy

import attacked
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.attacks.pruning import Pruning, without_smallest
from memunlearn.errors import UserError
from memunlearn.models import eligible_weights
from memunlearn.models.sparse_delta import base_parameters
from memunlearn.scoring.score import score


def by_loop(weight, share):
    """The smallest set to 0 one after the other."""
    weight = weight.detach()
    pruned = weight.clone(memory_format=torch.contiguous_format)
    order = sorted(range(weight.numel()), key=lambda place: abs(float(weight.flatten()[place])))
    for place in order[: round(share * weight.numel())]:
        pruned.view(-1)[place] = 0.0
    return pruned


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.05, 0.31, 0.5, 0.99])
@pytest.mark.parametrize("shape", [(7, 11), (1, 5), (13, 2)])
def test_the_smallest_weights_go(shape, share, dtype):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    pruned = without_smallest(weight, share)
    assert torch.equal(pruned, by_loop(weight, share)) and pruned.dtype == dtype
    assert int((pruned == 0).sum()) == round(share * weight.numel())


def test_by_hand_of_equal_ones_the_first():
    weight = torch.tensor([[3.0, -1.0, 1.0], [0.5, -2.0, 1.0]])
    assert without_smallest(weight, 1 / 3).tolist() == [[3.0, 0.0, 1.0], [0.0, -2.0, 1.0]]


def test_attempts_are_the_pruned_models_scores(reciting, sets):
    target = attacked.target_of(reciting, sets.forget, sets.clusters["forget"])
    attempts = attacked.attack(Pruning(shares=(0.2, 0.6)), reciting, target)
    assert [dict(attempt.settings) for attempt in attempts] == [{"share": 0.2}, {"share": 0.6}]
    names = {weight.name for weight in eligible_weights(reciting)}
    for attempt in attempts:
        model = copy.deepcopy(reciting)
        with torch.no_grad():
            for name, parameter in base_parameters(model).items():
                if name in names:
                    parameter.copy_(by_loop(parameter, attempt.settings["share"]))
        scores = score(model, sets.forget)
        assert torch.equal(attempt.em, scores.em) and torch.allclose(attempt.nll, scores.nll, atol=1e-5)
        assert attempt.rows.tolist() == list(range(5)) and attempt.counts
    assert attempts[0].nll.mean() < attempts[1].nll.mean()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_of_every_architecture_as_many_of_each_matrix(family):
    """Where weights are stored transposed, too."""
    from memunlearn.attacks.changed_weights import with_changed_weights

    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    changed = with_changed_weights(model, weights, lambda weight: without_smallest(weight, 0.25))
    before, after = base_parameters(model), base_parameters(changed)
    names = {weight.name for weight in weights}
    for name, parameter in before.items():
        if name in names:
            assert torch.equal(after[name], by_loop(parameter.T, 0.25).T if family == "gpt2" else by_loop(parameter, 0.25))
        else:
            assert torch.equal(after[name], parameter)


@pytest.mark.parametrize("shares", [(), (0.0,), (0.2, 1.0), (-0.1,)])
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(UserError, match=r"attacks\.pruning\.shares"):
        Pruning(shares=shares)
