"""The error without the matrix is that of the matrix, in every layout."""

import pytest
import tiny_architectures as tiny
import torch

from benchmarks.curvature_error import errors, relative_error, row_gradients
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.passes import Reading
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet


@pytest.mark.parametrize("eigenvalues", [False, True])
@pytest.mark.parametrize("family", ["gpt_neo", "gpt2", "llama"])
def test_it_is_the_error_of_the_whole_matrix(family, eigenvalues):
    model = tiny.tiny_model(family)
    rows = ParagraphSet(tiny.some_ids(3, 5, 8), 3, tuple("abcde"))
    how, weights = Reading("continuation", batch_size=2, seed=1), eligible_weights(model)
    measured = measure_curvature(model, weights, rows, how, eigenvalues=eigenvalues)
    found = errors(model, weights[:2], rows, how)
    for weight in weights[:2]:
        gradients = row_gradients(model, weight, rows, how)
        assert gradients.shape == (5, *weight.shape)
        flat = gradients.flatten(1).double()
        exact = sum(torch.outer(g, g) for g in flat) / (5 * 5)
        factors = measured.factors[weight.name]
        units = torch.eye(flat.shape[1]).view(-1, *weight.shape)
        approximate = torch.stack([factors.times(unit).flatten() for unit in units]).double()
        naive = float((exact - approximate).norm() / exact.norm())
        assert relative_error(gradients, factors, measured.scored) == pytest.approx(naive, rel=1e-3)
        assert found[weight.name][eigenvalues] == pytest.approx(naive, rel=1e-3)
        assert found[weight.name][1] <= found[weight.name][0] + 1e-6
