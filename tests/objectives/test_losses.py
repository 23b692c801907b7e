"""NLL and KL against loops over rows, positions and tokens: value and gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from memunlearn.objectives.losses import bounded, kl, nll, token_kl, token_nll

SHAPES = [(1, 1, 7), (1, 5, 7), (3, 1, 7), (2, 5, 61), (5, 3, 2)]
# Values come out in fp32 whatever goes in; gradients with respect to bf16 logits are rounded to bf16.
GRADIENT_TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-6}, torch.bfloat16: {"rtol": 2**-7, "atol": 1e-5}}

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", GRADIENT_TOLERANCE, ids=str)


def some_logits(shape, dtype=torch.float32, seed=0):
    logits = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return logits.to(dtype).requires_grad_()


def some_labels(shape, seed=1):
    return torch.randint(0, shape[2], shape[:2], generator=torch.Generator().manual_seed(seed))


def naive_log_p(logits):
    """log of exp(x_v) / sum_w exp(x_w), for the logits of one position."""
    logits = logits.double()
    return logits - logits.exp().sum().log()


def naive_token_nll(logits, labels):
    return [[-naive_log_p(x)[y] for x, y in zip(*row, strict=True)] for row in zip(logits, labels, strict=True)]


def naive_token_kl(reference, logits):
    values = []
    for reference_row, row in zip(reference, logits, strict=True):
        values.append([])
        for r, x in zip(reference_row, row, strict=True):
            log_p, log_q = naive_log_p(r), naive_log_p(x)
            values[-1].append(sum(log_p[v].exp() * (log_p[v] - log_q[v]) for v in range(len(x))))
    return values


def stacked(values):
    return torch.stack([torch.stack(row) for row in values])


def mean_of(values):
    numbers = [value for row in values for value in row]
    return sum(numbers) / len(numbers)


def check(value, expected, leaves, dtype):
    """The same value, in fp32, and the same gradient of a random weighting of it."""
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected.float(), rtol=1e-5, atol=1e-5)
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(9))
    gradients = torch.autograd.grad((value * weights).sum(), leaves)
    references = torch.autograd.grad((expected * weights).sum(), leaves)
    for gradient, reference in zip(gradients, references, strict=True):
        assert reference.abs().sum() > 0
        torch.testing.assert_close(gradient, reference, **GRADIENT_TOLERANCE[dtype])


@every_dtype
@every_shape
def test_token_nll(shape, dtype):
    logits, labels = some_logits(shape, dtype), some_labels(shape)
    check(token_nll(logits, labels), stacked(naive_token_nll(logits, labels)), [logits], dtype)


@every_dtype
@every_shape
@pytest.mark.parametrize("bound", [1.0, 4.0, 1e9])
def test_bounded(shape, dtype, bound):
    logits, labels = some_logits(shape, dtype), some_labels(shape)
    tokens = naive_token_nll(logits, labels)
    counted = [[token if token.item() < bound else torch.tensor(bound).double() for token in row] for row in tokens]
    value, expected = bounded(token_nll(logits, labels), bound).mean(), mean_of(counted)
    torch.testing.assert_close(value, expected.float(), rtol=1e-5, atol=1e-5)
    gradient = torch.autograd.grad(value, logits)[0]
    if all(token.item() > bound for row in tokens for token in row):
        assert not gradient.any()
    else:
        torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], **GRADIENT_TOLERANCE[dtype])


@every_dtype
@every_shape
def test_nll(shape, dtype):
    logits, labels = some_logits(shape, dtype), some_labels(shape)
    check(nll(logits, labels), mean_of(naive_token_nll(logits, labels)), [logits], dtype)


@every_dtype
@every_shape
def test_token_kl(shape, dtype):
    reference, logits = some_logits(shape, dtype, seed=2), some_logits(shape, dtype)
    check(token_kl(reference, logits), stacked(naive_token_kl(reference, logits)), [logits, reference], dtype)


@every_dtype
@every_shape
def test_kl(shape, dtype):
    reference, logits = some_logits(shape, dtype, seed=2), some_logits(shape, dtype)
    check(kl(reference, logits), mean_of(naive_token_kl(reference, logits)), [logits, reference], dtype)


@every_shape
def test_kl_is_per_token_where_batchmean_is_per_row(shape):
    """published_code.md, 4: on [B, C, V] PyTorch's batchmean is C times the per-token mean."""
    reference, logits = some_logits(shape, seed=2).detach(), some_logits(shape).detach()
    batchmean = functional.kl_div(logits.log_softmax(-1), reference.softmax(-1), reduction="batchmean")
    torch.testing.assert_close(kl(reference, logits), batchmean / shape[1])


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000), scale=st.sampled_from([1e-4, 0.1, 3.0, 50.0]), distance=st.sampled_from([0.0, 1e-7, 1e-3, 5.0])
)
def test_kl_is_never_negative(seed, scale, distance):
    generator = torch.Generator().manual_seed(seed)
    reference = scale * torch.randn(2, 3, 17, generator=generator)
    logits = reference + distance * torch.randn(2, 3, 17, generator=generator)
    values = token_kl(reference, logits)
    assert bool((values >= 0).all()) and bool(values.isfinite().all())
    if distance == 5.0 and scale < 50:  # beyond that all probability may lie on one token, for both
        assert bool((values > 0).all())


def test_kl_of_equal_distributions_is_zero_and_pulls_nowhere():
    reference = some_logits((3, 5, 61)).detach()
    logits = (reference + 4.0).requires_grad_()  # a constant over the vocabulary changes no distribution
    assert torch.equal(token_kl(reference, reference), torch.zeros(3, 5))
    value = kl(reference, logits)
    assert float(value.detach()) < 1e-6
    assert float(torch.autograd.grad(value, logits)[0].abs().max()) < 1e-6


def test_kl_weighs_by_the_reference():
    """KL(reference || current), not the other way round: what only the current model says costs little."""
    p, q = 0.9, 0.6
    reference, logits = (torch.tensor([[[math.log(x), math.log(1 - x)]]]) for x in (p, q))
    assert float(kl(reference, logits)) == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def test_huge_logits_stay_finite():
    logits = 1e4 * some_logits((2, 3, 7)).detach()
    assert bool(token_nll(logits, some_labels((2, 3, 7))).isfinite().all())
    assert bool(token_kl(logits.flip(0), logits).isfinite().all())
