"""Objectives of forget rows that keep the KL, against their formulas over loops: value and gradient."""

import math
from functools import partial

import pytest
import torch
from steps import step_of
from test_losses import mean_of, naive_log_p, naive_token_kl, naive_token_nll, some_labels, some_logits

from memunlearn.errors import UserError
from memunlearn.objectives.ce_u import CEU
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.entropy import Entropy
from memunlearn.objectives.material import Needs
from memunlearn.objectives.npo import NPO
from memunlearn.objectives.satimp import SatImp
from memunlearn.objectives.simnpo import SimNPO
from memunlearn.objectives.undial import Undial
from memunlearn.objectives.unlikelihood import Unlikelihood
from memunlearn.objectives.wga import WGA

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


def naive_simnpo(logits, base, labels, beta, margin):
    """(2 / beta) log(1 + exp(beta (margin - the mean NLL of the row's tokens))); a mean over rows."""
    rows = [sum(row) / len(row) for row in naive_token_nll(logits, labels)]
    return sum(2 / beta * torch.log(1 + (beta * (margin - row)).exp()) for row in rows) / len(rows)


def naive_ce_u(logits, base, labels):
    """- sum over the other tokens of q(v) log p(v), q(v) = p(v) / (1 - p(y)), a number."""
    values = []
    for row, row_labels in zip(logits, labels, strict=True):
        for z, y in zip(row, row_labels, strict=True):
            log_p, true = naive_log_p(z), int(y)
            others = [v for v in range(len(z)) if v != true]
            total = sum(math.exp(log_p[v].item()) for v in others)
            values.append(-sum(math.exp(log_p[v].item()) / total * log_p[v] for v in others))
    return sum(values) / len(values)


def naive_ascent(logits, labels, weight):
    """- weight(p) CE, the weight a number."""
    return mean_of([[-weight(math.exp(-token.item())) * token for token in row] for row in naive_token_nll(logits, labels)])


def naive_entropy(logits, base, labels):
    """sum_v p(v) log p(v): minus the entropy."""
    return mean_of([[sum(x.exp() * x for x in naive_log_p(z)) for z in row] for row in logits])


def wga(beta):
    return lambda f, r: WGA(f, r, beta=beta), lambda z, _, y: naive_ascent(z, y, lambda p: p**beta)


def satimp(beta1, beta2):
    make = partial(SatImp, beta1=beta1, beta2=beta2)
    return make, lambda z, _, y: naive_ascent(z, y, lambda p: p**beta1 * (1 - p) ** beta2)


