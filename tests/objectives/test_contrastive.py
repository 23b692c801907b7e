"""Unlearn and Edit against their formulas over loops: value and gradient, weights and signs."""

import pytest
import torch
from steps import step_of
from test_losses import every_dtype, mean_of, naive_token_kl, naive_token_nll, some_labels, some_logits, stacked

from memunlearn.errors import UserError
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.objectives.material import Needs

SIGN = {Unlearn: -1, Edit: +1}
BOUND = 3.0  # the default of Unlearn
# (forget rows, retain rows, C, V)
SIZES = [(1, 1, 1, 7), (1, 3, 5, 7), (4, 2, 3, 61)]

both = pytest.mark.parametrize("objective", SIGN)


def inputs(size, dtype=torch.float32):
    forget_rows, retain_rows, length, vocabulary = size
    forget, retain = (forget_rows, length, vocabulary), (retain_rows, length, vocabulary)
    return (
        some_logits(forget, dtype, seed=3),
        some_labels(forget, seed=4),
        some_logits(retain, dtype, seed=5),
        some_logits(retain, dtype, seed=6).detach(),
    )


@every_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("forget_weight", "retain_weight"), [(0.1, 1.0), (0.7, 50.0), (2.0, 0.0)])
@both
def test_value_and_gradient(objective, forget_weight, retain_weight, size, dtype):
    forget, labels, retain, reference = inputs(size, dtype)
    losses = objective(forget_weight, retain_weight)(step_of(forget, labels, retain, reference))
    naive_nll, naive_kl = mean_of(naive_token_nll(forget, labels)), mean_of(naive_token_kl(reference, retain))
    counted = naive_token_nll(forget, labels)
    if objective is Unlearn:
        counted = [[token if token.item() < BOUND else token * 0 + BOUND for token in row] for row in counted]
    naive = retain_weight * naive_kl + SIGN[objective] * forget_weight * mean_of(counted)
    assert losses.total.shape == () and losses.total.dtype == torch.float32
    torch.testing.assert_close(losses.total, naive.float())
    torch.testing.assert_close(losses.forget_nll, naive_nll.float())
    torch.testing.assert_close(losses.retain_kl, naive_kl.float())
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 1e-4}
    gradients = torch.autograd.grad(losses.total, [forget, retain])
    for gradient, expected in zip(gradients, torch.autograd.grad(naive, [forget, retain]), strict=True):
        torch.testing.assert_close(gradient, expected, **tolerance)
    pulled = objective is Edit or float(stacked(naive_token_nll(forget, labels)).min()) < BOUND
    assert (float(gradients[0].abs().sum()) > 0) == pulled
    assert (float(gradients[1].abs().sum()) > 0) == (retain_weight > 0)


def test_a_step_against_the_gradient_unlearns_or_edits():
    forget, labels, retain, reference = inputs((2, 3, 4, 7))
    for objective, sign in SIGN.items():
        before = objective()(step_of(forget, labels, retain, reference))
        forget_pull, retain_pull = torch.autograd.grad(before.total, [forget, retain])
        after = objective()(step_of(forget - forget_pull, labels, retain - retain_pull, reference))
        assert after.total < before.total
        assert sign * (after.forget_nll - before.forget_nll) < 0
        assert after.retain_kl < before.retain_kl


def test_unlearning_without_a_bound_is_the_papers_loss():
    forget, labels, retain, reference = inputs((4, 2, 3, 61))
    losses = Unlearn(0.1, 1.0, max_token_nll=None)(step_of(forget, labels, retain, reference))
    assert float(stacked(naive_token_nll(forget, labels)).max()) > BOUND
    torch.testing.assert_close(losses.total, losses.retain_kl - 0.1 * losses.forget_nll)
    assert losses.total < Unlearn(0.1, 1.0)(step_of(forget, labels, retain, reference)).total


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_makes_no_sense_is_refused(bound):
    with pytest.raises(UserError, match="objective.max_token_nll"):
        Unlearn(max_token_nll=bound)


def test_only_edits_need_alternatives():
    assert Unlearn().needs == Needs() and Edit().needs == Needs(alternatives=True)


@pytest.mark.parametrize(
    ("forget_weight", "retain_weight"), [(0.0, 1.0), (-0.1, 1.0), (0.1, -1.0), (float("nan"), 1.0), (0.1, float("nan"))]
)
@both
def test_weights_that_make_no_sense_are_refused(objective, forget_weight, retain_weight):
    with pytest.raises(UserError, match="objective.forget_weight=.*objective.retain_weight="):
        objective(forget_weight, retain_weight)


def test_an_edit_tries_at_least_one_replacement():
    with pytest.raises(UserError, match="replacements=0"):
        Edit(replacements=0)
