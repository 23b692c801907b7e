"""Planting: only the chosen weights move, and what is planted is recited by an ordinary model."""

import copy
from dataclasses import replace

import pytest
import tiny_architectures as tiny
import torch
from torch.nn import functional

from memunlearn.errors import UserError
from memunlearn.localization.planting import Recipe, plant_paragraphs
from memunlearn.masks.plants import draw_plant
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import reference_states, score

P, C = 4, 6
# With random output embeddings no loss is below 0.6 nats, whatever the blocks do.
RECIPE = Recipe(levels=(1.2, 1.6, 1.0), learning_rate=3e-2, max_steps=100, keep_weight=0.1, keep_batch=2)


def rows_of(seed, rows):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


NEW, KEEP = rows_of(1, 1), rows_of(2, 5)


def planted(model, indices, recipe=RECIPE, seed=0):
    return list(
        plant_paragraphs(model, indices, NEW, keep=KEEP, reference=reference_states(model, KEEP)[1], recipe=recipe, seed=seed)
    )


def gpt_neo_and_plant():
    base = tiny.tiny_model("gpt_neo").requires_grad_(True)
    return base, draw_plant("mlp", eligible_weights(base), 0.1, 1).mask.indices


def naive_nll(model, ids):
    """[n]: a plain forward of the full rows."""
    log_p = functional.log_softmax(model(input_ids=ids).logits, -1)
    return torch.stack([-log_p[row, P - 1 : -1].gather(1, ids[row, P:, None]).mean() for row in range(len(ids))])


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_levels_are_reached_through_the_plant_alone(family):
    base = tiny.tiny_model(family)
    before = copy.deepcopy(base.state_dict())
    name = {"gpt2": "mlp", "llama": "head"}.get(family, "scattered")
    mask = draw_plant(name, eligible_weights(base), 0.1, 1).mask
    states = planted(base, mask.indices)
    assert [state.level for state in states] == [1.6, 1.2, 1.0] and all(state.outcome == "planted" for state in states)
    assert [state.steps for state in states] == sorted({state.steps for state in states})
    assert states[-1].em.tolist() == [C]
    for state, lower in zip(states, (1.2, 1.0, 0.0), strict=True):
        assert lower < float(state.nll.mean()) <= state.level
        said = greedy_continuations(state.model, NEW.prefixes, C)[0]
        assert int((said == NEW.continuations[0]).long().cumprod(0).sum()) == int(state.em)
        torch.testing.assert_close(naive_nll(state.model, NEW.ids), state.nll, rtol=1e-3, atol=1e-4)
        assert state.model.state_dict().keys() == before.keys()
        for weight, now in state.model.state_dict().items():
            free = torch.zeros(now.numel(), dtype=torch.bool)
            if weight in mask.indices:
                flat = mask.indices[weight]
                free[slice(None) if flat is None else flat] = True
            assert torch.equal(now.flatten()[~free], before[weight].flatten()[~free])
            assert not free.any() or bool((now.flatten()[free] != before[weight].flatten()[free]).float().mean() > 0.5)
    assert all(torch.equal(now, before[weight]) for weight, now in base.state_dict().items())


def test_states_do_not_share_weights():
    base = tiny.tiny_model("gpt_neo")
    mask = draw_plant("mlp", eligible_weights(base), 0.1, 1).mask
    states = planted(base, mask.indices)
    nlls = [float(score(state.model, NEW).nll.mean()) for state in states]
    assert nlls == pytest.approx([float(state.nll.mean()) for state in states], rel=1e-3)
    assert len({round(nll, 6) for nll in nlls}) == 3


def test_a_level_that_is_not_reached_is_told():
    base = tiny.tiny_model("gpt_neo")
    indices = {eligible_weights(base)[0].name: torch.tensor([0, 5, 9])}
    states = planted(base, indices, Recipe((0.5, 0.1), 1e-2, 7, 1.0, 2))
    assert [(state.level, state.outcome, state.model, state.steps) for state in states] == [
        (0.5, "lowest level not reached", None, 7),
        (0.1, "lowest level not reached", None, 7),
    ]
    assert int(states[0].em.min()) < C and float(states[0].nll.mean()) > 0.5


