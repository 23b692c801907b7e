from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from memunlearn.errors import UserError
from memunlearn.masks import (
    AllWeights,
    RandomWeights,
    TopAttribution,
    select_random,
    select_random_matched,
    select_top,
)
from memunlearn.models import Filter

CONF = Path(__file__).parents[2] / "conf" / "mask"


def unwanted():
    raise AssertionError("scores were computed although nothing needs them")


def config_of(name):
    """The group's config as the strategy gets it: `scope` is for the training command."""
    config = OmegaConf.load(CONF / f"{name}.yaml")
    for read_by_the_script in ("scope", "lr"):
        config.pop(read_by_the_script, None)
    return config


def same(one, other):
    return one.counts == other.counts and all(torch.equal(flat, other.indices[name]) for name, flat in one.indices.items())


def test_scores_are_computed_only_when_needed(weights, scores):
    assert AllWeights(layers=[0]).select(weights, unwanted, 0).k == sum(w.size for w in weights if w.layer == 0)
    assert same(RandomWeights(fraction=0.1).select(weights, unwanted, 4), select_random(weights, 0.1, seed=4))
    top = TopAttribution(0.1, heads=[1]).select(weights, lambda: scores, 0)
    assert same(top, select_top(scores, weights, 0.1, Filter(heads=[1])))
    matched = RandomWeights(fraction=0.1, match=True, heads=[1]).select(weights, lambda: scores, 0)
    assert matched.counts == top.counts and not same(matched, top)


def test_settings_are_passed_on(weights, scores):
    top = TopAttribution(0.1, selection="per_tensor").select(weights, lambda: scores, 0)
    assert same(top, select_top(scores, weights, 0.1, per_tensor=True))
    drawn = RandomWeights(fraction=0.1, selection="per_tensor", components=["q"]).select(weights, unwanted, 3)
    assert same(drawn, select_random(weights, 0.1, Filter(components=["q"]), seed=3, per_tensor=True))


@pytest.mark.parametrize("strategy", [TopAttribution, RandomWeights])
def test_settings_that_cannot_work_are_refused_before_anything_is_attributed(strategy):
    with pytest.raises(UserError, match="mask.selection=local"):
        strategy(fraction=0.1, selection="local")
    for fraction in (0, 1.5, float("nan"), "many"):
        with pytest.raises(UserError, match=f"mask.fraction={fraction}"):
            strategy(fraction=fraction)


@pytest.mark.parametrize("name", ["all", "gradient", "random"])
def test_every_config_chooses(weights, scores, name):
    strategy = instantiate(config_of(name))
    mask = strategy.select(weights, lambda: scores, 0)
    assert mask.k == (mask.eligible if name == "all" else round(0.05 * mask.eligible))


def test_a_config_with_lists_chooses(weights, scores):
    config = OmegaConf.merge(config_of("gradient"), {"layers": [1], "components": ["q", "mlp_in"]})
    mask = instantiate(config).select(weights, lambda: scores, 0)
    assert same(mask, select_top(scores, weights, 0.05, Filter([1], ["q", "mlp_in"])))


@pytest.mark.parametrize("selection", ["global", "per_tensor"])
def test_matched_weights_are_drawn_with_the_seed(weights, scores, selection):
    strategy = RandomWeights(fraction=0.1, match=True, selection=selection)
    drawn = {seed: strategy.select(weights, lambda: scores, seed) for seed in (0, 1, 2)}
    top = select_top(scores, weights, 0.1, per_tensor=selection == "per_tensor")
    for seed, mask in drawn.items():
        assert mask.counts == top.counts
        assert same(mask, strategy.select(weights, lambda: scores, seed))
        assert same(mask, select_random_matched(top, weights, seed=seed))
        assert all(not same(mask, other) for number, other in drawn.items() if number != seed)
