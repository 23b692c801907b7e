"""Losses of some rows at a time against those of all rows together, value and gradient; what is never in memory."""

import copy
import dataclasses

import pytest
import torch
from steps import side_of
from test_losses import some_labels, some_logits
from torch import nn

from benchmarks.memory import MemoryAlive
from memunlearn.objectives.by_rows import by_rows, mean_kl, mean_nll, row_kl, row_nll_and_kl, rows_at_once
from memunlearn.objectives.ce_u import CEU
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.dpo import DPO
from memunlearn.objectives.edit_distilled import DistilledEdit
from memunlearn.objectives.entropy import Entropy
from memunlearn.objectives.grad_diff import GradDiff
from memunlearn.objectives.gradient_ascent import GradientAscent
from memunlearn.objectives.losses import kl, nll, token_kl, token_nll
from memunlearn.objectives.material import Side, StepMaterial
from memunlearn.objectives.npo import NPO
from memunlearn.objectives.pdu import PDU
from memunlearn.objectives.satimp import SatImp
from memunlearn.objectives.simnpo import SimNPO
from memunlearn.objectives.undial import Undial
from memunlearn.objectives.unlikelihood import Unlikelihood
from memunlearn.objectives.wga import WGA

EVERY = [
    *(CEU(), Unlearn(), Unlearn(max_token_nll=None), Edit(), Demote(), DPO(), DistilledEdit(original_weight=0.5), Entropy()),
    *(GradDiff(), GradientAscent(), NPO(), PDU(), SatImp(), SimNPO(), Undial(), Unlikelihood(), WGA()),
]
SHAPES = [(1, 1, 3, 2), (5, 3, 7, 11), (4, 6, 5, 61)]  # B, C, D, V


def behind_a_head(shape, seed, dtype=torch.float32):
    """A side whose logits are a head's; and what is differentiated by."""
    rows, length, width, vocabulary = shape
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(width, vocabulary, bias=False).requires_grad_(False)
    head.weight.data = torch.randn(vocabulary, width, generator=generator)
    states, base = (torch.randn(rows, length, width, generator=generator) for _ in range(2))
    return Side(
        rows=torch.arange(rows),
        labels=some_labels((rows, length, vocabulary), seed),
        states=states.requires_grad_(),
        head=head.to(dtype),
        vocabulary=vocabulary,
        protected=torch.zeros(rows, dtype=torch.bool),
        read_base_states=lambda: base,
    )


def one_at_a_time(monkeypatch, at_once=1):
    monkeypatch.setattr("memunlearn.objectives.by_rows.by_rows.__defaults__", (at_once,))


def sides_of(shape, seed):
    return [behind_a_head(shape, seed + number) for number in range(3)]


def results(objective, sides):
    """The four scalars and the total's gradients by the states of each side."""
    fresh = [dataclasses.replace(side) for side in sides]
    losses = objective(StepMaterial(forget=fresh[0], original=fresh[1], retain=fresh[2], deltas={}))
    gradients = torch.autograd.grad(losses.total, [side.states for side in sides], allow_unused=True)
    return [losses.forget_term, losses.retain_term, losses.forget_nll, losses.retain_kl, *gradients]


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "bf16-mixed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: type(objective).__name__)
def test_every_objective_gives_the_same_one_row_at_a_time(objective, shape, mixed, monkeypatch):
    sides = sides_of(shape, seed=5)
    seen = []
    sides[0].head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        together = results(copy.deepcopy(objective), sides)
        assert set(seen) == {shape[0]}
        seen.clear()
        one_at_a_time(monkeypatch)
        apart = results(copy.deepcopy(objective), sides)
        assert set(seen) == {1}
    assert any(value is not None and bool(value.abs().sum() > 0) for value in together[4:])
    for value, wanted in zip(apart, together, strict=True):
        if wanted is None:
            assert value is None
        else:
            torch.testing.assert_close(value, wanted, rtol=1e-2 if mixed else 1e-5, atol=1e-3 if mixed else 1e-6)


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "bf16-mixed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("at_once", [1, 70, 10**9])
def test_nll_and_kl_against_autograd_through_all_logits(shape, at_once, mixed, monkeypatch):
    one_at_a_time(monkeypatch, at_once)
    side = behind_a_head(shape, seed=2)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        values = mean_nll(side), mean_kl(side)
        naive = nll(side.logits, side.labels), kl(side.base_logits, side.logits)
    factors = torch.tensor([0.3, -2.0])  # what stands above is no 1
    gradient, wanted = (torch.autograd.grad((factors * torch.stack(pair)).sum(), side.states)[0] for pair in (values, naive))
    assert float(wanted.abs().sum()) > 0 and gradient.dtype == wanted.dtype
    within = {"rtol": 1e-2, "atol": 2e-3} if mixed else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(torch.stack(values), torch.stack(naive), **within)
    torch.testing.assert_close(gradient, wanted, **within)


