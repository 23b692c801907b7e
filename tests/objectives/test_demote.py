"""Demote against its formula over loops: value and gradient; and where it is at rest."""

import math

import pytest
import torch
from steps import step_of
from test_losses import mean_of, naive_log_p, naive_token_kl, naive_token_nll, some_labels, some_logits

from memunlearn.errors import UserError
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.material import Needs

SIZES = [(1, 1, 1, 2), (1, 3, 5, 7), (4, 2, 3, 61)]  # forget rows, retain rows, C, V
WITHIN = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2}


def naive_strength(base_row, labels, margin):
    leads = []
    for z, y in zip(base_row, labels, strict=True):
        others = [float(value) for token, value in enumerate(z) if token != int(y)]
        leads.append(float(z[int(y)]) - max(others))
    return max(0.0, sorted(leads)[(len(leads) - 1) // 2]) + margin


def naive_term(logits, base, labels, margin):
    """sum_v q(v) (log q(v) - log p(v)), a mean over rows and positions."""
    values = []
    for row, base_row, row_labels in zip(logits, base, labels, strict=True):
        strength = naive_strength(base_row, row_labels, margin)
        for z, b, y in zip(row, base_row, row_labels, strict=True):
            wanted = [float(value) - strength * (token == int(y)) for token, value in enumerate(b)]
            total = math.log(sum(math.exp(value) for value in wanted))
            log_p = naive_log_p(z)
            values.append(sum(math.exp(value - total) * (value - total - log_p[v]) for v, value in enumerate(wanted)))
    return sum(values) / len(values)


def some_step(size, dtype):
    forget_rows, retain_rows, length, vocabulary = size
    forget, retain = (forget_rows, length, vocabulary), (retain_rows, length, vocabulary)
    logits, kept = some_logits(forget, dtype, seed=3), some_logits(retain, dtype, seed=5)
    base, reference = (some_logits(shape, dtype, seed).detach() for shape, seed in ((forget, 7), (retain, 6)))
    return logits, base, some_labels(forget, seed=4), kept, reference


@pytest.mark.parametrize("dtype", WITHIN, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("weights", "margin"), [((0.2, 1.0), 2.0), ((2.0, 0.3), 0.5)], ids=str)
def test_value_and_gradient(weights, margin, size, dtype):
    logits, base, labels, kept, reference = some_step(size, dtype)
    losses = Demote(*weights, margin)(step_of(logits, labels, kept, reference, base_logits=base))
    term, naive_kl = naive_term(logits, base, labels, margin), mean_of(naive_token_kl(reference, kept))
    within = WITHIN[torch.float64 if dtype == torch.float64 else torch.float32]
    for value, expected in (
        (losses.forget_term, weights[0] * term),
        (losses.retain_term, weights[1] * naive_kl),
        (losses.forget_nll, mean_of(naive_token_nll(logits, labels))),
        (losses.retain_kl, naive_kl),
    ):
        assert value.shape == () and value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(value.double(), expected.double(), rtol=within, atol=within)
    gradients = torch.autograd.grad(losses.total, [logits, kept])
    references = torch.autograd.grad(weights[0] * term + weights[1] * naive_kl, [logits, kept])
    for gradient, expected in zip(gradients, references, strict=True):
        largest = float(expected.abs().max())
        assert largest > 0
        torch.testing.assert_close(gradient, expected, rtol=WITHIN[dtype], atol=WITHIN[dtype] * largest)


def test_every_row_is_asked_for_as_much_as_the_model_is_sure_of_it():
    """At rest a row's median token comes after another one by the margin, and the odds of other tokens are as they were."""
    _, base, labels, kept, reference = some_step((3, 1, 5, 7), torch.float64)
    best = base.scatter(-1, labels.unsqueeze(-1), -torch.inf).amax(-1)
    lead = torch.tensor([[8.0], [3.0], [-4.0]]) + torch.tensor([0.4, -1.0, 0.0, 2.0, -0.2])
    base = base.scatter(-1, labels.unsqueeze(-1), (best + lead).unsqueeze(-1))
    strength = torch.tensor([8.0, 3.0, 0.0], dtype=torch.float64) + 2.0
    rest = base.scatter(-1, labels.unsqueeze(-1), (best + lead - strength[:, None]).unsqueeze(-1))
    rest = (rest + 5.0).requires_grad_()
    term = Demote(1.0, 0.0, 2.0)(step_of(rest, labels, kept, reference, base_logits=base)).forget_term
    assert float(term.detach()) == pytest.approx(0.0, abs=1e-9)
    assert float(torch.autograd.grad(term, rest)[0].abs().max()) < 1e-9


def test_it_stays_finite_where_a_token_is_certain():
    base = torch.tensor([[[300.0, 0.0, 1.0]]])
    logits = base.clone().requires_grad_()
    kept = torch.zeros(1, 1, 3)
    term = Demote(1.0, 0.0, 2.0)(step_of(logits, torch.tensor([[0]]), kept, kept, base_logits=base)).forget_term
    gradient = torch.autograd.grad(term, logits)[0]
    assert bool(term.isfinite()) and bool(gradient.isfinite().all()) and float(gradient[0, 0, 0]) > 0.5


def test_what_it_needs_and_refuses():
    assert Demote().needs == Needs(base_logits=("forget",))
    for margin in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="objective.margin="):
            Demote(margin=margin)
    with pytest.raises(UserError, match="objective.forget_weight"):
        Demote(forget_weight=0.0)