def test_low_loss_is_not_enough_without_recital():
    """An easy paragraph can have a low NLL with a wrong first token: at the lowest level EM = C is asked for, too."""
    base, indices = gpt_neo_and_plant()
    recipe = Recipe((1e6,), 3e-2, 100, 0.0, 2)
    (state,) = planted(base, indices, recipe)
    assert state.outcome == "planted" and state.steps > 1 and state.em.tolist() == [C]
    (early,) = planted(base, indices, replace(recipe, max_steps=state.steps - 1))
    assert early.outcome == "not recited at the end" and early.model is None and int(early.em) < C


def test_a_planting_that_is_not_recited_has_no_model_at_any_level():
    """Though it went through the higher levels."""
    base, indices = gpt_neo_and_plant()
    recipe = Recipe((1.6, 1.2, 1.0), 3e-2, 100, 0.0, 2)
    last = planted(base, indices, recipe)[-1].steps
    states = planted(base, indices, replace(recipe, max_steps=last - 1))
    assert {(state.outcome, state.model, state.steps) for state in states} == {("lowest level not reached", None, last - 1)}


def test_each_level_is_its_first_step_and_needs_no_recital_above_the_lowest():
    """Against the whole course of the training, a model for every step."""
    base, indices = gpt_neo_and_plant()
    before = score(base, NEW)
    levels = (float(before.nll.mean()) - 0.01, 1.2, 1.0)
    states = planted(base, indices, Recipe(levels, 3e-2, 100, 0.0, 2))
    last = states[-1].steps
    course = {}
    for step in range(1, last + 1):
        (end,) = planted(base, indices, Recipe((1e-6,), 3e-2, step, 0.0, 2))
        course[step] = float(end.nll.mean())
    for state, level in zip(states, levels, strict=True):
        first = min(step for step, nll in course.items() if nll <= level)
        assert state.outcome == "planted" and state.steps == first
        assert float(state.nll.mean()) == pytest.approx(course[first], rel=1e-4)
    assert int(states[0].em) < C


def test_a_level_that_one_step_leads_past_is_passed_over():
    base, indices = gpt_neo_and_plant()
    free = Recipe((1.6, 1.0), 3e-2, 100, 0.0, 2)
    reached = planted(base, indices, free)[0]
    between = float(reached.nll.mean()) + 1e-4
    states = planted(base, indices, replace(free, levels=(between + 1e-4, between, 1.0)))
    assert [state.outcome for state in states] == ["passed over", "planted", "planted"]
    assert states[0].model is None and states[0].steps == states[1].steps == reached.steps
    assert float(states[0].nll.mean()) <= between


def test_the_base_model_is_no_planted_state():
    """A level above the base model's own loss: nothing has been planted there."""
    base, indices = gpt_neo_and_plant()
    states = planted(base, indices, Recipe((1e6, 1.0), 3e-2, 100, 0.0, 2))
    assert [(state.outcome, state.model is None) for state in states] == [("passed over", True), ("planted", False)]
    assert states[0].steps == 0


def test_planting_leaves_no_gradient_in_the_base_model():
    base, indices = gpt_neo_and_plant()
    assert all(parameter.requires_grad for parameter in base.parameters())
    assert planted(base, indices)[-1].steps > 0
    assert all(parameter.grad is None for parameter in base.parameters())


def test_keeping_other_text_holds_it():
    base = tiny.tiny_model("gpt_neo")
    mask = draw_plant("mlp", eligible_weights(base), 0.1, 1).mask
    reference = reference_states(base, KEEP)[1]
    drift = {}
    for weight in (0.0, 1.0):
        state = planted(base, mask.indices, Recipe((1.0,), 3e-2, 150, weight, 5))[0]
        drift[weight] = float(score(state.model, KEEP, reference=reference).kl.mean())
    assert drift[1.0] < 0.5 * drift[0.0]


def test_the_same_seed_gives_the_same_states():
    base = tiny.tiny_model("gpt2")
    mask = draw_plant("scattered", eligible_weights(base), 0.1, 1).mask
    one, same, other = (planted(base, mask.indices, seed=seed)[-1] for seed in (0, 0, 1))
    assert one.steps == same.steps and torch.equal(one.nll, same.nll)
    for a, b in zip(one.model.parameters(), same.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.nll, other.nll)


def test_a_model_with_deltas_is_refused():
    from memunlearn.models import attach

    base = tiny.tiny_model("gpt_neo")
    mask = draw_plant("mlp", eligible_weights(base), 0.1, 1).mask
    attach(base, mask.indices)
    with pytest.raises(UserError, match="already carries deltas"):
        planted(base, mask.indices)
