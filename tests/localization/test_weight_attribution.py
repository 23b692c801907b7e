"""Attributions against autograd on the whole set at once; docs/published_code.md, points 5 and 7."""

import copy

import pytest
import tiny_architectures as tiny
import torch
from torch.nn import functional

from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.passes import Reading
from memunlearn.errors import UserError
from memunlearn.localization.weight_attribution import (
    Contrastive,
    Fisher,
    Gradient,
    GradientTimesWeight,
    Preconditioned,
    attribute,
    check_attribution,
    nll_gradient,
    sampled_fisher,
)
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet

P, C = 4, 8
METHODS = [Gradient(), GradientTimesWeight(), Contrastive(), Fisher(), Preconditioned()]


def rows_of(seed, rows):
    return ParagraphSet(tiny.some_ids(seed, rows, P + C), P, tuple(f"row {i}" for i in range(rows)))


FORGET, RETAIN = rows_of(1, 5), rows_of(2, 7)


@pytest.fixture(params=tiny.FAMILIES)
def model(request):
    return tiny.tiny_model(request.param)


def names_of(model):
    return [weight.name for weight in eligible_weights(model)]


def naive_nll(model, ids, labels=None):
    """Mean over all rows and continuation tokens, from a plain forward of the full sequences."""
    logits = model(input_ids=ids).logits
    total, count = 0.0, 0
    for row in range(len(ids)):
        for i in range(P - 1, P + C - 1):
            label = ids[row, i + 1] if labels is None else labels[row][i - P + 1]
            total = total - functional.log_softmax(logits[row, i], -1)[label]
            count += 1
    return total / count


def naive_gradient(model, ids, labels=None):
    model = copy.deepcopy(model).requires_grad_(True)
    naive_nll(model, ids, labels).backward()
    return {name: model.get_parameter(name).grad for name in names_of(model)}


def close(one, other, **tolerance):
    assert one.keys() == other.keys() and one
    for name in other:
        torch.testing.assert_close(one[name], other[name], **(tolerance or {"rtol": 1e-3, "atol": 1e-6}))


@pytest.mark.parametrize("batch_size", [1, 3, 5, 16])
def test_gradient_is_that_of_the_whole_set_whatever_the_batches(model, batch_size):
    """published_code.md, 7. A last batch of another size counts by its rows."""
    close(nll_gradient(model, names_of(model), FORGET, batch_size), naive_gradient(model, FORGET.ids))


def test_gradient_is_absolute(model):
    scores = attribute(model, names_of(model), FORGET, RETAIN, method=Gradient(), batch_size=2)
    close(scores, {name: g.abs() for name, g in naive_gradient(model, FORGET.ids).items()})
    close(attribute(model, names_of(model), FORGET, RETAIN), scores, rtol=1e-4, atol=1e-6)


def test_gradient_is_not_that_of_one_batch_nor_the_mean_of_absolutes():
    model = tiny.tiny_model("gpt_neo")
    whole, first = (
        attribute(model, names_of(model), rows, RETAIN, method=Gradient(), batch_size=2)
        for rows in (FORGET, FORGET.select([0, 1]))
    )
    for name in names_of(model):
        assert not torch.allclose(whole[name], first[name], rtol=0.1)


def test_gradient_times_weight(model):
    scores = attribute(model, names_of(model), FORGET, RETAIN, method=GradientTimesWeight(), batch_size=2)
    expected = {name: (g * model.get_parameter(name)).abs().detach() for name, g in naive_gradient(model, FORGET.ids).items()}
    close(scores, expected)


def test_contrastive_is_forget_against_retain(model):
    """published_code.md, 5: the retain set's own gradients count; the KL's are zero."""
    scores = attribute(model, names_of(model), FORGET, RETAIN, method=Contrastive(), batch_size=3)
    g, r = naive_gradient(model, FORGET.ids), naive_gradient(model, RETAIN.ids)
    g_norm, r_norm = (sum(float(x.square().sum()) for x in grads.values()) ** 0.5 for grads in (g, r))
    close(scores, {name: g[name].abs() / g_norm - r[name].abs() / r_norm for name in g})
    everything = torch.cat([s.flatten() for s in scores.values()])
    plain = torch.cat([x.abs().flatten() for x in g.values()])
    assert bool((everything < 0).any())
    k = len(plain) // 20
    assert len(set(everything.topk(k).indices.tolist()) & set(plain.topk(k).indices.tolist())) < 0.9 * k
    swapped = attribute(model, names_of(model), RETAIN, FORGET, method=Contrastive(), batch_size=3)
    close(swapped, {name: -s for name, s in scores.items()})


