"""DPO against its formula over loops: value and gradient, on alternatives and originals."""

import math

import pytest
import torch
from steps import WITHIN, check_terms, side_of, some_side
from test_losses import mean_of, naive_log_p, naive_token_kl, naive_token_nll

from memunlearn.errors import UserError
from memunlearn.objectives.dpo import DPO
from memunlearn.objectives.material import Needs, StepMaterial

# (forget rows, retain rows, C, V)
SIZES = [(1, 1, 1, 2), (1, 3, 5, 7), (4, 2, 3, 61)]


def some_step(size, dtype):
    forget_rows, retain_rows, length, vocabulary = size
    forget, original = (some_side((forget_rows, length, vocabulary), dtype, seed) for seed in (3, 13))
    retain = some_side((retain_rows, length, vocabulary), dtype, seed=23)
    return StepMaterial(forget=forget, original=original, retain=retain, deltas={})


def log_odds(side, row):
    """log of p / p_base, each the product over the row's tokens."""
    tokens = zip(side.logits[row], side.base_logits[row], side.labels[row], strict=True)
    return sum(naive_log_p(z)[y] - naive_log_p(b)[y] for z, b, y in tokens)


def naive_term(step, beta):
    """-(2 / beta) log (1 / (1 + exp(-beta (the alternative's - the original's)))), a mean over rows."""
    values = []
    for row in range(len(step.forget.logits)):
        preferred = log_odds(step.forget, row) - log_odds(step.original, row)
        values.append(-2 / beta * torch.log(1 / (1 + torch.exp(-beta * preferred))))
    return sum(values) / len(values)


@pytest.mark.parametrize("dtype", WITHIN, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("weights", "beta"), [((0.1, 1.0), 0.1), ((2.0, 0.3), 0.7)], ids=str)
def test_value_and_gradient(weights, beta, size, dtype):
    step = some_step(size, dtype)
    retain_kl = mean_of(naive_token_kl(step.retain.base_logits, step.retain.logits))
    forget_nll = mean_of(naive_token_nll(step.forget.logits, step.forget.labels))
    expected = (weights[0] * naive_term(step, beta), weights[1] * retain_kl, forget_nll, retain_kl)
    sides = (step.forget, step.original, step.retain)
    check_terms(DPO(*weights, beta=beta)(step), expected, [side.logits for side in sides], dtype)


def test_a_step_against_the_gradient_raises_alternatives_and_lowers_originals():
    step = some_step((3, 1, 4, 11), torch.float64)
    sides = [step.forget, step.original]
    pulls = torch.autograd.grad(DPO(1.0, 0.0)(step).forget_term, [side.logits for side in sides])
    for side, pull, sign in zip(sides, pulls, (-1, 1), strict=True):
        before, after = (mean_of(naive_token_nll(logits, side.labels)) for logits in (side.logits, side.logits - 0.1 * pull))
        assert sign * (after - before) > 0.01


@pytest.mark.parametrize(("ahead", "pulls"), [(1.0, True), (400.0, False)])
def test_the_pull_fades_where_the_alternative_has_won(ahead, pulls):
    """ahead: nats of the alternative's log-ratio."""
    base, labels = torch.zeros(1, 1, 3), torch.tensor([[1]])
    logits = torch.tensor([[[-ahead, 0.0, -ahead]]], requires_grad=True)
    step = StepMaterial(
        forget=side_of(logits, labels, torch.tensor([[[0.0, -ahead, 0.0]]])),
        original=side_of(base, labels, base),
        retain=side_of(base, labels, base),
        deltas={},
    )
    losses = DPO(1.0, 0.0, beta=0.5)(step)
    assert bool(losses.total.isfinite())
    assert (float(torch.autograd.grad(losses.total, logits)[0].abs().max()) > 1e-3) == pulls


@pytest.mark.parametrize("ahead", [-1000.0, 1000.0])
def test_certain_and_impossible_tokens_stay_finite(ahead):
    step = some_step((1, 1, 2, 3), torch.float32)
    logits = (step.forget.logits.detach() * ahead).requires_grad_()
    given = StepMaterial(
        forget=side_of(logits, step.forget.labels, step.forget.base_logits),
        original=step.original,
        retain=step.retain,
        deltas={},
    )
    losses = DPO(1.0, 1.0)(given)
    assert bool(losses.total.isfinite()) and bool(torch.autograd.grad(losses.total, logits)[0].isfinite().all())


def test_the_base_model_is_indifferent():
    step = some_step((2, 1, 3, 7), torch.float64)
    same = [side_of(side.base_logits, side.labels, side.base_logits) for side in (step.forget, step.original)]
    given = StepMaterial(forget=same[0], original=same[1], retain=step.retain, deltas={})
    assert float(DPO(1.0, 0.0, beta=0.1)(given).forget_term) == pytest.approx(20 * math.log(2))


def test_it_asks_for_both_texts():
    assert DPO().needs == Needs(alternatives=True, originals=True, base_logits=("forget", "original"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"beta": 0.0}, "beta"), ({"replacements": 0}, "replacements"), ({"forget_weight": 0.0}, "forget_weight")],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(UserError, match=f"objective.{says}=0"):
        DPO(**settings)
