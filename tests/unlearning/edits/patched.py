"""What every edit must leave: a patch that is the change, and an outcome that is what the patched model does."""

import copy

import pytest
import torch
from tiny_runs import bits, same

from memunlearn.models import apply_patch, bake, count_per_component, eligible_weights, is_attached
from memunlearn.scoring.score import score


def holds(outcome, base, model, preparation):
    """base: a plain copy from before. Returns the patched model's plain weights by name."""
    (patch,) = outcome.patches
    patched = copy.deepcopy(base)
    apply_patch(patched, patch)
    for name, found in outcome.sets.items():
        after = score(patched, found.paragraphs, reference=preparation.baselines[name].states)
        assert torch.equal(found.after.scores.em, after.em)
        torch.testing.assert_close(found.after.scores.kl, after.kl, rtol=1e-3, atol=1e-6)
    assert outcome.sets.keys() == {"forget", "bystander", "near", "retain"} and outcome.alternatives is None
    assert outcome.k == patch.k == sum(outcome.per_component.values())
    assert outcome.per_component == count_per_component(patch.indices, eligible_weights(base))
    forget = outcome.sets["forget"].after.scores.em.double().mean()
    assert outcome.kept_check.forget_em == pytest.approx(float(forget))
    assert patch.roles == preparation.roles and outcome.done and not outcome.done.endswith(".")
    assert is_attached(model) and same(bits(model), bits(base)) and same(bits(bake(model)), bits(bake(patched)))
    return dict(bake(patched).named_parameters())
