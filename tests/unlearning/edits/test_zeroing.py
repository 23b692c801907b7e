"""Zeroing: a plain loop over the chosen weights."""

import copy

import pytest
import tiny_architectures as tiny
from patched import holds

from memunlearn.errors import UserError
from memunlearn.masks import AllWeights, RandomWeights, TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.unlearning.edits.zeroing import Zeroing
from memunlearn.unlearning.stopping import StopRule


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("strategy", [TopAttribution(0.1), RandomWeights(fraction=0.05), AllWeights(components=["v"])])
def test_chosen_weights_go_their_way_to_zero_and_no_other_moves(reciting, ingredients, preparation, scale, strategy):
    base = copy.deepcopy(reciting)
    mask = ingredients(model=base, strategy=strategy).mask_for(preparation.loss_rows, 5)
    outcome = Zeroing(scale).run(ingredients(strategy=strategy))
    after = holds(outcome, base, reciting, preparation)
    for name, parameter in base.named_parameters():
        chosen = {} if name not in mask.indices else mask.indices[name]
        chosen = set(range(parameter.numel()) if chosen is None else [int(place) for place in chosen])
        for place, (was, now) in enumerate(zip(parameter.flatten().tolist(), after[name].flatten().tolist(), strict=True)):
            if place not in chosen:
                assert now == was
            elif scale == 1:
                assert now == 0
            else:
                assert now == pytest.approx(0.75 * was, rel=1e-5)
    assert (outcome.k, outcome.eligible, outcome.steps, outcome.kept_step) == (mask.k, mask.eligible, 0, None)
    assert outcome.stopped_because == "max_steps" and outcome.trajectory == ()
    assert ("set to 0" if scale == 1 else "moved 0.25 of the way to 0") in outcome.done


def test_what_it_refuses(ingredients):
    for scale in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(UserError, match=r"protocol.scale=.* must be above 0 and at most 1"):
            Zeroing(scale)
    with pytest.raises(UserError, match="protocol=zeroing ends by itself and takes no stop rule: add stop=none"):
        Zeroing().run(ingredients(stop=StopRule()))


@pytest.mark.parametrize(
    ("family", "settings", "refused"),
    [
        ("qwen3", {}, True),
        ("qwen3", {"heads": [1]}, True),
        ("qwen3", {"components": ["v", "out", "mlp_in"]}, False),
        ("gemma3_text", {"components": ["k"]}, True),
        ("olmo2", {}, True),
        ("olmo2", {"heads": [1]}, False),  # a smaller q of one head makes those of the others larger
        ("llama", {}, False),
    ],
)
def test_a_scale_that_a_norm_takes_back_is_refused(family, settings, refused):
    weights = eligible_weights(tiny.tiny_model(family))
    for strategy in (AllWeights(**settings), RandomWeights(fraction=1.0, **settings)):
        Zeroing(1.0).check_weights(strategy, weights)
        if refused:
            with pytest.raises(UserError, match=r"protocol.scale=0.5: this model normalizes q and k .*mask.components=\[v,out"):
                Zeroing(0.5).check_weights(strategy, weights)
        else:
            Zeroing(0.5).check_weights(strategy, weights)
    Zeroing(0.5).check_weights(RandomWeights(fraction=0.1, **settings), weights)
