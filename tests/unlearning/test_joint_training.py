"""One training: against a plain loop on a plain model, with masks that hold, and with losses that become NaN."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny_runs import (
    Poisoned,
    Recorder,
    alike,
    bits,
    deltas_of,
    naive_training,
    quiet_trainer,
    same,
    some_mask,
)

from memunlearn.masks import select_all
from memunlearn.models import bake, eligible_weights, is_attached
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.paragraphs.batches import PairedEpochs
from memunlearn.scoring.score import score
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import plain_trainer, unlearn

ADAM = partial(torch.optim.Adam, lr=1e-3, eps=1e-3)  # an eps far above rounding, so that tiny gradients agree too
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)


def fit(model, preparation, objective, optimizer, steps, mask=None, batch_size=2, seed=0, **settings):
    recorder = Recorder()
    make = quiet_trainer(steps, [recorder], **settings)
    trained = unlearn(
        model,
        mask or some_mask(model),
        preparation,
        objective,
        optimizer,
        stop=None,
        make_trainer=make,
        batch_size=batch_size,
        seed=seed,
    )
    return trained, recorder


def batches_of(preparation, batch_size, seed, steps):
    """Token ids of the first batches, across epochs."""
    rows, retain = preparation.loss_rows, preparation.baselines["retain_train"].paragraphs
    plan = PairedEpochs(
        forget_rows=len(rows), retain_rows=len(retain), forget_batch=batch_size, retain_batch=batch_size, seed=seed
    )
    batches = [batch for epoch in range(steps) for batch in plan.epoch(epoch)][:steps]
    return [(rows.ids[batch["forget"]], retain.ids[batch["retain"]]) for batch in batches]


@pytest.mark.parametrize("optimizer", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("whole", [False, True], ids=["some", "all"])
def test_unlearning_is_the_plain_loop(reciting, preparation, whole, optimizer):
    """Loss and deltas of each of six steps, in the second epoch too; the KL is weighted so that its gradient counts."""
    base = copy.deepcopy(reciting)
    mask = select_all(eligible_weights(reciting)) if whole else some_mask(reciting)
    objective = Unlearn(forget_weight=0.3, retain_weight=5.0, max_token_nll=None)
    trained, recorder = fit(reciting, preparation, objective, optimizer, 6, mask, seed=5)
    expected, losses = naive_training(base, mask.indices, batches_of(preparation, 2, 5, 6), -0.3, 5.0, optimizer)
    assert recorder.losses == pytest.approx(losses, rel=1e-3, abs=1e-5)
    alike(trained.patch.deltas, expected, within=0.02)
    assert max(float(delta.abs().max()) for delta in expected.values()) > 2e-3
    assert trained.steps == 6 and trained.kept_step is None and trained.stopped_because == "max_steps"


def test_an_edit_is_the_plain_loop_on_original_prefixes_and_alternatives(reciting, editing, sets):
    """published_code.md, 3: were the logits those of the original continuation, the first loss would differ already."""
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    trained, recorder = fit(reciting, editing, Edit(forget_weight=0.3, retain_weight=20.0), ADAM, 6, mask, seed=5)
    found = editing.alternatives
    alternatives = torch.cat([sets.forget.prefixes, found.paragraphs.continuations], 1)[found.found]
    assert torch.equal(alternatives, editing.loss_rows.ids)
    expected, losses = naive_training(base, mask.indices, batches_of(editing, 2, 5, 6), 0.3, 20.0, ADAM)
    assert recorder.losses == pytest.approx(losses, rel=1e-3, abs=1e-5)
    alike(trained.patch.deltas, expected, within=0.02)


@pytest.mark.parametrize("objective", [Unlearn(0.3, 2.0), Edit(0.3, 2.0)], ids=["unlearn", "edit"])
def test_the_first_gradient_is_that_of_the_weights(reciting, preparation, editing, objective):
    """SGD with a learning rate of 1: after one step a delta is the negative gradient of its weight."""
    prepared = editing if objective.needs.alternatives else preparation
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    plain_sgd = partial(torch.optim.SGD, lr=1.0)
    trained, recorder = fit(reciting, prepared, objective, plain_sgd, 1, mask)
    weight = 0.3 if objective.needs.alternatives else -0.3
    expected, losses = naive_training(base, mask.indices, batches_of(prepared, 2, 0, 1), weight, 2.0, plain_sgd)
    assert recorder.losses == pytest.approx(losses, rel=1e-4, abs=1e-6)
    alike(trained.patch.deltas, expected, within=1e-3)


def test_weights_outside_the_mask_are_bit_identical_under_weight_decay(reciting, preparation, sets):
    """published_code.md, 1, with the optimizer that shows it; the model forgets all the same."""
    before, mask = bits(reciting), some_mask(reciting, 0.05)
    nll = score(reciting, sets.forget).nll
    optimizer = partial(torch.optim.AdamW, lr=1e-2, weight_decay=1.0)
    trained, _ = fit(reciting, preparation, Unlearn(1.0), optimizer, 20, mask, batch_size=8)
    assert trained.steps == 20
    after = bits(bake(reciting))
    for name, was in before.items():
        moved = (after[name] != was).flatten().nonzero().flatten().tolist()
        chosen = mask.indices[name].tolist() if name in mask.indices else []
        assert set(moved) <= set(chosen)
        assert len(moved) >= 0.9 * len(chosen)
    assert same(bits(reciting), before)
    rise = float(score(reciting, sets.forget).nll.mean()) - float(nll.mean())
    kept = score(reciting, sets.retain_train, reference=preparation.baselines["retain_train"].states).kl
    assert rise > 0.5 and 0 < float(kept.mean()) < 0.25 * rise


def test_the_retain_term_keeps_what_it_is_given(_trained, sets, preparation, reciting):
    kept = {}
    for retain_weight in (0.0, 1.0):
        model = copy.deepcopy(reciting)
        fit(model, preparation, Unlearn(0.1, retain_weight), ADAM, 30, batch_size=8)
        rows = preparation.baselines["retain_train"]
        kept[retain_weight] = float(score(model, rows.paragraphs, reference=rows.states).kl.mean())
    assert kept[1.0] < 0.5 * kept[0.0]


def test_an_edit_makes_the_model_say_the_alternatives(reciting, editing):
    before = score(reciting, editing.loss_rows)
    fit(reciting, editing, Edit(1.0, 0.1), partial(torch.optim.Adam, lr=1e-2), 60, batch_size=8)
    after = score(reciting, editing.loss_rows)
    assert float(after.nll.mean()) < 0.5 * float(before.nll.mean()) and int(after.em.sum()) > int(before.em.sum())


@pytest.mark.parametrize("objective", [Unlearn(1.0, 1.0), Edit(1.0, 1.0)], ids=["unlearn", "edit"])
def test_accumulating_two_batches_is_one_of_twice_the_size(reciting, preparation, editing, objective):
    """Four forget and four retain rows: full batches only."""
    prepared = editing if objective.needs.alternatives else preparation
    four = copy.copy(prepared)
    retain = prepared.baselines["retain_train"].select(torch.arange(4))
    object.__setattr__(four, "loss_rows", prepared.loss_rows.select(torch.arange(4)))
    object.__setattr__(four, "baselines", {**prepared.baselines, "retain_train": retain})
    whole, parts = copy.deepcopy(reciting), copy.deepcopy(reciting)
    slow = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    big, big_steps = fit(whole, four, objective, slow, 4, batch_size=4)
    small, small_steps = fit(parts, four, objective, slow, 4, batch_size=2, accumulate_grad_batches=2)
    assert big.steps == small.steps == 4 and small_steps.steps == [0, 1, 1, 2, 2, 3, 3, 4] and big_steps.steps == [1, 2, 3, 4]
    for name, delta in big.patch.deltas.items():
        torch.testing.assert_close(small.patch.deltas[name], delta, rtol=0, atol=1e-6)
    assert max(float(delta.abs().max()) for delta in big.patch.deltas.values()) > 5e-4


def test_the_seed_decides_the_order_of_rows_and_nothing_else_is_random(reciting, preparation):
    runs = [fit(copy.deepcopy(reciting), preparation, Unlearn(), ADAM, 5, seed=seed)[0].patch for seed in (1, 1, 2)]
    assert same(runs[0].deltas, runs[1].deltas) and not same(runs[0].deltas, runs[2].deltas)


def test_the_model_carries_the_deltas_of_the_patch(reciting, preparation):
    mask = some_mask(reciting)
    trained, _ = fit(reciting, preparation, Unlearn(), ADAM, 3, mask)
    assert is_attached(reciting) and same(deltas_of(reciting), trained.patch.deltas)
    assert trained.patch.indices.keys() == mask.indices.keys()
    assert all(torch.equal(flat, mask.indices[name]) for name, flat in trained.patch.indices.items())


@pytest.mark.parametrize("rows", [(5, 7), (5, 3), (3, 6), (1, 7)], ids=str)
@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulating_takes_the_same_steps_where_rows_are_left_over(reciting, preparation, rows, accumulate):
    """The last step of an epoch has fewer rows, in fewer or smaller batches: weights are compared after three epochs."""
    forget, retain = (torch.arange(count) for count in rows)
    few = replace(
        preparation,
        loss_rows=preparation.loss_rows.select(forget),
        baselines={**preparation.baselines, "retain_train": preparation.baselines["retain_train"].select(retain)},
    )
    whole, parts = copy.deepcopy(reciting), copy.deepcopy(reciting)
    slow, objective = partial(torch.optim.SGD, lr=0.01, momentum=0.9), Unlearn(1.0, 5.0)
    size = 2 * accumulate
    steps = 3 * len(PairedEpochs(forget_rows=rows[0], retain_rows=rows[1], forget_batch=size, retain_batch=size, seed=0))
    big, _ = fit(whole, few, objective, slow, steps, batch_size=2 * accumulate)
    small, _ = fit(parts, few, objective, slow, steps, batch_size=2, accumulate_grad_batches=accumulate)
    assert big.steps == small.steps == steps
    alike(small.patch.deltas, big.patch.deltas, within=5e-3)


def test_mixed_precision_trains_fp32_deltas(reciting, preparation, sets):
    objective = Unlearn(1.0, 0.01)  # rounding, which the KL answers to after the first step, is to count little here
    exact, exact_steps = fit(copy.deepcopy(reciting), preparation, objective, SGD, 3, batch_size=8)
    mixed, mixed_steps = fit(reciting, preparation, objective, SGD, 3, batch_size=8, precision="bf16-mixed")
    assert all(delta.dtype == torch.float32 for delta in mixed.patch.deltas.values())
    assert mixed_steps.losses == pytest.approx(exact_steps.losses, abs=0.02) and mixed_steps.losses != exact_steps.losses
    one, other = (torch.cat([d.flatten() for d in patch.deltas.values()]) for patch in (exact.patch, mixed.patch))
    assert float(torch.cosine_similarity(one, other, dim=0)) > 0.99


def test_the_plain_trainer_follows_the_rule(reciting, preparation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = unlearn(reciting, some_mask(reciting), preparation, stop=StopRule(max_steps=2), make_trainer=plain_trainer)
    assert trained.steps == 2 and not list(tmp_path.iterdir())


# NaN: a step whose loss is not finite is not taken


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("with_rule", [False, True], ids=["no rule", "rule"])
def test_nan_keeps_the_deltas_of_the_last_finite_loss(reciting, preparation, with_rule, accumulate):
    rule = StopRule(every=1, forget_em=0.0, max_kl=100.0, max_steps=9) if with_rule else None
    recorder = Recorder()
    make = quiet_trainer(9, [recorder], accumulate_grad_batches=accumulate)
    objective = Poisoned(at=2 * accumulate + 1)  # the loss after two steps
    trained = unlearn(reciting, some_mask(reciting), preparation, objective, ADAM, stop=rule, make_trainer=make, batch_size=2)
    assert (trained.stopped_because, trained.steps, trained.kept_step) == ("nan", 2, 1)
    assert len(objective.calls) == 2 * accumulate + 1
    assert same(deltas_of(reciting), recorder.deltas[1]) and same(trained.patch.deltas, recorder.deltas[1])
    assert not same(recorder.deltas[0], recorder.deltas[1])


def test_nan_at_once_keeps_the_base_model(reciting, preparation):
    before = bits(reciting)
    trained = unlearn(
        reciting, some_mask(reciting), preparation, Poisoned(at=1), ADAM, stop=None, make_trainer=quiet_trainer(9), batch_size=2
    )
    assert (trained.stopped_because, trained.steps, trained.kept_step) == ("nan", 0, 0)
    assert all(not delta.any() for delta in trained.patch.deltas.values()) and same(bits(bake(reciting)), before)


@pytest.mark.parametrize("max_steps", [1, 5])
@pytest.mark.parametrize("with_rule", [False, True], ids=["no rule", "rule"])
def test_an_infinite_learning_rate_leaves_the_base_model(reciting, preparation, with_rule, max_steps):
    before = bits(reciting)
    rule = StopRule(every=1, max_steps=max_steps) if with_rule else None
    optimizer = partial(torch.optim.SGD, lr=float("inf"))
    trained = unlearn(
        reciting,
        some_mask(reciting),
        preparation,
        Unlearn(),
        optimizer,
        stop=rule,
        make_trainer=quiet_trainer(max_steps),
        batch_size=2,
    )
    assert (trained.stopped_because, trained.steps, trained.kept_step) == ("nan", 1, 0)
    assert all(bool(delta.isfinite().all()) for delta in trained.patch.deltas.values())
    assert same(bits(bake(reciting)), before)


def test_a_check_that_is_nan_ends_the_run_though_the_deltas_are_finite(reciting, preparation):
    """Where logits overflow, EM is 0: that must not pass for forgotten."""
    before, rule = bits(reciting), StopRule(every=1, forget_em=9.0, max_steps=5)
    recorder, optimizer = Recorder(), partial(torch.optim.SGD, lr=1e30)
    trained = unlearn(
        reciting,
        some_mask(reciting),
        preparation,
        Unlearn(),
        optimizer,
        stop=rule,
        make_trainer=quiet_trainer(extra=[recorder]),
        batch_size=2,
    )
    assert all(bool(delta.isfinite().all()) for delta in recorder.deltas[1].values())
    assert (trained.stopped_because, trained.steps, trained.kept_step) == ("nan", 1, 0)
    assert same(bits(bake(reciting)), before)
