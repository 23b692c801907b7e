import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memunlearn.errors import UserError
from memunlearn.masks import Mask, select_all, select_random, select_random_matched, select_top
from memunlearn.models import Filter, count_per_component, passing_positions

FILTERS = [Filter(), Filter(layers=[1]), Filter(components=["k", "mlp_out"]), Filter(heads=[0, 2])]
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
fractions = st.floats(1e-3, 1.0)


def expand(indices, weights):
    """Every chosen (tensor, flat index) in one set."""
    sizes = {weight.name: weight.size for weight in weights}
    return {(n, i) for n, flat in indices.items() for i in (range(sizes[n]) if flat is None else flat.tolist())}


def check(mask, weights, filter, k):
    eligible = expand(passing_positions(weights, filter), weights)
    chosen = expand(mask.indices, weights)
    assert mask.eligible == len(eligible)
    assert mask.k == len(chosen) == k
    assert chosen <= eligible
    assert sum(count_per_component(mask.indices, weights).values()) == k
    for name, flat in mask.indices.items():
        if flat is not None:
            assert flat.dtype == torch.int64 and flat.device.type == "cpu" and bool((flat.diff() > 0).all())
            assert len(flat) == mask.counts[name] > 0


@pytest.mark.parametrize("filter", FILTERS)
def test_all(weights, filter):
    mask = select_all(weights, filter)
    check(mask, weights, filter, mask.eligible)
    if filter == Filter():
        assert all(flat is None for flat in mask.indices.values())


@quick
@given(fraction=fractions, filter=st.sampled_from(FILTERS), per_tensor=st.booleans(), seed=st.integers(0, 2**32))
def test_exactly_k(weights, scores, fraction, filter, per_tensor, seed):
    k = round(fraction * select_all(weights, filter).eligible)
    if k == 0:
        with pytest.raises(UserError, match="not even one"):
            select_top(scores, weights, fraction, filter, per_tensor)
        return
    top = select_top(scores, weights, fraction, filter, per_tensor)
    check(top, weights, filter, k)
    check(select_random(weights, fraction, filter, seed, per_tensor), weights, filter, k)
    matched = select_random_matched(top, weights, filter, seed)
    check(matched, weights, filter, k)
    assert matched.counts == top.counts


@pytest.mark.parametrize("filter", FILTERS)
def test_global_top_is_the_top_of_everything_that_passes(weights, scores, filter):
    mask = select_top(scores, weights, 0.13, filter)
    order = {weight.name: place for place, weight in enumerate(weights)}
    passing = expand(passing_positions(weights, filter), weights)
    ranked = sorted(passing, key=lambda one: (-scores[one[0]].flatten()[one[1]].item(), order[one[0]], one[1]))
    assert expand(mask.indices, weights) == set(ranked[: mask.k])


def test_per_tensor_takes_the_top_of_each_by_size(weights, scores):
    mask = select_top(scores, weights, 0.0317, per_tensor=True)
    for weight in weights:
        share = mask.counts[weight.name]
        assert abs(share - mask.k * weight.size / mask.eligible) < 1
        best = scores[weight.name].flatten().topk(share).indices.sort().values
        assert torch.equal(mask.indices[weight.name], best)


def test_equal_scores_go_by_tensor_then_index(weights):
    constant = {weight.name: torch.full(weight.shape, 0.25) for weight in weights}
    mask = select_top(constant, weights, (weights[0].size + 5) / sum(weight.size for weight in weights))
    assert list(mask.indices) == [weights[0].name, weights[1].name]
    assert mask.indices[weights[0].name] is None
    assert mask.indices[weights[1].name].tolist() == [0, 1, 2, 3, 4]


def test_fraction_one_is_all(weights, scores):
    for mask in (select_top(scores, weights, 1.0), select_random(weights, 1, seed=1)):
        assert mask.indices == select_all(weights).indices and mask.k == mask.eligible


def same(one: Mask, other: Mask) -> bool:
    if one.counts != other.counts or one.indices.keys() != other.indices.keys():
        return False
    return all(torch.equal(flat, other.indices[name]) for name, flat in one.indices.items())


@pytest.mark.parametrize("per_tensor", [False, True])
def test_random_is_the_seeds(weights, per_tensor):
    draw = [select_random(weights, 0.1, seed=seed, per_tensor=per_tensor) for seed in (0, 0, 1)]
    assert same(draw[0], draw[1]) and not same(draw[0], draw[2])


def test_random_is_uniform(weights):
    few = weights[:2]
    total = sum(weight.size for weight in few)
    counts = {weight.name: torch.zeros(weight.size) for weight in few}
    draws = 600
    for seed in range(draws):
        for name, flat in select_random(few, 0.2, seed=seed).indices.items():
            counts[name][flat] += 1
    drawn = torch.cat(list(counts.values()))
    assert drawn.sum() == draws * round(0.2 * total)
    expected, deviation = draws * 0.2, (draws * 0.2 * 0.8) ** 0.5
    assert (drawn - expected).abs().max() < 5 * deviation
    assert 0.8 < drawn.var().item() / deviation**2 < 1.2


def test_scores_of_another_type_or_with_gradients_are_ranked_alike(weights, scores):
    mask = select_top(scores, weights, 0.1)
    assert same(select_top({name: values.double() for name, values in scores.items()}, weights, 0.1), mask)
    assert same(select_top({name: values.clone().requires_grad_() for name, values in scores.items()}, weights, 0.1), mask)
    transposed = {name: values.T.contiguous().T for name, values in scores.items()}
    assert same(select_top(transposed, weights, 0.1), mask)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), "0.1", None, True])
def test_a_fraction_outside_0_to_1_is_refused(weights, scores, fraction):
    with pytest.raises(UserError, match="mask.fraction"):
        select_top(scores, weights, fraction)
    with pytest.raises(UserError, match="mask.fraction"):
        select_random(weights, fraction)


def test_a_fraction_of_less_than_one_weight_says_which_would_do(weights):
    eligible = sum(weight.size for weight in weights)
    with pytest.raises(UserError, match=rf"{eligible} eligible weights is not even one: give at least (.*?),") as caught:
        select_random(weights, 1e-6)
    said = float(str(caught.value).split("at least ")[1].split(",")[0])
    assert select_random(weights, said).k == 1


def test_scores_that_do_not_fit_are_refused(weights, scores):
    name = weights[3].name
    with pytest.raises(UserError, match=f"no scores for {name}"):
        select_top({n: s for n, s in scores.items() if n != name}, weights, 0.1)
    with pytest.raises(UserError, match=name):
        select_top({**scores, name: scores[name].T}, weights[:1] + weights[3:4], 0.1)
    broken = scores[name].clone()
    broken[1, 2] = float("nan")
    with pytest.raises(UserError, match=f"{name} has NaN"):
        select_top({**scores, name: broken}, weights, 0.1)


def test_matching_needs_the_same_filter(weights, scores):
    mask = select_top(scores, weights, 0.5)
    with pytest.raises(UserError, match="use the same filter"):
        select_random_matched(mask, weights, Filter(layers=[0]))
