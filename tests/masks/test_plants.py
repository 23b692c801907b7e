"""Plants are what they say, for every architecture: counted by hand from the shapes."""

from collections import Counter

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.masks.plants import PLANTS, draw_plant
from memunlearn.models import KINDS, eligible_weights, locate


def chosen(plant, weights):
    """(layer, kind, head) of each chosen weight."""
    found = Counter()
    for weight in weights:
        if weight.name in plant.mask.indices:
            flat = plant.mask.indices[weight.name]
            kinds, heads = locate(weight, torch.arange(weight.size) if flat is None else flat)
            found.update((weight.layer, KINDS[kind], head) for kind, head in zip(kinds.tolist(), heads.tolist(), strict=True))
    return found


@pytest.mark.parametrize("family", tiny.EVERY)
@pytest.mark.parametrize("seed", range(2))
def test_head_is_q_k_v_out_of_one_head_whole(family, seed):
    weights = eligible_weights(tiny.tiny_model(family))
    plant = draw_plant("head", weights, 0.1, seed)
    layer, head = (int(part.split()[1]) for part in plant.place.split(", "))
    kv_head = head * tiny.KV_HEADS[family] // tiny.HEADS
    whole = tiny.HEAD_SIZE * tiny.D
    assert chosen(plant, weights) == {
        (layer, kind, kv_head if kind in "kv" else head): whole for kind in ("q", "k", "v", "out")
    }
    assert plant.mask.k == 4 * whole
    for flat in plant.mask.indices.values():
        assert flat is None or bool((flat.diff() > 0).all())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_mlp_is_all_of_one_layer(family):
    weights = eligible_weights(tiny.tiny_model(family))
    plant = draw_plant("mlp", weights, 0.1, 3)
    layer = int(plant.place.split()[1])
    whole = tiny.MLP * tiny.D
    gates = 2 if family == "llama" else 1
    assert chosen(plant, weights) == {(layer, "mlp_in", -1): gates * whole, (layer, "mlp_out", -1): whole}


def test_scattered_is_exactly_the_fraction_all_over():
    weights = eligible_weights(tiny.tiny_model("gpt2"))
    plant = draw_plant("scattered", weights, 0.1, 0)
    assert plant.mask.k == round(0.1 * sum(weight.size for weight in weights))
    assert len({(layer, kind) for layer, kind, _ in chosen(plant, weights)}) == 2 * len(KINDS)
    with pytest.raises(UserError, match="not even one"):
        draw_plant("scattered", weights, 1e-9, 0)


@pytest.mark.parametrize("name", PLANTS)
def test_seeds_decide(name):
    weights = eligible_weights(tiny.tiny_model("gpt_neo"))
    drawn = [chosen(draw_plant(name, weights, 0.01, seed), weights) for seed in (0, 0, 1, 2, 3, 4, 5)]
    assert drawn[0] == drawn[1]
    assert any(drawn[0] != other for other in drawn[2:])
