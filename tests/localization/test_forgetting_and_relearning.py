"""Forgetting through chosen weights and relearning: masks hold, and both do what a loop by hand does."""

import copy
from dataclasses import replace

import pytest
import tiny_architectures as tiny
import torch
from torch.nn import functional

from memunlearn.localization.forgetting import Forgetting, forget, relearn
from memunlearn.localization.planting import Recipe, plant_paragraphs
from memunlearn.masks.plants import draw_plant
from memunlearn.masks.selection import select_all
from memunlearn.models import eligible_weights
from memunlearn.objectives.demote import Demote
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import reference_states, score

P, C = 4, 6
RECIPE = Forgetting(2.0, 2e-2, 60, 3, Demote(1.0, 0.1))


def rows_of(seed, rows):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


NEW, KEEP = rows_of(1, 2), rows_of(2, 5)


@pytest.fixture(scope="module")
def knows():
    """A tiny model that recites NEW, planted in one layer's MLP, and the plant's indices."""
    base = tiny.tiny_model("gpt_neo")
    indices = select_all(eligible_weights(base)).indices
    reference = reference_states(base, KEEP)[1]
    recipe = Recipe(levels=(1.0,), learning_rate=1e-2, max_steps=200, keep_weight=0.1, keep_batch=2)
    (state,) = plant_paragraphs(base, indices, NEW, keep=KEEP, reference=reference, recipe=recipe)
    assert state.outcome == "planted"
    return state.model, draw_plant("scattered", eligible_weights(base), 0.2, 3).mask.indices


def forgets(knows, recipe=RECIPE, seed=0):
    return forget(*knows, NEW, keep=KEEP, recipe=recipe, batch_size=4, seed=seed)


def log_p(model, ids):
    """[n, C, V]: a plain forward of the full rows."""
    return functional.log_softmax(model(input_ids=ids).logits[:, P - 1 : -1], -1)


def relearn_from(model, steps=(2, 5), learning_rate=3e-3):
    names = [weight.name for weight in eligible_weights(model)]
    taught, other = NEW.select([0]), NEW.select([1])
    return relearn(model, names, taught, other, steps=steps, learning_rate=learning_rate, batch_size=4)


def test_only_the_chosen_weights_move_and_the_model_is_left_as_it_is(knows):
    model, indices = knows
    before = copy.deepcopy(model.state_dict())
    model_after, one = forgets(knows)
    assert one.is_forgotten and 0 < one.steps < RECIPE.max_steps
    assert all(torch.equal(now, before[name]) for name, now in model.state_dict().items())
    moved = 0
    for name, now in model_after.state_dict().items():
        free = torch.zeros(now.numel(), dtype=torch.bool)
        if name in indices:
            free[indices[name]] = True
        changed = now.flatten() != before[name].flatten()
        assert not bool(changed[~free].any())
        moved += int(changed.sum())
    assert moved > 0.5 * sum(len(flat) for flat in indices.values())


def test_it_ends_at_the_first_step_whose_em_is_low_enough(knows):
    model, one = forgets(knows)
    assert float(one.em.double().mean()) <= RECIPE.forget_em
    assert torch.equal(score(model, NEW).em, one.em)
    _, early = forgets(knows, replace(RECIPE, max_steps=one.steps - 1))
    assert not early.is_forgotten and early.steps == one.steps - 1 and float(early.em.double().mean()) > 2.0


def test_what_is_forgotten_already_takes_no_step(knows):
    model, one = forgets(knows, replace(RECIPE, forget_em=float(C)))
    assert one.is_forgotten and one.steps == 0
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), knows[0].parameters(), strict=True))


