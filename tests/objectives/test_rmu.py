"""RMU against its formula over loops, on hidden states: value and gradient."""

import pytest
import torch
from steps import side_of
from test_losses import mean_of, naive_token_kl, naive_token_nll, some_labels, some_logits

from memunlearn.errors import UserError
from memunlearn.objectives.material import Needs, StepMaterial
from memunlearn.objectives.rmu import RMU

# (forget rows, retain rows, C, D)
SIZES = [(1, 1, 1, 1), (1, 3, 5, 7), (4, 2, 3, 33)]
WITHIN = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def naive_direction(size, seed):
    entries = torch.rand(size, generator=torch.Generator().manual_seed(seed)).tolist()
    length = sum(x * x for x in entries) ** 0.5
    return [x / length for x in entries]


def naive_distance(states, targets):
    """Mean over tokens of |h - t|^2 / D."""
    values = [
        sum((h[i].double() - t[i]) ** 2 for i in range(len(h))) / len(h)
        for row, target_row in zip(states, targets, strict=True)
        for h, t in zip(row, target_row, strict=True)
    ]
    return sum(values) / len(values)


def some_step(size, dtype):
    forget_rows, retain_rows, length, width = size
    hidden, kept = some_logits((forget_rows, length, width), dtype, 1), some_logits((retain_rows, length, width), dtype, 2)
    base = some_logits((retain_rows, length, width), dtype, 3).detach()
    logits, retain_logits = some_logits((forget_rows, length, 5), dtype, 4), some_logits((retain_rows, length, 5), dtype, 5)
    reference, labels = some_logits((retain_rows, length, 5), dtype, 6).detach(), some_labels((forget_rows, length, 5))
    step = StepMaterial(
        forget=side_of(logits, labels, hidden=hidden),
        retain=side_of(retain_logits, some_labels((retain_rows, length, 5)), reference, kept, base),
        deltas={},
    )
    return step, hidden, kept, base


@pytest.mark.parametrize("dtype", WITHIN, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("weights", "steering", "seed"), [((1.0, 1.0), 10.0, 0), ((0.3, 40.0), 2.5, 7)])
def test_value_and_gradient(size, weights, steering, seed, dtype):
    step, hidden, kept, base = some_step(size, dtype)
    losses = RMU(*weights, steering=steering, seed=seed)(step)
    target = [steering * entry for entry in naive_direction(size[3], seed)]
    forget = naive_distance(hidden, [[target] * size[2]] * size[0])
    retain = naive_distance(kept, base.double())
    within = WITHIN[torch.float64 if dtype == torch.float64 else torch.float32]
    for value, expected in (
        (losses.forget_term, weights[0] * forget),
        (losses.retain_term, weights[1] * retain),
        (losses.forget_nll, mean_of(naive_token_nll(step.forget.logits, step.forget.labels))),
        (losses.retain_kl, mean_of(naive_token_kl(step.retain.base_logits, step.retain.logits))),
    ):
        torch.testing.assert_close(value.double(), expected.double(), rtol=within, atol=within)
    gradients = torch.autograd.grad(losses.total, [hidden, kept])
    references = torch.autograd.grad(weights[0] * forget + weights[1] * retain, [hidden, kept])
    for gradient, expected in zip(gradients, references, strict=True):
        assert float(expected.abs().sum()) > 0
        torch.testing.assert_close(gradient, expected, rtol=WITHIN[dtype], atol=WITHIN[dtype] * float(expected.abs().max()))
    assert not losses.forget_nll.requires_grad and not losses.retain_kl.requires_grad


def test_the_direction_is_a_fixed_unit_vector():
    directions = []
    for seed in (0, 0, 1):
        step, hidden, _, _ = some_step((2, 1, 3, 16), torch.float64)
        pull = torch.autograd.grad(RMU(1.0, 0.0, steering=5.0, seed=seed)(step).forget_term, hidden)[0]
        target = hidden.detach() - pull * hidden.numel() / 2
        assert torch.allclose(target, target[0, 0].expand_as(target))
        directions.append(target[0, 0] / 5.0)
    assert torch.equal(directions[0], directions[1]) and not torch.allclose(directions[0], directions[2], atol=0.01)
    assert all(float(u.norm()) == pytest.approx(1.0, rel=1e-6) and float(u.min()) > -1e-9 for u in directions)


def test_the_layer_is_the_middle_one_unless_it_is_said():
    assert RMU().needs == Needs(layer="middle", base_hidden=("retain",)) and RMU(layer=0).needs.layer == 0


@pytest.mark.parametrize(("name", "value"), [("steering", 0.0), ("layer", -1), ("layer", 1.5), ("layer", True)])
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UserError, match=f"objective.{name}="):
        RMU(**{name: value})
    with pytest.raises(UserError, match="objective.forget_weight="):
        RMU(0.0, 1.0)
