"""A run's ingredients on the tiny model that recites."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny_runs import quiet_trainer

from memunlearn.localization.weight_attribution import Gradient
from memunlearn.masks import TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.unlearning.ingredients import Ingredients


@pytest.fixture
def ingredients(reciting, preparation):
    """make(extra callbacks, model, trainer settings, **changes)."""

    def make(extra=(), model=reciting, trainer=None, **changes):
        given = Ingredients(
            model=model,
            weights=eligible_weights(model),
            preparation=preparation,
            strategy=TopAttribution(0.3),
            attribution=Gradient(),
            objective=Unlearn(1.0, 0.1),
            optimizer=partial(torch.optim.Adam, lr=1e-2, eps=1e-3),
            stop=None,
            make_trainer=quiet_trainer(8, extra, **(trainer or {})),
            batch_size=3,
            seed=7,
            mask_seed=5,
        )
        return replace(given, **changes)

    return make