def test_forgetting_is_adam_on_the_objective_by_hand(knows):
    """Three steps with all weights free, every keep row in each batch: plain modules, logits and Adam."""
    model = knows[0]
    indices = select_all(eligible_weights(model)).indices
    after, three = forget(
        model, indices, NEW, keep=KEEP, recipe=Forgetting(-1.0, 1e-3, 3, len(KEEP), Demote(0.4, 0.7, 1.5)), batch_size=4, seed=0
    )
    assert (three.steps, three.is_forgotten) == (3, False)
    naive = copy.deepcopy(model).requires_grad_(False)
    free = [naive.get_parameter(name).requires_grad_(True) for name in indices]
    optimizer = torch.optim.Adam(free, lr=1e-3)
    with torch.no_grad():
        z, kept = log_p(model, NEW.ids), log_p(model, KEEP.ids)
    wanted = torch.empty_like(z)
    for row in range(len(NEW)):
        leads = []
        for token in range(C):
            true = int(NEW.continuations[row, token])
            rest = [float(z[row, token, v]) for v in range(z.shape[-1]) if v != true]
            leads.append(float(z[row, token, true]) - max(rest))
        lower = max(0.0, sorted(leads)[(C - 1) // 2]) + 1.5
        logits = z[row].clone()
        logits[torch.arange(C), NEW.continuations[row]] -= lower
        wanted[row] = functional.log_softmax(logits, -1)
    for _ in range(3):
        optimizer.zero_grad()
        forget_kl = (wanted.exp() * (wanted - log_p(naive, NEW.ids))).sum(-1).mean()
        keep_kl = (kept.exp() * (kept - log_p(naive, KEEP.ids))).sum(-1).mean()
        (0.4 * forget_kl + 0.7 * keep_kl).backward()
        optimizer.step()
    for name in indices:
        torch.testing.assert_close(after.get_parameter(name), naive.get_parameter(name), rtol=1e-3, atol=2e-5)
    change = torch.cat([(naive.get_parameter(name) - model.get_parameter(name)).flatten() for name in indices])
    assert float(change.detach().abs().median()) > 1e-3


def test_the_same_seed_gives_the_same_model_and_another_draws_other_rows(knows):
    one, same, other = (forgets(knows, seed=seed)[0] for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_loss_that_is_no_number_ends_it_and_is_no_forgetting(knows):
    """Of broken logits the EM is 0, too."""
    _, one = forgets(knows, replace(RECIPE, learning_rate=1e30))
    assert one.steps == 1 and not one.is_forgotten and float(one.em.double().mean()) <= RECIPE.forget_em


def test_relearning_is_adamw_by_hand(knows):
    model, _ = forgets(knows)
    before = copy.deepcopy(model.state_dict())
    course = relearn_from(model)
    assert [one.steps for one in course] == [0, 2, 5]
    naive = copy.deepcopy(model).requires_grad_(False)
    free = [naive.get_parameter(weight.name).requires_grad_(True) for weight in eligible_weights(model)]
    optimizer = torch.optim.AdamW(free, lr=3e-3, weight_decay=0.01)
    taught, other = NEW.select([0]), NEW.select([1])
    for step in range(6):
        found = {one.steps: one for one in course}.get(step)
        if found is not None:
            for rows, scores in ((taught, found.taught), (other, found.other)):
                with torch.no_grad():
                    guess = log_p(naive, rows.ids)
                nll = -guess.gather(2, rows.continuations[..., None]).mean()
                assert float(scores.nll.mean()) == pytest.approx(float(nll), rel=1e-3)
                assert scores.em.tolist() == (guess.argmax(-1) == rows.continuations).long().cumprod(1).sum(1).tolist()
        loss = -log_p(naive, taught.ids).gather(2, taught.continuations[..., None]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(course[-1].taught.nll.mean()) < float(course[0].taught.nll.mean())
    assert all(torch.equal(now, before[name]) for name, now in model.state_dict().items())


def test_other_weights_are_not_relearned(knows):
    """Relearning through no more than one tensor teaches less than through all, and the model is left as it is."""
    model, _ = forgets(knows)
    name = eligible_weights(model)[0].name
    few = relearn(model, [name], NEW.select([0]), NEW.select([1]), steps=(5,), learning_rate=3e-3, batch_size=4)
    every = relearn_from(model)
    assert float(every[-1].taught.nll.mean()) < float(few[-1].taught.nll.mean()) < float(few[0].taught.nll.mean())