def drawn_labels(model, paragraphs, seed):
    """The labels that the Fisher draws: [C] of each paragraph in turn, from one generator."""
    generator = torch.Generator().manual_seed(seed)
    labels = []
    for ids in paragraphs.ids:
        with torch.no_grad():
            logits = model(input_ids=ids[:-1].unsqueeze(0)).logits[0, P - 1 :]
        labels.append(torch.multinomial(logits.softmax(-1), 1, generator=generator).flatten())
    return labels


def naive_fisher(model, paragraphs, seed):
    labels = drawn_labels(model, paragraphs, seed)
    fisher = {name: torch.zeros_like(model.get_parameter(name)) for name in names_of(model)}
    for row in range(len(paragraphs)):
        for name, g in naive_gradient(model, paragraphs.ids[row : row + 1], [labels[row]]).items():
            fisher[name] = fisher[name] + C * g**2 / len(paragraphs)  # of C summed gradients, a token's share
    return fisher


def test_fisher_squares_the_gradient_of_each_paragraph(model):
    fisher = sampled_fisher(model, names_of(model), RETAIN, seed=4)
    close(fisher, naive_fisher(model, RETAIN, seed=4), rtol=1e-3, atol=1e-9)
    other = sampled_fisher(model, names_of(model), RETAIN, seed=5)
    assert all(not torch.allclose(fisher[name], other[name], rtol=0.05, atol=0) for name in fisher)


def test_fisher_is_the_curvature_of_the_kl_to_the_base_model():
    """In nats per token, as KL is given everywhere: the second derivative at the base model, by autograd of autograd."""
    model, name = tiny.tiny_model("gpt_neo").double(), "transformer.h.1.attn.attention.v_proj.weight"
    rows = RETAIN.select([0, 1])
    draws = [sampled_fisher(model, [name], rows, seed)[name] for seed in range(150)]
    mean = torch.stack(draws).mean(0).flatten()
    model.requires_grad_(False)
    weight = model.get_parameter(name).requires_grad_(True)
    now = model(input_ids=rows.ids).logits[:, P - 1 : P + C - 1].log_softmax(-1)
    base = now.detach()
    kl = (base.exp() * (base - now)).sum(-1).mean()
    (slope,) = torch.autograd.grad(kl, weight, create_graph=True)
    largest = mean.topk(5).indices
    curvature = torch.stack(
        [torch.autograd.grad(slope.flatten()[i], weight, retain_graph=True)[0].flatten()[i] for i in largest]
    )
    assert float(slope.detach().abs().max()) < 1e-9
    assert float(mean[largest].sum() / curvature.sum()) == pytest.approx(1, abs=0.15)  # C is 8


def test_fisher_labels_are_drawn_not_given(model):
    labels = drawn_labels(model, RETAIN, seed=4)
    assert sum(bool((drawn != ids[P:]).any()) for drawn, ids in zip(labels, RETAIN.ids, strict=True)) > 3
    own = drawn_labels(model, RETAIN, seed=4)
    assert all(torch.equal(one, two) for one, two in zip(labels, own, strict=True))


@pytest.mark.parametrize("quantile", [0.25, 0.5, 1.0])
def test_fisher_divides_by_curvature_and_its_quantile(model, quantile):
    scores = attribute(model, names_of(model), FORGET, RETAIN, method=Fisher(quantile), batch_size=2, seed=4)
    fisher, g = naive_fisher(model, RETAIN, seed=4), naive_gradient(model, FORGET.ids)
    values = sorted(float(value) for f in fisher.values() for value in f.flatten())
    damping = values[round(quantile * (len(values) - 1))]
    close(scores, {name: g[name] ** 2 / (fisher[name] + damping) for name in g}, rtol=2e-2, atol=1e-5)


