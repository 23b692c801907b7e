"""Curvature in the store: what a weight is counts, and not its numbers alone."""

from dataclasses import replace

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.caching.store import Store
from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.curvature.measure import output_blocks
from memunlearn.localization.weight_attribution import Preconditioned, attribute
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet


@pytest.mark.parametrize("what", ["curvature", "attribution"])
def test_the_same_matrix_in_other_blocks_is_another_entry(what, tmp_path):
    """model.patterns says which outputs are fused, and is no part of the model."""
    model, store = tiny.tiny_model("gpt2"), Store(tmp_path / "store")
    rows = ParagraphSet(tiny.some_ids(7, 5, 9), 4, tuple("abcde"))
    fused = eligible_weights(model)
    as_one = [replace(w, kinds=torch.full_like(w.kinds, KINDS.index("q"))) if len(w.kind_names) > 1 else w for w in fused]
    assert {len(output_blocks(w, fused)) for w in fused} == {1, 3} and {len(output_blocks(w, as_one)) for w in as_one} == {1}
    kept = BaseMeasurements.of(model, store)
    for weights, reused in ((fused, 0), (as_one, 0), (fused, 1), (fused[::-1], 2)):
        if what == "curvature":
            found = kept.curvature(model, weights, rows)
            assert all(len(found.factors[w.name].blocks) == len(output_blocks(w, weights)) for w in weights)
        else:
            names = [weight.name for weight in weights]
            attribute(model, names, rows, rows, method=kept.attribution(Preconditioned()), batch_size=4, weights=weights)
        assert len(store.reused) == reused
