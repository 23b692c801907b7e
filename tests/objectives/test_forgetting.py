"""NPO, UNDIAL and unlikelihood against their formulas over loops: value and gradient."""

import math

import pytest
import torch
from steps import step_of
from test_losses import mean_of, naive_log_p, naive_token_kl, naive_token_nll, some_labels, some_logits

from memunlearn.errors import UserError
from memunlearn.objectives.material import Needs
from memunlearn.objectives.npo import NPO
from memunlearn.objectives.undial import Undial
from memunlearn.objectives.unlikelihood import Unlikelihood

# (forget rows, retain rows, C, V)
SIZES = [(1, 1, 1, 2), (1, 3, 5, 7), (4, 2, 3, 61)]
WITHIN = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2}


def naive_npo(logits, base, labels, beta):
    """(2 / beta) log(1 + (p / p_base)^beta), p the product over the row's tokens; a mean over rows."""
    values = []
    for row, base_row, row_labels in zip(logits, base, labels, strict=True):
        ratio = 1
        for z, b, y in zip(row, base_row, row_labels, strict=True):
            ratio = ratio * (naive_log_p(z)[y] - naive_log_p(b)[y]).exp()
        values.append(2 / beta * torch.log(1 + ratio**beta))
    return sum(values) / len(values)


def naive_undial(logits, base, labels, strength):
    """- sum_v q(v) log p(v), q the base model's distribution with the true token's logit lowered."""
    values = []
    for row, base_row, row_labels in zip(logits, base, labels, strict=True):
        for z, b, y in zip(row, base_row, row_labels, strict=True):
            lowered = [float(b[v]) - (strength if v == int(y) else 0.0) for v in range(len(b))]
            total = sum(math.exp(x) for x in lowered)
            values.append(-sum(math.exp(lowered[v]) / total * naive_log_p(z)[v] for v in range(len(b))))
    return sum(values) / len(values)


def naive_unlikelihood(logits, base, labels):
    values = [
        -torch.log(1 - naive_log_p(z)[y].exp())
        for row, row_labels in zip(logits, labels, strict=True)
        for z, y in zip(row, row_labels, strict=True)
    ]
    return sum(values) / len(values)


CASES = {
    "npo": (lambda f, r: NPO(f, r, beta=0.1), lambda *given: naive_npo(*given, 0.1)),
    "npo, large beta": (lambda f, r: NPO(f, r, beta=0.9), lambda *given: naive_npo(*given, 0.9)),
    "undial": (lambda f, r: Undial(f, r, strength=10.0), lambda *given: naive_undial(*given, 10.0)),
    "undial, weak": (lambda f, r: Undial(f, r, strength=0.5), lambda *given: naive_undial(*given, 0.5)),
    "unlikelihood": (Unlikelihood, naive_unlikelihood),
}


def some_step(size, dtype):
    forget_rows, retain_rows, length, vocabulary = size
    forget, retain = (forget_rows, length, vocabulary), (retain_rows, length, vocabulary)
    logits, kept = some_logits(forget, dtype, seed=3), some_logits(retain, dtype, seed=5)
    base, reference = (some_logits(shape, dtype, seed).detach() for shape, seed in ((forget, 7), (retain, 6)))
    labels = some_labels(forget, seed=4)
    return logits, base, labels, kept, reference