def test_a_weight_without_curvature_does_not_score_infinity():
    model = tiny.tiny_model("gpt_neo")
    name = "transformer.h.1.mlp.c_proj.weight"
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[3] = 0  # a dead neuron: GELU(-50) is 0, so what reads it has no gradient
        model.transformer.h[1].mlp.c_fc.bias[3] = -50
    scores = attribute(model, [name], FORGET, RETAIN, method=Fisher(0.0))
    assert bool(scores[name].isfinite().all())
    assert float(scores[name][:, 3].max()) == 0.0 < float(scores[name][:, 4].min())


def test_an_edit_is_attributed_by_its_alternatives():
    """The loss rows are what is passed: the same prefixes with other continuations give other scores."""
    model = tiny.tiny_model("gpt_neo")
    alternatives = FORGET.with_continuations(tiny.some_ids(7, 5, C))
    scores = attribute(model, names_of(model), alternatives, RETAIN, method=Gradient(), batch_size=2)
    close(scores, {name: g.abs() for name, g in naive_gradient(model, alternatives.ids).items()})
    plain = attribute(model, names_of(model), FORGET, RETAIN, method=Gradient(), batch_size=2)
    assert all(not torch.allclose(scores[name], plain[name], rtol=0.1) for name in scores)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_the_model_is_left_as_it_was(method):
    model = tiny.tiny_model("gpt_neo")
    flags = {name: number % 3 != 0 for number, (name, _) in enumerate(model.named_parameters())}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(flags[name])
    before = copy.deepcopy(model.state_dict())
    names = names_of(model)[1::2]
    scores = attribute(model, names, FORGET, RETAIN, method=method, batch_size=2)
    assert list(scores) == names
    for name, score in scores.items():
        assert score.shape == model.get_parameter(name).shape and score.dtype == torch.float32 and not score.requires_grad
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_flags_come_back_after_an_error():
    model = tiny.tiny_model("gpt_neo")
    with pytest.raises(KeyError):
        attribute(model, ["nowhere.weight"], FORGET, RETAIN)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_mistakes_are_refused():
    model = tiny.tiny_model("gpt_neo")
    with pytest.raises(UserError, match="the forget set is empty"):
        attribute(model, names_of(model), FORGET.select(torch.zeros(5, dtype=torch.bool)), RETAIN)
    for quantile in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="attribution.quantile="):
            Fisher(quantile)


def test_what_cannot_be_an_attribution_is_told_before_any_work():
    class OfBefore:
        def __call__(self, model, names, forget, retain, batch_size, seed):
            return {}

    for wrong in (OfBefore(), "gradient", object()):
        with pytest.raises(UserError, match="cannot be called with one argument, what it is asked"):
            check_attribution(wrong)
    for method in METHODS:
        check_attribution(method)


def test_preconditioned_is_the_gradient_over_the_retain_sets_curvature(model):
    scores = attribute(model, names_of(model), FORGET, RETAIN, method=Preconditioned(0.1), batch_size=3, seed=4)
    factors = measure_curvature(model, eligible_weights(model), RETAIN, Reading(seed=4)).factors
    expected = {}
    for name, g in naive_gradient(model, FORGET.ids).items():
        known = factors[name]
        matrix = known.as_matrix(g).double()
        found = torch.empty_like(matrix)
        a = known.inputs.double()
        a = a + 0.1 * a.diagonal().mean() * torch.eye(len(a))
        for block in known.blocks:
            outputs = block.gradients.double()
            outputs = outputs + 0.1 * outputs.diagonal().mean() * torch.eye(len(outputs))
            found[block.features] = torch.linalg.solve(outputs, matrix[block.features]) @ torch.linalg.inv(a)
        expected[name] = known.as_matrix(found).abs().float()
    for name, score in scores.items():
        assert float((score - expected[name]).norm()) < 5e-3 * float(expected[name].norm())


def test_preconditioned_needs_a_damping():
    with pytest.raises(UserError, match="attribution.damping=0"):
        Preconditioned(0)
