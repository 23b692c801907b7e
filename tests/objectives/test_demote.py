"""Demote: where it is at rest, and what it refuses; value and gradient stand in test_forgetting.py."""

import pytest
import torch
from steps import step_of
from test_losses import some_labels, some_logits

from memunlearn.errors import UserError
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.material import Needs


def test_every_row_is_asked_for_as_much_as_the_model_is_sure_of_it():
    """At rest a row's median token comes after another one by the margin, and the odds of other tokens are as they were."""
    base, kept = (some_logits(shape, torch.float64, seed).detach() for shape, seed in (((3, 5, 7), 7), ((1, 5, 7), 5)))
    labels, reference = some_labels((3, 5, 7), seed=4), kept
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
