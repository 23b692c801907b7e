"""The plain loop takes the objective's own steps."""

import contextlib

import pytest
import torch

from benchmarks.speed.sizes import SIZES, Lengths, random_model, random_rows
from benchmarks.speed.two_models import TwoModels, demoted, kl
from memunlearn.models.components import eligible_weights
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.material import Side, StepMaterial

SIZE, LENGTHS = SIZES["tiny"], Lengths(7, 9)


def loop(chosen=None, every_token=True):
    model = random_model(SIZE)
    names = [weight.name for weight in eligible_weights(model)]
    return TwoModels(
        model,
        names,
        chosen,
        prefix=LENGTHS.prefix,
        learning_rate=1e-2,
        every_token=every_token,
        autocast=contextlib.nullcontext,
    )


def side(labels, logits, base):
    none = torch.zeros(len(labels), dtype=torch.bool)
    return Side.of_logits(
        rows=torch.arange(len(labels)), labels=labels, logits=logits, protected=none, read_base_logits=lambda: base
    )


def test_its_loss_is_that_of_demote():
    generator = torch.Generator().manual_seed(0)
    forget, retain, base_forget, base_retain = 3 * torch.randn(4, 2, 5, 11, generator=generator)
    labels = torch.randint(11, (2, 5), generator=generator)
    wanted = Demote()(
        StepMaterial(forget=side(labels, forget, base_forget), retain=side(labels, retain, base_retain), deltas={})
    ).total
    found = 0.2 * kl(demoted(base_forget, labels, 2.5), forget) + kl(base_retain, retain)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("every_token", [True, False])
def test_only_chosen_weights_move(every_token):
    name = eligible_weights(random_model(SIZE))[3].name
    plain = loop({name: torch.tensor([1, 5, 40])}, every_token)
    before = {n: p.clone() for n, p in plain.model.named_parameters()}
    rows = random_rows(SIZE, LENGTHS, 4).ids
    losses = [float(plain.step(rows[:2], rows[2:])) for _ in range(4)]
    moved = {n: (p != before[n]).flatten().nonzero().flatten().tolist() for n, p in plain.model.named_parameters()}
    assert {n: places for n, places in moved.items() if places} == {name: [1, 5, 40]}
    assert losses[-1] < losses[0]


def test_the_frozen_copy_stays():
    plain, rows = loop(), random_rows(SIZE, LENGTHS, 4).ids
    plain.step(rows[:2], rows[2:])
    fresh = random_model(SIZE)
    assert all(torch.equal(p, q) for p, q in zip(plain.frozen.parameters(), fresh.parameters(), strict=True))
    name = eligible_weights(fresh)[0].name
    assert not torch.equal(plain.model.get_parameter(name), fresh.get_parameter(name))


def test_logits_of_every_token_and_of_the_continuation_are_the_same():
    rows = random_rows(SIZE, LENGTHS, 3).ids
    every, kept = (loop(every_token=e)._logits(random_model(SIZE), rows) for e in (True, False))
    torch.testing.assert_close(every, kept)


def test_what_is_taught_is_lower_by_the_lead_and_the_margin():
    base = torch.tensor([[[5.0, 1.0, 0.0], [4.0, 2.0, 0.0], [0.0, 3.0, 1.0]]])
    labels = torch.tensor([[0, 0, 1]])
    # Leads of 4, 2 and 2: the median row is ahead by 2, and comes 1.5 nats behind.
    taught = demoted(base, labels, 1.5)
    assert taught.tolist() == [[[1.5, 1.0, 0.0], [0.5, 2.0, 0.0], [0.0, -0.5, 1.0]]]


def test_tokens_that_are_behind_already_are_lowered_by_the_margin_alone():
    base = torch.tensor([[[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]])
    assert demoted(base, torch.zeros(1, 3, dtype=torch.int64), 2.5)[..., 0].tolist() == [[-2.5, -2.5, -2.5]]


def test_kl_is_by_hand():
    reference, logits = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    # 1/2 sum of log(1/2) - log softmax([0, 1])
    other = torch.tensor([1.0, torch.e]).log() - torch.tensor(1 + torch.e).log()
    assert float(kl(reference, logits)) == pytest.approx(float((torch.tensor(0.5).log() - other).mean()))
    assert float(kl(logits, logits)) == 0.0


def test_steps_are_adams_own():
    plain, rows = loop(every_token=False), random_rows(SIZE, LENGTHS, 4).ids
    name = next(iter(plain.weights))
    before = plain.weights[name].detach().clone()
    plain.step(rows[:2], rows[2:])
    gradient = plain.weights[name].grad
    torch.testing.assert_close(plain.weights[name].detach(), before - 1e-2 * gradient / (gradient.abs() + 1e-8))