@pytest.mark.parametrize("dtype", WITHIN, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("weights", [(0.1, 1.0), (2.0, 0.3)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient(case, weights, size, dtype):
    make, naive_term = CASES[case]
    logits, base, labels, kept, reference = some_step(size, dtype)
    losses = make(*weights)(step_of(logits, labels, kept, reference, base_logits=base))
    term, naive_kl = naive_term(logits, base, labels), mean_of(naive_token_kl(reference, kept))
    within = WITHIN[torch.float64 if dtype == torch.float64 else torch.float32]
    for value, expected in (
        (losses.forget_term, weights[0] * term),
        (losses.retain_term, weights[1] * naive_kl),
        (losses.forget_nll, mean_of(naive_token_nll(logits, labels))),
        (losses.retain_kl, naive_kl),
    ):
        assert value.shape == () and value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(value.double(), expected.double(), rtol=within, atol=within)
    gradients = torch.autograd.grad(losses.total, [logits, kept])
    references = torch.autograd.grad(weights[0] * term + weights[1] * naive_kl, [logits, kept])
    for gradient, expected in zip(gradients, references, strict=True):
        assert float(expected.abs().sum()) > 0
        torch.testing.assert_close(gradient, expected, rtol=WITHIN[dtype], atol=WITHIN[dtype] * float(expected.abs().max()))


@pytest.mark.parametrize("case", CASES)
def test_the_curve_is_no_loss(case):
    """What is shown of the forget rows carries no gradient of its own, or is not summed."""
    make, _ = CASES[case]
    logits, base, labels, kept, reference = some_step((2, 3, 4, 7), torch.float64)
    step = step_of(logits, labels, kept, reference, base_logits=base)
    torch.testing.assert_close(
        make(0.5, 2.0)(step).total, 0.5 * make(1.0, 1.0)(step).forget_term + 2 * make(1, 1)(step).retain_kl
    )


@pytest.mark.parametrize("case", CASES)
def test_a_step_against_the_gradient_forgets(case):
    make, _ = CASES[case]
    logits, base, labels, kept, reference = some_step((3, 2, 4, 11), torch.float32)
    logits = base.clone().requires_grad_()
    before = make(1.0, 1.0)(step_of(logits, labels, kept, reference, base_logits=base))
    pull = torch.autograd.grad(before.forget_term, logits)[0]
    after = make(1.0, 1.0)(step_of(logits - 0.5 * pull, labels, kept, reference, base_logits=base))
    assert after.forget_nll > before.forget_nll and after.forget_term < before.forget_term


def test_npo_sums_over_a_row_where_a_mean_would_pull_less():
    """Twice the tokens, all as far from the base model: the log-ratio of the row doubles, and so its pull fades."""
    labels = torch.tensor([[1, 2]])
    base, logits = torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)
    logits[0, 0, 1] = logits[0, 1, 2] = 1.5
    ratio = float((logits.log_softmax(-1) - base.log_softmax(-1))[0, 0, 1])
    kept = torch.zeros(1, 1, 3)
    value = NPO(1.0, 0.0, beta=2.0)(step_of(logits, labels, kept, kept, base_logits=base)).forget_term
    assert float(value) == pytest.approx(math.log(1 + math.exp(2.0 * 2 * ratio)))


def test_npo_with_a_small_beta_is_gradient_ascent():
    logits, base, labels, kept, reference = some_step((2, 1, 3, 7), torch.float64)
    losses = NPO(1.0, 0.0, beta=1e-6)(step_of(logits, labels, kept, reference, base_logits=base))
    ascent = -mean_of(naive_token_nll(logits, labels)) * labels.shape[1]
    gradients = (torch.autograd.grad(value, logits)[0] for value in (losses.forget_term, ascent))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_undial_is_at_rest_where_only_the_true_token_went():
    logits, base, labels, kept, reference = some_step((2, 1, 3, 7), torch.float64)
    rest = base.scatter_add(-1, labels.unsqueeze(-1), torch.full((*labels.shape, 1), -4.0, dtype=torch.float64))
    rest = (rest + 3.0).requires_grad_()
    term = Undial(1.0, 0.0, strength=4.0)(step_of(rest, labels, kept, reference, base_logits=base)).forget_term
    assert float(torch.autograd.grad(term, rest)[0].abs().max()) < 1e-12


def test_unlikelihood_stays_finite_where_a_token_is_certain():
    logits = torch.tensor([[[200.0, 0.0, 1.0]]], requires_grad=True)
    kept = torch.zeros(1, 1, 3)
    term = Unlikelihood(1.0, 0.0)(step_of(logits, torch.tensor([[0]]), kept, kept)).forget_term
    assert float(term) == pytest.approx(200.0 - math.log(1 + math.e), rel=1e-5)
    assert torch.autograd.grad(term, logits)[0][0, 0].tolist() == pytest.approx(
        [1.0, -1 / (1 + math.e), -math.e / (1 + math.e)]
    )


@pytest.mark.parametrize("make", [NPO, Undial, Unlikelihood])
def test_weights_that_make_no_sense_are_refused(make):
    for weights in ((0.0, 1.0), (-0.1, 1.0), (0.1, -1.0), (float("nan"), 1.0)):
        with pytest.raises(UserError, match="objective.forget_weight="):
            make(*weights)


@pytest.mark.parametrize(("make", "name"), [(NPO, "beta"), (Undial, "strength")])
def test_settings_that_make_no_sense_are_refused(make, name):
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match=f"objective.{name}="):
            make(**{name: value})


def test_only_what_is_needed_is_asked_for():
    assert NPO().needs == Undial().needs == Needs(base_logits=("forget",)) and Unlikelihood().needs == Needs()
