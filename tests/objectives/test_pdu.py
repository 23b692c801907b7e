"""PDU against its formula over loops, batch after batch: value and gradient; its multiplier as a state."""

import pytest
import torch
from steps import WITHIN, check_terms, side_of, some_side
from test_losses import mean_of, naive_token_kl, naive_token_nll

from memunlearn.errors import UserError
from memunlearn.objectives.material import Needs, StepMaterial
from memunlearn.objectives.pdu import PDU

# (forget rows, retain rows, C, V)
SIZES = [(1, 1, 1, 2), (1, 3, 5, 7), (4, 2, 3, 61)]


def some_step(size, dtype, seed=3):
    forget_rows, retain_rows, length, vocabulary = size
    forget = some_side((forget_rows, length, vocabulary), dtype, seed, base=False)
    return StepMaterial(forget=forget, retain=some_side((retain_rows, length, vocabulary), dtype, seed + 10), deltas={})


def naive_flatness(logits):
    """(the largest logit - the mean of the logits)^2, a mean over tokens."""
    values = []
    for row in logits.double():
        for z in row:
            numbers = z.tolist()
            largest = [z[v] for v, x in enumerate(numbers) if x == max(numbers)]  # in bf16 there may be two
            values.append((sum(largest) / len(largest) - sum(z) / len(z)) ** 2)
    return sum(values) / len(values)


def naive_excess(side, tolerance):
    now, base = (mean_of(naive_token_nll(logits, side.labels)) for logits in (side.logits, side.base_logits))
    return now - (1 + tolerance) * base


@pytest.mark.parametrize("dtype", WITHIN, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("weights", "tolerance", "dual_step"), [((0.1, 1.0), 0.0, 1.0), ((2.0, 0.25), 0.2, 0.125)], ids=str)
def test_value_and_gradient_of_three_batches(weights, tolerance, dual_step, size, dtype):
    made, multiplier = PDU(*weights, tolerance=tolerance, dual_step=dual_step), weights[1]
    for seed in (3, 33, 63):
        step = some_step(size, dtype, seed)
        excess = naive_excess(step.retain, tolerance)
        retain_kl = mean_of(naive_token_kl(step.retain.base_logits, step.retain.logits))
        forget_nll = mean_of(naive_token_nll(step.forget.logits, step.forget.labels))
        expected = (weights[0] * naive_flatness(step.forget.logits), multiplier * excess, forget_nll, retain_kl)
        sides = (step.forget, step.retain) if multiplier > 0 else (step.forget,)
        check_terms(made(step), expected, [side.logits for side in sides], dtype)
        multiplier = max(0.0, multiplier + dual_step * float(excess.detach()))
        assert float(made.multiplier) == pytest.approx(multiplier, rel=1e-4, abs=1e-5)


def excess_of(nats):
    """A step whose retain NLL is so much larger than the base model's."""
    labels = torch.tensor([[1]])
    base = torch.tensor([[[0.3, -0.2, 0.9]]], dtype=torch.float64)
    log_p = base.log_softmax(-1)[0, 0, 1] - nats
    others = torch.log((1 - log_p.exp()) / 2)
    logits = torch.stack([others, log_p, others]).reshape(1, 1, 3)
    return StepMaterial(forget=side_of(base, labels), retain=side_of(logits, labels, base), deltas={})


def test_the_multiplier_rises_while_the_constraint_is_violated_and_is_never_below_0():
    made, seen = PDU(1.0, 0.5, tolerance=0.0, dual_step=2.0), []
    for nats in (0.1, 0.2, -0.3, -0.4, 0.05):
        made(excess_of(nats))
        seen.append(float(made.multiplier))
    assert seen == pytest.approx([0.7, 1.1, 0.5, 0.0, 0.1], abs=1e-6)


def test_a_tolerance_is_a_share_of_the_base_models_nll():
    """Violated by .1 nats, which one tolerance forgives."""
    base_nll = -float(torch.tensor([0.3, -0.2, 0.9]).log_softmax(-1)[1])
    for share, forgiven in ((0.05 / base_nll, False), (0.15 / base_nll, True)):
        made = PDU(1.0, 1.0, tolerance=share)
        made(excess_of(0.1))
        assert (float(made.multiplier) < 1.0) == forgiven


def test_its_state_goes_on_where_it_was():
    steps = [some_step((2, 3, 4, 7), torch.float32, seed) for seed in (3, 33, 63, 93)]
    whole, first, second = PDU(), PDU(), PDU()
    expected = [whole(step).total for step in steps]
    got = [first(step).total for step in steps[:2]]
    state = first.state_dict()
    for step in steps[:2]:
        first(step)  # what was handed out stays as it was
    second.load_state_dict(state)
    got += [second(step).total for step in steps[2:]]
    assert got == expected and len(set(map(float, got))) == 4
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_flat_logits_are_at_rest_whatever_their_height():
    logits = torch.full((2, 3, 7), 2.5, dtype=torch.float64, requires_grad=True)
    retain = some_step((1, 2, 3, 7), torch.float64).retain
    labels = torch.zeros(2, 3, dtype=torch.int64)
    losses = PDU(1.0, 0.0)(StepMaterial(forget=side_of(logits, labels), retain=retain, deltas={}))
    assert float(losses.forget_term) == 0 and not bool(torch.autograd.grad(losses.forget_term, logits)[0].any())


def test_certain_and_impossible_tokens_stay_finite():
    logits = torch.tensor([[[200.0, 0.0, 1.0], [0.5, -1000.0, 0.0]]], requires_grad=True)
    side = side_of(logits, torch.tensor([[0, 1]]), logits.detach().flip(-1))
    losses = PDU()(StepMaterial(forget=side, retain=side, deltas={}))
    assert bool(losses.total.isfinite()) and bool(torch.autograd.grad(losses.total, logits)[0].isfinite().all())


def test_settings():
    assert PDU() == PDU() and PDU() != PDU(dual_step=0.5) and PDU().needs == Needs()
    for name, value in (("dual_step", 0.0), ("tolerance", -0.1), ("tolerance", float("nan")), ("forget_weight", 0.0)):
        with pytest.raises(UserError, match=f"objective.{name}="):
            PDU(**{name: value})
