"""The cost model against models that are there."""

import pytest
import torch

from benchmarks.predict.costs import Rate, factor_bytes, scoring_flops, scoring_seconds, step_bytes, step_flops, step_seconds
from benchmarks.speed.sizes import SIZES, Lengths, Size, random_model, random_rows
from memunlearn.curvature.measure import measure_curvature
from memunlearn.models.components import eligible_weights
from memunlearn.models.sparse_delta import attach, delta_parameters
from memunlearn.objectives.by_rows import rows_at_once
from memunlearn.scoring.score import reference_states

LENGTHS = Lengths(50, 50)


def test_operations_are_those_of_the_formulas():
    size = SIZES["125m"]
    w, d, v, t, c = 12 * 12 * 768**2, 768, 50257, 99, 50
    assert scoring_flops(size, LENGTHS) == 2 * t * w + 2 * c * d * v
    assert step_flops(size, LENGTHS) == 6 * t * w + 6 * c * d * v


def test_seconds_are_operations_over_what_is_reached():
    rate = Rate(2e12, 0.5, 0.25)
    assert scoring_seconds(SIZES["30m"], LENGTHS, rate) == pytest.approx(scoring_flops(SIZES["30m"], LENGTHS) / 1e12)
    assert step_seconds(SIZES["30m"], LENGTHS, rate) == pytest.approx(step_flops(SIZES["30m"], LENGTHS) / 0.5e12)


@pytest.mark.parametrize("chosen", [1.0, 0.25])
def test_bytes_of_a_step_are_those_of_its_tensors(chosen):
    size, lengths = Size(2, 32, 4, 61), Lengths(7, 9)
    model = random_model(size)
    eligible = eligible_weights(model)
    weights = sum(tensor.numel() * 4 for name, tensor in model.named_parameters() if "wte" in name) + 4 * size.eligible
    indices = {w.name: None if chosen == 1 else torch.arange(0, w.shape[0] * w.shape[1], 4) for w in eligible}
    attach(model, indices)
    deltas = list(delta_parameters(model).values())
    optimizer = torch.optim.Adam(deltas)
    for delta in deltas:
        delta.grad = torch.ones_like(delta)
    optimizer.step()
    held = [*deltas, *(d.grad for d in deltas), *(i for i in indices.values() if i is not None)]
    held += [state[key] for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    found = step_bytes(size, lengths, rows=6, chosen=chosen, known_rows=5)
    assert found.delta == sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert found.weights == weights and found.effective == 4 * size.eligible
    _, states = reference_states(random_model(size), random_rows(size, lengths, 5))
    assert found.kept == states.hidden.numel() * 4
    assert found.on_device == found.weights + found.delta + found.effective + found.logits


def test_logits_are_of_as_many_rows_as_a_loss_takes_at_a_time():
    size, few, many = SIZES["125m"], 3, 64
    row = LENGTHS.continuation * size.vocabulary
    assert few < rows_at_once(row) < many
    logits = [step_bytes(size, LENGTHS, rows=rows, chosen=1.0, known_rows=1).logits for rows in (few, many, 2 * many)]
    assert logits == [5 * 4 * row * rows for rows in (few, rows_at_once(row), rows_at_once(row))]


def test_factors_take_what_is_said():
    size = Size(2, 32, 4, 61)
    model = random_model(size)
    factors = measure_curvature(model, eligible_weights(model), random_rows(size, Lengths(7, 9), 3)).factors
    held = {id(f.inputs): f.inputs for f in factors.values()}
    held |= {id(block.gradients): block.gradients for f in factors.values() for block in f.blocks}
    assert factor_bytes(size) == sum(tensor.numel() * 4 for tensor in held.values())
