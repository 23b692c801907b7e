"""Factors against loops with the same labels and with all of them; blocks of fused weights; EK-FAC in the same basis."""

import copy

import pytest
import tiny_architectures as tiny
import torch
from naive_curvature import drawn_labels, every_label, exact_block, naive_factors, rows_of, with_labels

from memunlearn.curvature.factors import Curvature, in_eigenbasis
from memunlearn.curvature.measure import measure_curvature, output_blocks, with_inputs_of
from memunlearn.curvature.passes import Reading
from memunlearn.errors import UserError
from memunlearn.models import attach, eligible_weights


@pytest.fixture(params=tiny.FAMILIES)
def model(request):
    return tiny.tiny_model(request.param)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6 * float(other.abs().max() + 1))


def dense(factors):
    """F [out x in, out x in] of one weight's matrix, from what its `times` gives for each unit change."""
    rows = sum(len(block.features) for block in factors.blocks)
    columns = len(factors.inputs)
    units = torch.eye(rows * columns).view(-1, rows, columns)
    return torch.stack([factors.as_matrix(factors.times(factors.as_matrix(unit).contiguous())).flatten() for unit in units])


@pytest.mark.parametrize("positions", ["continuation", "all"])
@pytest.mark.parametrize("family", tiny.EVERY)
def test_factors_equal_loops_with_the_same_labels(family, positions):
    model = tiny.tiny_model(family)
    rows, weights = rows_of(), eligible_weights(model)
    how = Reading(positions, batch_size=2, seed=4)
    curvature = measure_curvature(model, weights, rows, how)
    passes = with_labels(rows, positions, drawn_labels(model, rows, positions, seed=4))
    assert curvature.factors.keys() == {weight.name for weight in weights}
    assert (curvature.rows, curvature.scored) == (5, {"continuation": 4, "all": 6}[positions])
    for name, factors in curvature.factors.items():
        inputs, gradients = naive_factors(model, name, rows, positions, passes)
        close(factors.inputs, inputs)
        for block in factors.blocks:
            close(block.gradients, gradients[block.features][:, block.features])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_inputs_of_other_rows_are_added(model, batch_size):
    rows, others, weights = rows_of(), rows_of(seed=8, rows=3, prefix=2, continuation=6), eligible_weights(model)
    plain = measure_curvature(model, weights, rows).factors
    before = {name: known.inputs.clone() for name, known in plain.items()}
    found = with_inputs_of(model, dict(plain), others, 2.5, batch_size)
    passes = with_labels(others, "all", drawn_labels(model, others, "all", seed=0))
    assert found.keys() == plain.keys()
    for name, known in found.items():
        more, _ = naive_factors(model, name, others, "all", passes)
        close(known.inputs, before[name] + 2.5 * more)
        assert torch.equal(plain[name].inputs, before[name]), "what was given is changed"
        assert known.blocks is plain[name].blocks and known.output_axis == plain[name].output_axis
    assert len({id(known.inputs) for known in found.values()}) == len({id(known.inputs) for known in plain.values()})


def test_batches_do_not_matter(model):
    rows, weights = rows_of(), eligible_weights(model)
    one, other = (measure_curvature(model, weights, rows, Reading(batch_size=size, seed=1)) for size in (1, 16))
    for name in one.factors:
        close(one.factors[name].inputs, other.factors[name].inputs)
        for first, second in zip(one.factors[name].blocks, other.factors[name].blocks, strict=True):
            close(first.gradients, second.gradients)


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2"])
def test_factors_equal_loops_over_every_label(family):
    model, rows = tiny.tiny_model(family), rows_of(rows=2, prefix=2, continuation=2)
    weights = eligible_weights(model)[-3:]
    curvature = measure_curvature(model, weights, rows, Reading("continuation", "every"), all_weights=eligible_weights(model))
    passes = every_label(model, rows, "continuation")
    for name, factors in curvature.factors.items():
        inputs, gradients = naive_factors(model, name, rows, "continuation", passes)
        close(factors.inputs, inputs)
        for block in factors.blocks:
            close(block.gradients, gradients[block.features][:, block.features])


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2"])
def test_one_row_and_one_position_give_the_exact_fisher(family):
    """A and G cannot depend on each other where there is one input: F = E[g g'] (x) a a', the second derivative of the KL."""
    model, rows = tiny.tiny_model(family), rows_of(rows=1, prefix=1, continuation=1)
    weights = [weight for weight in eligible_weights(model) if len(weight.kind_names) == 1]
    curvature = measure_curvature(model, weights, rows, Reading("all", "every"), all_weights=eligible_weights(model))
    passes = every_label(model, rows, "all")
    for name, factors in curvature.factors.items():
        close(dense(factors), exact_block(model, name, rows, "all", passes))


def test_it_is_the_second_derivative_of_the_kl():
    """One row, one position: 1/2 tr(D' G D A) is the KL to second order."""
    model, rows = tiny.tiny_model("gpt_neo").double(), rows_of(rows=1, prefix=1, continuation=1)
    weight = eligible_weights(model)[-1]
    curvature = measure_curvature(model.float(), [weight], rows, Reading("all", "every"))
    model = model.double()
    change = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 1e-3
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.get_parameter(weight.name).add_(change)
        before, after = (m(input_ids=rows.ids[:, :1]).logits[0, 0].log_softmax(-1) for m in (model, changed))
    kl = (before.exp() * (before - after)).sum()
    predicted = curvature.predicted_kl({weight.name: change.float()})
    assert float(predicted) == pytest.approx(float(kl), rel=0.02) and float(kl) > 0


def error(approximate, exact):
    return float((approximate - exact).norm() / exact.norm())