def naive_demote(logits, base, labels, margin):
    """sum_v q(v) (log q(v) - log p(v)), q the base model's with the true token lowered by a number of the row's own."""
    values = []
    for row, base_row, row_labels in zip(logits, base, labels, strict=True):
        leads = []
        for b, y in zip(base_row, row_labels, strict=True):
            leads.append(float(b[y]) - max(float(value) for token, value in enumerate(b) if token != int(y)))
        strength = max(0.0, sorted(leads)[(len(leads) - 1) // 2]) + margin
        for z, b, y in zip(row, base_row, row_labels, strict=True):
            wanted = [float(value) - strength * (token == int(y)) for token, value in enumerate(b)]
            total = math.log(sum(math.exp(value) for value in wanted))
            log_p = naive_log_p(z)
            values.append(sum(math.exp(value - total) * (value - total - log_p[v]) for v, value in enumerate(wanted)))
    return sum(values) / len(values)


CASES = {
    "demote": (lambda f, r: Demote(f, r, margin=2.5), lambda *given: naive_demote(*given, 2.5)),
    "demote, small margin": (lambda f, r: Demote(f, r, margin=0.5), lambda *given: naive_demote(*given, 0.5)),
    "simnpo": (SimNPO, lambda *given: naive_simnpo(*given, 2.5, 1.0)),
    "simnpo, no margin": (lambda f, r: SimNPO(f, r, 4.5, 0.0), lambda *given: naive_simnpo(*given, 4.5, 0.0)),
    "ce_u": (CEU, naive_ce_u),
    "wga": wga(1.0),
    "wga, weak": wga(0.2),
    "satimp": satimp(5.0, 1.0),
    "satimp, other": satimp(0.5, 2.0),
    "entropy": (Entropy, naive_entropy),
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
    logits, base, labels, kept, reference = some_step((3, 2, 4, 11), torch.float64)
    # As after memorizing: the true tokens are likely.
    base = base.scatter_add(-1, labels.unsqueeze(-1), torch.full((*labels.shape, 1), 8.0, dtype=torch.float64))
    logits = base.clone().requires_grad_()
    before = make(1.0, 1.0)(step_of(logits, labels, kept, reference, base_logits=base))
    pull = torch.autograd.grad(before.forget_term, logits)[0]
    after = make(1.0, 1.0)(step_of(logits - 0.5 * pull, labels, kept, reference, base_logits=base))
    assert after.forget_nll > before.forget_nll
    if not case.startswith(("ce_u", "wga", "satimp")):  # in these something is constant that a step moves
        assert after.forget_term < before.forget_term


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


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("odds", [200.0, 30.0, -30.0, -1000.0])
@pytest.mark.parametrize("dtype", WITHIN, ids=str)
def test_certain_and_impossible_tokens_stay_finite(case, odds, dtype):
    """odds: nats by which the true token's logit is ahead of the others."""
    logits = torch.tensor([[[odds, 0.0, 1.0], [0.5, odds, 0.0]]], dtype=dtype, requires_grad=True)
    kept = torch.zeros(1, 1, 3, dtype=dtype)
    step = step_of(logits, torch.tensor([[0, 1]]), kept, kept, base_logits=logits.detach().flip(-1))
    losses = CASES[case][0](1.0, 1.0)(step)
    gradient = torch.autograd.grad(losses.total, logits)[0]
    assert bool(losses.total.isfinite()) and bool(gradient.isfinite().all())


def test_ce_u_takes_the_steps_of_unlikelihood():
    logits, base, labels, kept, reference = some_step((3, 1, 4, 11), torch.float64)
    step = step_of(logits, labels, kept, reference)
    values = [objective(1.0, 0.0)(step).forget_term for objective in (CEU, Unlikelihood)]
    assert abs(float(values[0] - values[1])) > 0.1
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in values), rtol=1e-9, atol=1e-12)


def test_simnpo_averages_where_npo_sums():
    """A row of twice the same token is pulled as one of one token."""
    once = torch.tensor([[[0.5, -1.0, 2.0]]], dtype=torch.float64)
    kept = torch.zeros(1, 1, 3, dtype=torch.float64)
    values = [
        float(SimNPO(1.0, 0.0)(step_of(once.repeat(1, n, 1), torch.full((1, n), 1), kept, kept)).forget_term) for n in (1, 2)
    ]
    assert values[0] == pytest.approx(values[1])


def test_weights_of_an_ascent_are_constants():
    """Otherwise p NLL would have its highest value at p = 1 / e, and pull back what is less likely."""
    logits = torch.tensor([[[-4.0, 0.0, 1.0]]], requires_grad=True)
    kept = torch.zeros(1, 1, 3)
    for objective in (WGA(1.0, 0.0), SatImp(1.0, 0.0, beta1=1.0)):
        term = objective(step_of(logits, torch.tensor([[0]]), kept, kept)).forget_term
        assert float(torch.autograd.grad(term, logits)[0][0, 0, 0]) > 0


def test_entropy_is_at_rest_where_all_tokens_are_as_likely():
    logits = torch.full((2, 3, 7), 1.7, dtype=torch.float64, requires_grad=True)
    kept = torch.zeros(1, 3, 7, dtype=torch.float64)
    term = Entropy(1.0, 0.0)(step_of(logits, some_labels((2, 3, 7)), kept, kept)).forget_term
    assert float(term) == pytest.approx(-math.log(7))
    assert float(torch.autograd.grad(term, logits)[0].abs().max()) < 1e-12


@pytest.mark.parametrize("make", [NPO, SimNPO, Undial, Unlikelihood, CEU, WGA, SatImp, Entropy])
def test_weights_that_make_no_sense_are_refused(make):
    for weights in ((0.0, 1.0), (-0.1, 1.0), (0.1, -1.0), (float("nan"), 1.0)):
        with pytest.raises(UserError, match="objective.forget_weight="):
            make(*weights)


SETTINGS = [
    *((NPO, "beta"), (Undial, "strength"), (SimNPO, "beta"), (WGA, "beta"), (SatImp, "beta1"), (SatImp, "beta2")),
]


@pytest.mark.parametrize(("make", "name"), SETTINGS)
def test_settings_that_make_no_sense_are_refused(make, name):
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match=f"objective.{name}="):
            make(**{name: value})


def test_a_margin_is_not_below_0():
    assert SimNPO(margin=0.0).margin == 0
    with pytest.raises(UserError, match="objective.margin=-1.0 must be 0 or more"):
        SimNPO(margin=-1.0)


def test_only_what_is_needed_is_asked_for():
    assert NPO().needs == Undial().needs == Needs(base_logits=("forget",))
    assert all(made.needs == Needs() for made in (Unlikelihood(), SimNPO(), CEU(), WGA(), SatImp(), Entropy()))
