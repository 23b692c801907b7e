"""Curvature where rows have short prefixes: that of the tokens that there are, a row alone after the other."""

import pytest
import tiny_architectures as tiny
import torch
from naive_curvature import naive_factors, with_labels

from memunlearn.curvature.measure import measure_curvature, with_inputs_of
from memunlearn.curvature.passes import Reading
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet
from memunlearn.scoring.forward import continuation_logits

P, C = 5, 4
LENGTHS = (5, 2, 1, 4)


@pytest.mark.parametrize("family", (*tiny.FAMILIES, "opt", "falcon"))
@pytest.mark.parametrize("positions", ["continuation", "all"])
def test_factors_equal_loops_over_the_rows_without_fill(family, positions):
    model = tiny.tiny_model(family)
    ids = tiny.some_ids(6, len(LENGTHS), P + C)
    for row, length in enumerate(LENGTHS):
        ids[row, : P - length] = FILL
    rows = ParagraphSet(ids, P, tuple(map(str, range(len(ids)))))
    weights = eligible_weights(model)
    curvature = measure_curvature(model, weights, rows, Reading(positions, batch_size=3, seed=4))
    generator = torch.Generator().manual_seed(4)
    inputs, gradients, read, labelled = {}, {}, 0, 0
    for row, length in enumerate(LENGTHS):
        one = ParagraphSet(ids[row, P - length :][None], length, ("alone",))
        scored = C if positions == "continuation" else P + C - 1
        with torch.no_grad():
            drawn = continuation_logits(model, ids[row : row + 1], scored)[0].softmax(-1)
        count = min(scored, length + C - 1)
        labels = torch.multinomial(drawn, 1, generator=generator).flatten()[-count:]
        read, labelled = read + length + C - 1, labelled + count
        for weight in weights:
            a, g = naive_factors(model, weight.name, one, positions, with_labels(one, positions, [labels.tolist()]))
            inputs[weight.name] = inputs.get(weight.name, 0) + a * (length + C - 1)
            gradients[weight.name] = gradients.get(weight.name, 0) + g * count
    for name, factors in curvature.factors.items():
        torch.testing.assert_close(factors.inputs, inputs[name] / read, rtol=1e-3, atol=1e-5)
        for block in factors.blocks:
            expected = (gradients[name] / labelled)[block.features][:, block.features]
            torch.testing.assert_close(block.gradients, expected, rtol=1e-3, atol=1e-6 * float(expected.abs().max() + 1))
    before = {name: known.inputs.clone() for name, known in curvature.factors.items()}
    for name, known in with_inputs_of(model, dict(curvature.factors), rows, 2.0, 2).items():
        torch.testing.assert_close(known.inputs, before[name] + 2 * inputs[name] / read, rtol=1e-3, atol=1e-5)