@pytest.mark.parametrize("family", ["gpt_neo", "gpt2", "llama"])
def test_corrected_eigenvalues_are_never_further_from_the_fisher(family, record_property):
    """EK-FAC is the best in its basis, so it is no further off than K-FAC, which is another matrix in the same basis."""
    model, rows = tiny.tiny_model(family), rows_of(rows=4)
    weights = [weight for weight in eligible_weights(model) if len(weight.kind_names) == 1]
    how = Reading("continuation", batch_size=3, seed=5)
    plain, corrected = (measure_curvature(model, weights, rows, how, eigenvalues=e) for e in (False, True))
    passes = with_labels(rows, "continuation", drawn_labels(model, rows, "continuation", 5))
    better = 0
    for weight in weights:
        exact = exact_block(model, weight.name, rows, "continuation", passes)
        kfac, ekfac = (error(dense(c.factors[weight.name]), exact) for c in (plain, corrected))
        record_property(f"{weight.name} relative Frobenius error of K-FAC, EK-FAC", (kfac, ekfac))
        assert ekfac <= kfac + 1e-4
        better += ekfac < 0.99 * kfac
    assert better > len(weights) / 2


def test_the_eigenbasis_is_another_way_of_writing_the_same():
    model, rows = tiny.tiny_model("gpt2"), rows_of()
    weights = eligible_weights(model)
    factors = measure_curvature(model, weights, rows).factors
    generator = torch.Generator().manual_seed(0)
    for weight in weights:
        change = torch.randn(weight.shape, generator=generator)
        known = factors[weight.name]
        eigen = in_eigenbasis({weight.name: known})[weight.name]
        close(eigen.times(change), known.times(change))
        close(eigen.diagonal(), known.diagonal())


def test_the_diagonal_is_that_of_the_dense_matrix(model):
    weights = eligible_weights(model)[:3]
    curvature = measure_curvature(model, weights, rows_of(), all_weights=eligible_weights(model))
    for factors in curvature.factors.values():
        close(factors.as_matrix(factors.diagonal()).flatten(), dense(factors).diagonal())


def test_what_reads_the_same_input_shares_a_factor():
    model = tiny.tiny_model("llama")
    weights = eligible_weights(model)
    factors = measure_curvature(model, weights, rows_of()).factors
    of = {(w.layer, w.name.split(".")[-2]): factors[w.name].inputs for w in weights}
    for layer in range(tiny.LAYERS):
        assert of[layer, "q_proj"] is of[layer, "k_proj"] is of[layer, "v_proj"]
        assert of[layer, "gate_proj"] is of[layer, "up_proj"]
        assert of[layer, "q_proj"] is not of[layer, "o_proj"] and of[layer, "down_proj"] is not of[layer, "gate_proj"]


def test_each_output_feature_is_in_one_block(model):
    weights = eligible_weights(model)
    for weight in weights:
        features = torch.cat(output_blocks(weight, weights))
        out = weight.shape[0] if tiny_axis(model, weight) == 0 else weight.shape[1]
        assert sorted(features.tolist()) == list(range(out))


def tiny_axis(model, weight):
    from memunlearn.models.components import output_axis

    return output_axis(model.get_submodule(weight.name.rpartition(".")[0]))


@pytest.mark.parametrize(("family", "counts"), [("gpt2", (3, 1, 1, 1)), ("gpt_neox", (3, 1, 1, 1)), ("phi3", (3, 1, 2, 1))])
def test_fused_weights_have_a_factor_for_each_part(family, counts):
    weights = eligible_weights(tiny.tiny_model(family))
    first = [weight for weight in weights if weight.layer == 0]
    assert tuple(len(output_blocks(weight, weights)) for weight in first) == counts


def test_the_model_is_left_as_it_was(model):
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    next(model.parameters()).requires_grad_(False)
    flags[next(iter(flags))] = False
    measure_curvature(model, eligible_weights(model), rows_of())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) and parameter.requires_grad == flags[name] and parameter.grad is None
    assert not any(module._forward_hooks for module in model.modules())


def test_deltas_that_change_nothing_are_no_matter():
    model, rows = tiny.tiny_model("gpt_neo"), rows_of()
    plain = measure_curvature(model, eligible_weights(model), rows)
    attach(model, tiny.some_indices(model))
    with_deltas = measure_curvature(model, eligible_weights(model), rows)
    for name, factors in plain.factors.items():
        assert torch.equal(factors.inputs, with_deltas.factors[name].inputs)


def test_predicted_kl_is_half_the_quadratic_form_summed_over_weights():
    model = tiny.tiny_model("gpt2")
    weights = eligible_weights(model)
    curvature: Curvature = measure_curvature(model, weights, rows_of())
    changes = {w.name: torch.randn(w.shape, generator=torch.Generator().manual_seed(1)) for w in weights[:3]}
    expected = 0.0
    for name, change in changes.items():
        matrix = curvature.factors[name].as_matrix(change)
        for block in curvature.factors[name].blocks:
            part = matrix[block.features]
            expected += float(torch.trace(part.T @ block.gradients @ part @ curvature.factors[name].inputs)) / 2
    assert float(curvature.predicted_kl(changes)) == pytest.approx(expected, rel=1e-4)


def test_nothing_to_read_is_said():
    model = tiny.tiny_model("gpt_neo")
    with pytest.raises(UserError, match="no text to measure"):
        measure_curvature(model, eligible_weights(model), rows_of().select([]))
    for wrong in ({"positions": "some"}, {"labels": "best"}):
        with pytest.raises(UserError, match="is not known"):
            Reading(**wrong)
