"""Gradient ascent and gradient difference against their formulas over loops: value and gradient."""

from dataclasses import replace

import pytest
import torch
from steps import WITHIN, check_terms, some_side
from test_losses import mean_of, naive_token_kl, naive_token_nll

from memunlearn.errors import UserError
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.objectives.grad_diff import GradDiff
from memunlearn.objectives.gradient_ascent import GradientAscent
from memunlearn.objectives.material import Needs, StepMaterial

# (forget rows, retain rows, C, V)
SIZES = [(1, 1, 1, 2), (1, 3, 5, 7), (4, 2, 3, 61)]

every_dtype = pytest.mark.parametrize("dtype", WITHIN, ids=str)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def some_step(size, dtype):
    forget_rows, retain_rows, length, vocabulary = size
    forget = some_side((forget_rows, length, vocabulary), dtype, seed=3, base=False)
    return StepMaterial(forget=forget, retain=some_side((retain_rows, length, vocabulary), dtype, seed=6), deltas={})


def nll_of(side):
    return mean_of(naive_token_nll(side.logits, side.labels))


def kl_of(side):
    return mean_of(naive_token_kl(side.base_logits, side.logits))


@every_dtype
@every_size
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_gradient_ascent(weight, size, dtype):
    step = some_step(size, dtype)
    expected = (-weight * nll_of(step.forget), 0.0, nll_of(step.forget), kl_of(step.retain))
    check_terms(GradientAscent(weight)(step), expected, [step.forget.logits, step.retain.logits], dtype)


@every_dtype
@every_size
@pytest.mark.parametrize("weights", [(0.1, 1.0), (2.0, 0.3)], ids=str)
def test_gradient_difference(weights, size, dtype):
    step = some_step(size, dtype)
    terms = (-weights[0] * nll_of(step.forget), weights[1] * nll_of(step.retain))
    expected = (*terms, nll_of(step.forget), kl_of(step.retain))
    check_terms(GradDiff(*weights)(step), expected, [step.forget.logits, step.retain.logits], dtype)


def test_the_three_differ_in_what_they_keep():
    """One forget term; no retain term, the NLL, the KL."""
    step = some_step((2, 3, 4, 7), torch.float64)
    ascent, difference = GradientAscent(0.1)(step), GradDiff(0.1, 1.0)(step)
    unbounded = Unlearn(0.1, 1.0, max_token_nll=None)(step)
    assert ascent.forget_term == difference.forget_term == unbounded.forget_term
    assert ascent.retain_term == 0 and not ascent.retain_term.requires_grad
    assert abs(float(difference.retain_term - unbounded.retain_term)) > 0.1


@pytest.mark.parametrize("odds", [200.0, -1000.0])
def test_certain_and_impossible_tokens_stay_finite(odds):
    step = some_step((1, 1, 1, 3), torch.float32)
    logits = torch.zeros(1, 1, 3).index_fill(-1, step.forget.labels[0], odds).requires_grad_()
    step = replace(step, forget=replace(step.forget, states=logits))
    for objective in (GradientAscent(), GradDiff()):
        losses = objective(step)
        assert bool(losses.total.isfinite())
        assert bool(torch.autograd.grad(losses.total, logits)[0].isfinite().all())


def test_gradient_ascent_keeps_nothing():
    assert GradientAscent().needs == GradDiff().needs == Needs()
    with pytest.raises(UserError, match="objective.retain_weight=1.0 must be 0 .* objective=grad_diff .*=unlearn_unbounded"):
        GradientAscent(retain_weight=1.0)


@pytest.mark.parametrize("make", [GradientAscent, GradDiff])
@pytest.mark.parametrize("weights", [(0.0, 0.0), (-0.1, 0.0), (float("nan"), 0.0), (0.1, -1.0), (0.1, float("nan"))])
def test_weights_that_make_no_sense_are_refused(make, weights):
    with pytest.raises(UserError, match="objective.forget_weight="):
        make(*weights)
