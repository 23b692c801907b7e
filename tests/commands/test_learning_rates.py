"""The learning rate that comes with a mask, unless it is set."""

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from memunlearn.commands.configs import compose
from memunlearn.commands.learning_rates import SUITING, length_of_steps, lr_for_mask

RATES = {"all": 4e-4, "gradient": 2e-3, "random": 8e-3, "random_matched": 2e-3}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("mask", RATES)
def test_every_mask_has_the_rate_that_suits_it(mask, optimizer):
    cfg = compose("train", f"mask={mask}", f"optimizer={optimizer}")
    assert cfg.optimizer.lr == (0.1 if optimizer == "sgd" else RATES[mask])
    assert not {"lr", "scope"} & set(cfg.mask)
    assert compose("train", f"mask={mask}", f"optimizer={optimizer}", "optimizer.lr=0.5").optimizer.lr == 0.5


def test_random_weights_that_match_are_those_of_mask_random_matched():
    assert compose("train", "optimizer=adam", "mask=random", "mask.match=true").optimizer.lr == RATES["random_matched"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["optimizer=adam"], "optimizer.lr"),
        (["optimizer=kfac"], "optimizer.relative_norm, optimizer.max_kl"),
        (["optimizer=kfac", "optimizer.relative_norm=null"], "optimizer.max_kl"),
    ],
)
def test_what_makes_steps_shorter_is_named(settings, named):
    assert length_of_steps(compose("train", *settings).optimizer) == named


@pytest.mark.parametrize("mask", [None, {}, {"_target_": "my.Mask"}, {"_target_": "my.Mask", "match": False}])
def test_a_mask_of_one_s_own_has_that_of_the_gradient_mask(mask):
    assert lr_for_mask(mask) == RATES["gradient"]
    assert lr_for_mask(None if mask is None else OmegaConf.create(mask)) == RATES["gradient"]


def test_the_table_names_classes_that_are_there():
    assert all(callable(get_class(name).select) for name in SUITING)
