"""The partial patch: its ends are the base and the unlearned model, and between them lies what a plain sum gives."""

import copy

import attacked
import pytest
import torch

from memunlearn.attacks.partial import PartialPatch
from memunlearn.errors import UserError
from memunlearn.models.baking import bake
from memunlearn.models.components import eligible_weights
from memunlearn.models.patches import apply_patch, capture_patch
from memunlearn.models.sparse_delta import attach, base_parameters, delta_parameters, detach
from memunlearn.scoring.score import score


@pytest.fixture(params=["sparse", "dense"])
def patch(reciting, request):
    """A patch of random numbers on three matrices."""
    generator = torch.Generator().manual_seed(11)
    indices = {}
    for weight in eligible_weights(reciting)[1:4]:
        flat = torch.randperm(weight.size, generator=generator)[: weight.size // 3].sort().values
        indices[weight.name] = flat if request.param == "sparse" else None
    attach(reciting, indices)
    with torch.no_grad():
        for delta in delta_parameters(reciting).values():
            delta.copy_(0.3 * torch.randn(delta.shape, generator=generator))
    captured = capture_patch(reciting, {})
    detach(reciting)
    return captured


def test_every_share_is_the_base_and_that_much_of_the_patch(reciting, patch, sets):
    with_patch = copy.deepcopy(reciting)
    apply_patch(with_patch, patch)
    unlearned = bake(with_patch)
    target = attacked.target_of(reciting, sets.forget, sets.clusters["forget"], base=reciting, patch=patch)
    with attacked.unchanged(reciting):
        attempts = attacked.attack(PartialPatch(points=5), unlearned, target)
    assert [attempt.settings["share"] for attempt in attempts] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [attempt.counts for attempt in attempts] == [False] * 4 + [True]
    assert [bool(attempt.note) for attempt in attempts] == [True] * 4 + [False]
    for attempt in attempts:
        model = copy.deepcopy(reciting)
        with torch.no_grad():
            for name, delta in patch.deltas.items():
                full = torch.zeros(base_parameters(model)[name].numel())
                flat = patch.indices[name]
                full[torch.arange(len(full)) if flat is None else flat] = delta.flatten()
                parameter = base_parameters(model)[name]
                parameter += attempt.settings["share"] * full.view_as(parameter)
        scores = score(model, sets.forget, batch_size=3)
        assert torch.equal(attempt.em, scores.em) and torch.allclose(attempt.nll, scores.nll, atol=1e-5)
    for attempt, model in ((attempts[0], reciting), (attempts[-1], unlearned)):
        scores = score(model, sets.forget, batch_size=3)
        assert torch.equal(attempt.em, scores.em) and torch.equal(attempt.nll, scores.nll)
    assert attempts[0].mean_em > attempts[-1].mean_em


def test_there_is_nothing_between_without_base_patch_or_unlearned_model(reciting, patch, sets):
    clusters = sets.clusters["forget"]
    whole = attacked.target_of(reciting, sets.forget, clusters, base=reciting, patch=patch)
    without = attacked.target_of(reciting, sets.forget, clusters)
    assert attacked.attack(PartialPatch(), reciting, whole, name="base") == []
    assert attacked.attack(PartialPatch(), reciting, whole, name="oracle") == []
    assert attacked.attack(PartialPatch(), reciting, without) == []


def test_a_single_point_is_refused():
    with pytest.raises(UserError, match=r"attacks\.partial\.points=1"):
        PartialPatch(points=1)