def test_each_row_keeps_its_own_factor():
    """Also where a row's number counts differently from its neighbour's, such as behind a softplus."""
    side = behind_a_head((5, 3, 7, 11), seed=1)
    factors = torch.linspace(-1.0, 2.0, 5)
    rows = by_rows(lambda part: (token_nll(part.logits, part.labels).sum(1),), side, at_once=66)[0]
    naive = token_nll(side.logits, side.labels).sum(1)
    gradient, wanted = (torch.autograd.grad((factors * values).sum(), side.states)[0] for values in (rows, naive))
    torch.testing.assert_close(gradient, wanted)


def test_only_the_first_number_can_be_differentiated():
    nlls, kls = by_rows(row_nll_and_kl, behind_a_head((4, 3, 7, 11), seed=1), at_once=1)
    assert nlls.requires_grad and not kls.requires_grad


def test_rows_that_are_not_trained_are_only_read():
    side = behind_a_head((4, 3, 7, 11), seed=1)
    with torch.no_grad():
        assert not mean_kl(side).requires_grad
    assert not mean_kl(dataclasses.replace(side, states=side.states.detach())).requires_grad


@pytest.mark.parametrize(("row", "at_once", "rows"), [(10, 100, 10), (30, 100, 3), (101, 100, 1), (0, 100, 100)])
def test_as_many_rows_as_fit_and_one_at_least(row, at_once, rows):
    assert rows_at_once(row, at_once) == rows


def heads_run(side, losses, at_once):
    """How many rows the head was given in all, and the largest tensor that was made."""
    seen = []
    hook = side.head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    with MemoryAlive() as memory:
        by_rows(losses, side, at_once)[0].sum().backward()
    hook.remove()
    return sum(seen), memory


@pytest.mark.parametrize("losses", [row_kl, Demote().forget_rows], ids=["kl", "demote"])
def test_the_logits_of_all_rows_are_never_there_and_none_is_made_twice(losses):
    shape = rows, length, width, vocabulary = 12, 5, 4, 499
    at_once = 2 * length * vocabulary
    products, memory = heads_run(behind_a_head(shape, seed=3), losses, at_once)
    assert products == 2 * rows  # the current model's and the base model's
    row = 4 * length * vocabulary  # bytes of fp32
    assert memory.largest <= 2 * row
    together = heads_run(behind_a_head(shape, seed=3), losses, 10**9)[1]
    assert together.largest >= rows * row and memory.peak < together.peak / 4


def test_memory_does_not_grow_with_rows():
    peaks = [heads_run(behind_a_head((rows, 5, 4, 499), seed=3), row_kl, 2500)[1].peak for rows in (6, 24)]
    assert peaks[1] < 1.1 * peaks[0]


def test_logits_that_are_there_already_are_taken_as_they_are():
    logits, base = some_logits((4, 3, 7), torch.float32, seed=1), some_logits((4, 3, 7), torch.float32, seed=2).detach()
    side = side_of(logits, some_labels((4, 3, 7), seed=3), base)
    assert side.logits is logits and side.base_logits is base
    gradient, wanted = (torch.autograd.grad(value, logits)[0] for value in (mean_kl(side), token_kl(base, logits).mean()))
    torch.testing.assert_close(gradient, wanted)
