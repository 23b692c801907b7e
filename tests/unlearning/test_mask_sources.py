"""What a mask may depend on: the loss rows, retain_train and its seed, and nothing that is reported or tuned by."""

from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import torch
from tiny_runs import quiet_trainer

from memunlearn.localization.weight_attribution import Contrastive, Fisher, Gradient, attribute
from memunlearn.masks import RandomWeights, TopAttribution, select_top
from memunlearn.models import eligible_weights
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.paragraphs.splits import SET_NAMES
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.per_paragraph import PerParagraph

HELD_OUT = [name for name in SET_NAMES if name not in ("forget", "retain_train")]


@pytest.fixture
def ingredients(reciting, preparation):
    def make(**changes):
        given = Ingredients(
            model=reciting,
            weights=eligible_weights(reciting),
            preparation=preparation,
            strategy=TopAttribution(0.1),
            attribution=Contrastive(),
            objective=Unlearn(1.0, 0.1),
            optimizer=partial(torch.optim.Adam, lr=1e-2),
            stop=None,
            make_trainer=quiet_trainer(),
            batch_size=3,
            seed=7,
            mask_seed=7,
        )
        return replace(given, **changes)

    return make


def with_other_text(preparation, name):
    """The same, but for a token in every row of this set."""
    baseline = preparation.baselines[name]
    ids = baseline.paragraphs.ids.clone()
    ids[:, -2] = 1 + (ids[:, -2] + 5) % 50
    other = replace(baseline, paragraphs=replace(baseline.paragraphs, ids=ids))
    return replace(preparation, baselines={**preparation.baselines, name: other})


def same(one, other):
    return one.counts == other.counts and all(torch.equal(flat, other.indices[name]) for name, flat in one.indices.items())


@pytest.mark.parametrize("method", [Contrastive(), Fisher()], ids=["contrastive", "fisher"])
def test_the_rows_against_which_is_attributed_are_those_of_retain_train(ingredients, preparation, method):
    given = ingredients(attribution=method)
    mask = given.mask_for(preparation.loss_rows, 3)
    names = [weight.name for weight in given.weights]
    retain_train = preparation.baselines["retain_train"].paragraphs
    scores = attribute(given.model, names, preparation.loss_rows, retain_train, method=method, batch_size=6, seed=3)
    assert same(mask, select_top(scores, given.weights, 0.1))
    for name in HELD_OUT:
        changed = ingredients(attribution=method, preparation=with_other_text(preparation, name))
        assert same(mask, changed.mask_for(preparation.loss_rows, 3)), f"the mask depends on {name}"
    changed = ingredients(attribution=method, preparation=with_other_text(preparation, "retain_train"))
    assert not same(mask, changed.mask_for(preparation.loss_rows, 3))


@pytest.mark.parametrize("scope", ["set", "trial"])
def test_the_masks_of_trials_do_not_depend_on_rows_that_are_reported(ingredients, preparation, scope):
    def chosen(preparation):
        protocol = PerParagraph(trials=2, steps=1, retain_batch=2, mask_scope=scope)
        return [patch.indices for patch in protocol.run(ingredients(preparation=preparation)).patches]

    before = chosen(preparation)
    for one, other in zip(before, chosen(with_other_text(preparation, "retain")), strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@dataclass
class Recording:
    """An attribution that keeps what it was given."""

    asked: list = field(default_factory=list)

    def __call__(self, asked):
        self.asked.append((asked.forget.ids, asked.retain.ids, asked.seed))
        return Gradient()(asked)


def test_an_attribution_is_given_loss_rows_retain_train_and_the_masks_seed(ingredients, preparation, sets):
    method = Recording()
    ingredients(attribution=method).mask_for(preparation.loss_rows, 11)
    [(forget, retain, seed)] = method.asked
    assert torch.equal(forget, sets.forget.ids) and torch.equal(retain, sets.retain_train.ids) and seed == 11


@pytest.mark.parametrize("match", [False, True], ids=["random", "random_matched"])
def test_random_masks_are_drawn_with_the_seed_that_is_asked_for(ingredients, preparation, match):
    given = ingredients(strategy=RandomWeights(fraction=0.1, match=match), attribution=Gradient())
    one, again, other = (given.mask_for(preparation.loss_rows, seed) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)
