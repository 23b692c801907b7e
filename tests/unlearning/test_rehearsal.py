"""Relearning in the loop against a plain model and PyTorch's own Adam."""

import copy
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_kfac import OBJECTIVE
from tiny_runs import C, P, alike, bits, deltas_of, quiet_trainer, same, some_mask
from torch.nn import functional

from memunlearn.errors import UserError
from memunlearn.masks import select_all
from memunlearn.models import attach, base_parameters, delta_parameters, eligible_weights
from memunlearn.models.baking import bake
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.objectives.pdu import PDU
from memunlearn.paragraphs.clusters import halves
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.rehearsal import Rehearsal
from memunlearn.unlearning.step_rows import StepRows
from memunlearn.unlearning.training import unlearn

REHEARSAL = Rehearsal(steps=3, lr=3e-3, weight=0.7)
BATCH = {"forget": torch.tensor([3, 1, 0, 2]), "retain": torch.tensor([0, 6]), "weights": torch.ones(2)}


def moved(model):
    """Deltas on all eligible weights, none of them zero."""
    attach(model, select_all(eligible_weights(model)).indices)
    generator = torch.Generator().manual_seed(3)
    for delta in delta_parameters(model).values():
        delta.data.copy_(0.02 * torch.randn(delta.shape, generator=generator))
    return delta_parameters(model)


def naive_nll(model, ids):
    return functional.cross_entropy(model(input_ids=ids).logits[:, P - 1 : P + C - 1].flatten(0, 1), ids[:, P:].flatten())


def naive_gradients(model, learnt, other, weight, steps=REHEARSAL.steps, lr=REHEARSAL.lr):
    """-NLL of the other rows (no bound, forget weight 1) where Adam on the learnt rows leads; by the eligible weight's name."""
    plain = bake(model).requires_grad_(False)
    trained = {w.name: base_parameters(plain)[w.name].requires_grad_(True) for w in eligible_weights(plain)}
    optimizer = torch.optim.Adam(trained.values(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        naive_nll(plain, learnt).backward()
        optimizer.step()
    there = -naive_nll(plain, other)
    gradients = torch.autograd.grad(there, list(trained.values()))
    return there.detach(), dict(zip(trained, gradients, strict=True))


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_term_and_its_gradient_are_those_of_a_plain_model_that_relearned(reciting, preparation, weight):
    objective = Unlearn(1.0, 1.0, max_token_nll=None)
    deltas, rows = moved(reciting), StepRows.of(preparation, objective.needs)
    clusters = preparation.baselines["forget"].clusters
    learnt, other = (BATCH["forget"][half] for half in halves(clusters[BATCH["forget"]], 5))
    ids = preparation.loss_rows.ids
    here, here_gradients = naive_gradients(reciting, ids[learnt], ids[BATCH["forget"]], weight, steps=0)
    there, there_gradients = naive_gradients(reciting, ids[learnt], ids[other], weight)
    before = {name: delta.detach().clone() for name, delta in deltas.items()}
    for delta in deltas.values():
        delta.grad = torch.ones_like(delta)  # of an earlier batch of the same step

    rehearsal = Rehearsal(steps=REHEARSAL.steps, lr=REHEARSAL.lr, weight=weight)
    found = rehearsal.comes_back(
        model=reciting, objective=objective, rows=rows, batch=BATCH, deltas=deltas, clusters=clusters, seed=5
    )
    assert all(torch.equal(delta.grad, torch.ones_like(delta)) for delta in deltas.values())
    reciting.zero_grad()
    own = objective(rows.material(reciting, BATCH, deltas)).forget_term
    term = rehearsal.mixed(own, found, deltas)
    term.backward()

    assert abs(float(there - here)) > 0.01, "relearning led nowhere, and the test would not tell"
    torch.testing.assert_close(term.detach(), (1 - weight) * here + weight * there, rtol=1e-4, atol=1e-5)
    expected = {name: (1 - weight) * here_gradients[name] + weight * there_gradients[name] for name in deltas}
    alike({name: delta.grad for name, delta in deltas.items()}, expected, within=1e-3)
    assert same({name: delta.detach() for name, delta in deltas.items()}, before)


@pytest.mark.parametrize(
    ("everything", "optimizer"),
    [(True, partial(torch.optim.Adam, lr=1e-3)), (False, partial(torch.optim.Adam, lr=1e-3)), (True, Kfac())],
)
def test_training_with_it_leaves_the_base_alone_and_differs_from_training_without(reciting, preparation, everything, optimizer):
    mask = select_all(eligible_weights(reciting)) if everything else some_mask(reciting)
    before, results = bits(reciting), []
    for rehearsal in (None, REHEARSAL, REHEARSAL):
        model = copy.deepcopy(reciting)
        made = unlearn(
            model,
            mask,
            preparation,
            OBJECTIVE,
            optimizer,
            stop=None,
            make_trainer=quiet_trainer(4),
            batch_size=3,
            rehearsal=rehearsal,
        )
        assert same(bits(model), before) and made.steps == 4
        results.append(deltas_of(model))
    assert same(results[1], results[2]) and not same(results[0], results[1])


def test_a_batch_of_one_cluster_keeps_its_own_term(reciting, preparation):
    deltas, rows = moved(reciting), StepRows.of(preparation, OBJECTIVE.needs)
    batch = {**BATCH, "forget": torch.tensor([0, 2])}  # rows of one cluster
    own = OBJECTIVE(rows.material(reciting, batch, deltas)).forget_term
    clusters = preparation.baselines["forget"].clusters
    given = dict(model=reciting, objective=OBJECTIVE, rows=rows, batch=batch, deltas=deltas, clusters=clusters, seed=0)
    found = REHEARSAL.comes_back(**given)
    assert found is None and REHEARSAL.mixed(own, found, deltas) is own


@pytest.mark.parametrize("settings", [{"steps": 0}, {"lr": 0.0}, {"weight": 0.0}, {"weight": 1.5}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match=f"rehearsal.{next(iter(settings))}={next(iter(settings.values()))}"):
        Rehearsal(**settings)


def test_objectives_that_it_does_not_suit_are_refused(reciting, preparation):
    with pytest.raises(UserError, match="Edit is not given it"):
        REHEARSAL.check(Edit())
    with pytest.raises(UserError, match="PDU remembers each"):
        REHEARSAL.check(PDU())


def test_resumed_training_draws_the_halves_that_it_would_have_drawn(reciting, preparation, tmp_path):
    def trained(steps, resume_from=None, keep=False):
        model = copy.deepcopy(reciting)
        saved = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=2, save_top_k=-1)
        unlearn(
            model,
            select_all(eligible_weights(model)),
            preparation,
            OBJECTIVE,
            partial(torch.optim.Adam, lr=1e-3),
            stop=None,
            make_trainer=quiet_trainer(steps, [saved] if keep else []),
            batch_size=3,
            rehearsal=REHEARSAL,
            resume_from=resume_from,
        )
        return deltas_of(model)

    whole = trained(4)
    trained(2, keep=True)
    assert same(trained(4, resume_from=tmp_path / "last.ckpt"), whole)
