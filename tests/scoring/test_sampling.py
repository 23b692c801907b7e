"""p_z against sampling itself, and the number of samples against the formula's own words."""

import math

import pytest
import torch

from memunlearn.errors import UserError
from memunlearn.scoring.sampling import Extractable, Sampling, samples_needed, token_log_q


def naive_log_p_z(logits, labels, top_k, temperature):
    """A row at a time, a token at a time: sort, cut, renormalise, multiply."""
    found = []
    for row, of_row in zip(logits.double().tolist(), labels.tolist(), strict=True):
        p = 1.0
        for values, label in zip(row, of_row, strict=True):
            kept = sorted(values, reverse=True)[:top_k]
            weight = math.exp(values[label] / temperature) if values[label] >= kept[-1] else 0.0
            p *= weight / sum(math.exp(value / temperature) for value in kept)
        found.append(math.log(p) if p > 0 else -math.inf)
    return found


def given(dtype=torch.float32, rows=9, length=5, vocabulary=23, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(rows, length, vocabulary, generator=generator)).to(dtype)
    ranks = torch.randint(0, 6, (rows, length), generator=generator)
    labels = logits.argsort(-1, descending=True).gather(-1, ranks.unsqueeze(-1)).squeeze(-1)
    return logits, labels


def measured(logits, labels, sampling):
    best = logits.topk(min(max(10, sampling.top_k), logits.shape[-1])).values
    return token_log_q(best, logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1), sampling).sum(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("top_k", "temperature"), [(4, 1.0), (10, 0.7), (15, 1.3), (23, 1.0), (40, 2.0)])
def test_log_p_z_against_a_loop_over_tokens(dtype, top_k, temperature):
    logits, labels = given(dtype)
    found = measured(logits, labels, Sampling(top_k, temperature))
    expected = naive_log_p_z(logits, labels, top_k, temperature)
    assert found.tolist() == pytest.approx(expected, rel=1e-9) and found.dtype == torch.float64
    assert (math.inf in [-value for value in expected]) == (top_k == 4)


def test_without_a_cut_it_is_the_summed_log_p():
    logits, labels = given()
    whole = logits.double().log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1).sum(1)
    assert measured(logits, labels, Sampling(40)).tolist() == pytest.approx(whole.tolist(), rel=1e-6)


def test_by_hand():
    """Of the two best, e^1 and e^0: the first token is drawn with e / (e + 1), the second with 1 / (e + 1)."""
    logits = torch.tensor([[[1.0, 0.0, -1.0], [1.0, 0.0, -1.0]], [[1.0, 0.0, -1.0], [1.0, 0.0, -1.0]]])
    e = math.e
    found = measured(logits, torch.tensor([[0, 1], [0, 2]]), Sampling(2))
    assert found.tolist() == [pytest.approx(math.log(e / (e + 1) ** 2)), -math.inf]


def test_a_true_token_that_ties_for_the_last_place_stays():
    logits = torch.tensor([[[2.0, 1.0, 1.0, 1.0]]])
    for label in (1, 2, 3):
        found = measured(logits, torch.tensor([[label]]), Sampling(2))
        assert found.tolist() == pytest.approx([math.log(math.e / (math.e**2 + math.e))])


def test_it_is_how_often_samples_say_it():
    logits, _ = given(rows=1, length=2, vocabulary=7, seed=3)
    labels = logits.topk(2).indices[..., 1]
    sampling = Sampling(3, 0.8)
    p_z = float(measured(logits, labels, sampling).exp())
    kept = logits[0].topk(3)
    p = (kept.values / 0.8).softmax(-1)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([torch.multinomial(p[i], 20_000, replacement=True, generator=generator) for i in range(2)], 1)
    said = (kept.indices.gather(1, drawn.T).T == labels).all(1).double().mean()
    assert float(said) == pytest.approx(p_z, abs=4 * math.sqrt(p_z / 20_000)) and p_z > 0.01


def test_numbers_of_samples():
    log_p = torch.tensor([0.0, math.log(0.5), math.log(1e-3), -math.inf, -2000.0, math.log(0.999999)], dtype=torch.float64)
    found = samples_needed(log_p, 0.5).tolist()
    assert found[:3] == [1.0, pytest.approx(1.0), pytest.approx(math.log(0.5) / math.log(1 - 1e-3))]
    assert found[3] == found[4] == math.inf and found[5] == 1.0
    # So many samples do say it with that probability, also where 1 - p_z is 1 to the last digit.
    for p in (0.1, 0.5, 0.9):
        for exponent in (2, 6, 18):
            p_z = 10.0**-exponent
            n = float(samples_needed(torch.tensor([math.log(p_z)], dtype=torch.float64), p))
            assert -math.expm1(n * math.log1p(-p_z)) == pytest.approx(p, rel=1e-9)


def test_extractable_is_n_samples_or_fewer():
    log_p = torch.tensor([0.0, math.log(0.6), math.log(0.02), math.log(1e-5), -math.inf], dtype=torch.float64)
    shares = {(n, p): Extractable(n, p)(log_p, 50).tolist() for n in (1, 100) for p in (0.5, 0.9)}
    assert shares == {
        (1, 0.5): [True, True, False, False, False],
        (1, 0.9): [True, False, False, False, False],
        (100, 0.5): [True, True, True, False, False],
        (100, 0.9): [True, True, False, False, False],
    }


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"temperature": 0.0}, {"temperature": -1.0}, {"temperature": math.inf}])
def test_what_is_no_sampling_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"p_z.{name}="):
        Sampling(**wrong)
