"""The distilled edit against its formula over loops: value and gradient, with and without originals; where it rests."""

import math

import pytest
import torch
from steps import WITHIN, check_terms, side_of, some_side
from test_losses import mean_of, naive_log_p, naive_token_kl, naive_token_nll

from memunlearn.errors import UserError
from memunlearn.objectives.edit_distilled import DistilledEdit
from memunlearn.objectives.material import Needs, StepMaterial

# (forget rows, retain rows, C, V)
SIZES = [(1, 1, 1, 2), (1, 3, 5, 7), (4, 2, 3, 61)]


def some_step(size, dtype, originals):
    forget_rows, retain_rows, length, vocabulary = size
    forget = some_side((forget_rows, length, vocabulary), dtype, seed=3)
    original = some_side((forget_rows, length, vocabulary), dtype, seed=13) if originals else None
    retain = some_side((retain_rows, length, vocabulary), dtype, seed=23)
    return StepMaterial(forget=forget, original=original, retain=retain, deltas={})


def naive_distillation(side, change):
    """- sum_v q(v) log p(v), q the base model's distribution with the label's logit changed."""
    values = []
    for row, base_row, labels in zip(side.logits, side.base_logits, side.labels, strict=True):
        for z, b, y in zip(row, base_row, labels, strict=True):
            changed = [float(b[v]) + (change if v == int(y) else 0.0) for v in range(len(b))]
            total = sum(math.exp(x) for x in changed)
            values.append(-sum(math.exp(changed[v]) / total * naive_log_p(z)[v] for v in range(len(b))))
    return sum(values) / len(values)


@pytest.mark.parametrize("dtype", WITHIN, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("original_weight", [0.0, 0.4])
@pytest.mark.parametrize(("weights", "strength"), [((0.1, 1.0), 10.0), ((2.0, 0.3), 1.5)], ids=str)
def test_value_and_gradient(weights, strength, original_weight, size, dtype):
    step = some_step(size, dtype, originals=original_weight > 0)
    term, trained = naive_distillation(step.forget, strength), [step.forget.logits, step.retain.logits]
    if step.original is not None:
        term = term + original_weight * naive_distillation(step.original, -strength)
        trained.append(step.original.logits)
    retain_kl = mean_of(naive_token_kl(step.retain.base_logits, step.retain.logits))
    forget_nll = mean_of(naive_token_nll(step.forget.logits, step.forget.labels))
    expected = (weights[0] * term, weights[1] * retain_kl, forget_nll, retain_kl)
    made = DistilledEdit(*weights, strength=strength, original_weight=original_weight)
    check_terms(made(step), expected, trained, dtype)


def test_it_is_at_rest_where_only_the_alternatives_token_came():
    """Where `Edit` would go on: the alternative is said with that margin, and what else is said is as it was."""
    step = some_step((2, 1, 3, 7), torch.float64, originals=False)
    side = step.forget
    raised = side.base_logits.scatter_add(-1, side.labels.unsqueeze(-1), torch.full((2, 3, 1), 4.0, dtype=torch.float64))
    rest = (raised + 3.0).requires_grad_()
    given = StepMaterial(forget=side_of(rest, side.labels, side.base_logits), retain=step.retain, deltas={})
    losses = DistilledEdit(1.0, 0.0, strength=4.0)(given)
    assert float(torch.autograd.grad(losses.total, rest)[0].abs().max()) < 1e-12
    assert float(losses.forget_nll) > 0.05  # and not because the alternative's probability is 1


def test_a_step_against_the_gradient_edits():
    step = some_step((3, 2, 4, 11), torch.float64, originals=True)
    made = DistilledEdit(1.0, 0.0, strength=4.0, original_weight=1.0)
    sides = [
        side_of(side.base_logits.clone().requires_grad_(), side.labels, side.base_logits)
        for side in (step.forget, step.original)
    ]
    step = StepMaterial(forget=sides[0], original=sides[1], retain=step.retain, deltas={})
    pulls = torch.autograd.grad(made(step).forget_term, [side.logits for side in sides])
    for side, pull, sign in zip(sides, pulls, (-1, 1), strict=True):
        before, after = (mean_of(naive_token_nll(logits, side.labels)) for logits in (side.logits, side.logits - pull))
        assert sign * (after - before) > 0.01


@pytest.mark.parametrize("odds", [200.0, -1000.0])
def test_certain_and_impossible_tokens_stay_finite(odds):
    logits = torch.tensor([[[odds, 0.0, 1.0], [0.5, odds, 0.0]]], requires_grad=True)
    side = side_of(logits, torch.tensor([[0, 1]]), logits.detach().flip(-1))
    losses = DistilledEdit(original_weight=1.0)(StepMaterial(forget=side, original=side, retain=side, deltas={}))
    assert bool(losses.total.isfinite()) and bool(torch.autograd.grad(losses.total, logits)[0].isfinite().all())


def test_originals_are_asked_for_only_where_they_count():
    assert DistilledEdit().needs == Needs(alternatives=True, base_logits=("forget",))
    with_originals = Needs(alternatives=True, originals=True, base_logits=("forget", "original"))
    assert DistilledEdit(original_weight=0.5).needs == with_originals


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"strength": 0.0}, "objective.strength=0.0 must be above 0"),
        ({"original_weight": -1.0}, "objective.original_weight=-1.0 must be 0 or more"),
        ({"original_weight": float("nan")}, "objective.original_weight=nan"),
        ({"replacements": 0}, "objective.replacements=0"),
        ({"forget_weight": 0.0}, "objective.forget_weight=0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        DistilledEdit(**settings)
