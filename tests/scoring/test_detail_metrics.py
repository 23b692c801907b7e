"""Each metric that only reported sets are measured by, from a pass, against loops; in fp32 and from bf16 logits."""

import math

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring import detail_metrics as details
from memunlearn.scoring.metric import FromPass, FromPassAndBase, FromPassAndSampling, ShareOfRows
from memunlearn.scoring.metrics import METRICS
from memunlearn.scoring.one_pass import OnePass
from memunlearn.scoring.sampling import Extractable, Sampling
from memunlearn.scoring.score import metrics_of_pass, reference_states, score

ROWS, C, V = 8, 11, 29
SAMPLING = Sampling(5, 0.9)
OF_PASS = [m for m in METRICS if m.detail and isinstance(m.source, FromPass | FromPassAndBase | FromPassAndSampling)]


def some_pass(dtype):
    generator = torch.Generator().manual_seed(4)
    logits = 2 * torch.randn(ROWS, C, V, generator=generator)
    base = logits + torch.randn(ROWS, C, V, generator=generator)
    ranks = torch.randint(0, 3, (ROWS, C), generator=generator) * torch.randint(0, 2, (ROWS, C), generator=generator)
    labels = logits.argsort(-1, descending=True).gather(-1, ranks.unsqueeze(-1)).squeeze(-1)
    return OnePass(logits.to(dtype), labels, base.to(dtype), SAMPLING)


def naive(given):
    """By key a value a row, from lists of numbers."""
    found = {metric.key: [] for metric in OF_PASS}
    for i in range(ROWS):
        hits, log_p, z, agrees, ndcg, drawn = [], [], [], [], [], 1.0
        for j in range(C):
            values = given.logits[i, j].double()
            base = given.base_logits[i, j].double()
            label, p = int(given.labels[i, j]), values.softmax(0).tolist()
            order = sorted(range(V), key=lambda token: -values[token])
            base_order = sorted(range(V), key=lambda token: -base[token])
            hits.append(order[0] == label)
            log_p.append(math.log(p[label]))
            mu = sum(q * math.log(q) for q in p)
            z.append((log_p[-1] - mu) / math.sqrt(sum(q * (math.log(q) - mu) ** 2 for q in p)))
            agrees.append(order[0] == base_order[0])
            worth = {token: float(base.softmax(0)[token]) for token in base_order[:10]}
            dcg, best = (
                sum(worth.get(token, 0) / math.log2(rank + 2) for rank, token in enumerate(tokens[:10]))
                for tokens in (order, base_order)
            )
            ndcg.append(dcg / best)
            weights = {token: math.exp(float(values[token]) / 0.9) for token in order[:5]}
            drawn *= weights.get(label, 0.0) / sum(weights.values())
        trailing = next((k for k, hit in enumerate(reversed(hits)) if not hit), C)
        lowest = C // 5
        found["extraction_strength"].append(trailing / C)
        found["memorization_accuracy"].append(sum(hits) / C)
        found["min_k"].append(sum(sorted(log_p)[:lowest]) / lowest)
        found["min_k_pp"].append(sum(sorted(z)[:lowest]) / lowest)
        found["top1_agreement"].append(sum(agrees) / C)
        found["ndcg10"].append(sum(ndcg) / C)
        found["log_p_z"].append(math.log(drawn) if drawn else -math.inf)
    return found


def without_ties(given):
    """bf16 has few values: which of two equal ones is the most likely is nobody's business here."""
    logits, base = (values + torch.arange(V) * 2**-12 for values in (given.logits.float(), given.base_logits.float()))
    return OnePass(logits, given.labels, base, given.sampling)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_value_of_a_pass_against_loops(dtype):
    given = some_pass(dtype)
    for key, expected in naive(given).items():
        (metric,) = [metric for metric in OF_PASS if metric.key == key]
        found = metric.source.compute(given)
        assert found.shape == (ROWS,) and found.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5), key
        assert len(set(found.tolist())) > 2, key


def test_bf16_logits_are_read_in_fp32():
    """Every value is that of the same logits given in fp32."""
    given = some_pass(torch.bfloat16)
    wide = OnePass(given.logits.float(), given.labels, given.base_logits.float(), SAMPLING)
    for metric in OF_PASS:
        assert metric.source.compute(given).tolist() == pytest.approx(metric.source.compute(wide).tolist(), rel=1e-6), (
            metric.key
        )
    apart = without_ties(given)
    expected = naive(apart)
    for metric in OF_PASS:
        assert metric.source.compute(apart).tolist() == pytest.approx(expected[metric.key], rel=1e-4, abs=1e-5), metric.key


def test_a_vocabulary_of_fewer_than_ten_tokens():
    generator = torch.Generator().manual_seed(0)
    logits, base = (torch.randn(2, 3, 6, generator=generator) for _ in range(2))
    given = OnePass(logits, logits.argmin(-1), base, Sampling(40))
    assert details.NDCG10.source.compute(given).gt(0).all() and details.LOG_P_Z.source.compute(given).isfinite().all()
    same = OnePass(logits, given.labels, logits)
    assert details.NDCG10.source.compute(same).tolist() == pytest.approx([1.0, 1.0])
    assert details.TOP1_AGREEMENT.source.compute(same).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("sampling", [None, Sampling(40)])
def test_a_model_ranks_tokens_that_tie_as_itself(sampling):
    """Flat logits, and 60 unused tokens of the same logit: whatever is asked for beside it."""
    logits = torch.zeros(2, 4, 100)
    logits[1, :, :40] = torch.randn(4, 40, generator=torch.Generator().manual_seed(1))
    given = OnePass(logits, logits.argmin(-1), logits.clone(), sampling)
    assert details.NDCG10.source.compute(given).tolist() == pytest.approx([1.0, 1.0])


def test_nobody_who_does_not_ask_pays():
    few, compared = (metrics_of_pass(details=False, compared=with_base, sampled=True) for with_base in (False, True))
    assert [metric.key for metric in few] == ["em", "longest_run", "nll"]
    assert [metric.key for metric in compared] == ["em", "longest_run", "nll", "kl"]
    every = metrics_of_pass(details=True, compared=True, sampled=True)
    assert {metric.key for metric in OF_PASS} < {metric.key for metric in every}
    assert "log_p_z" not in {metric.key for metric in metrics_of_pass(details=True, compared=True, sampled=False)}
    assert not [metric.key for metric in METRICS if metric.detail and (metric.checked or metric.in_terminal)]
    given = some_pass(torch.float32)
    for metric in few:
        metric.source.compute(given)
    assert not {"best", "base_log_p", "token_z"} & given.__dict__.keys()
    with pytest.raises(ValueError, match="not asked"):
        details.LOG_P_Z.source.compute(OnePass(given.logits, given.labels))


def test_a_model_s_scores_hold_them_where_they_are_asked_for():
    model, rows = tiny.tiny_model("gpt_neo"), ParagraphSet(tiny.some_ids(3, 5, 9), 4, tuple("abcde"))
    plain = score(model, rows)
    assert set(plain.values) == {"em", "longest_run", "nll"}
    scores, states = reference_states(model, rows, 2, details=True, sampling=Sampling(3))
    itself = score(model, rows, 2, reference=states, details=True, sampling=Sampling(3))
    assert set(scores.values) == set(itself.values) > {"log_p_z", "min_k_pp", "ndcg10"}
    for key in scores.values:
        assert itself.values[key].tolist() == pytest.approx(scores.values[key].tolist(), rel=1e-4, abs=1e-6), key
    assert scores.top1_agreement.tolist() == scores.ndcg10.tolist() == [1.0] * 5
    nothing = score(model, rows.select([]), 2, reference=states.select(torch.arange(0)), details=True, sampling=Sampling(3))
    assert set(nothing.values) == set(scores.values) and not len(nothing)


def test_the_shares_of_extraction_are_twelve_and_rise_with_n_and_fall_with_p():
    cells = [
        metric for metric in METRICS if isinstance(metric.source, ShareOfRows) and isinstance(metric.source.hit, Extractable)
    ]
    log_p = torch.linspace(-16, 0, 200, dtype=torch.float64)
    shares = {(m.source.hit.p, m.source.hit.n): float(m.source.hit(log_p, C).double().mean()) for m in cells}
    assert len(shares) == 12 and [metric.key for metric in cells][5] == "extraction_p50_n10"
    for p in (0.1, 0.5, 0.9):
        of_n = [shares[p, n] for n in (1, 10, 1_000, 1_000_000)]
        assert of_n == sorted(of_n) and len(set(of_n)) == 4
    for n in (10, 1_000):
        assert shares[0.1, n] > shares[0.5, n] > shares[0.9, n] > 0
