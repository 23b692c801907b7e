"""The list of metrics: each value of a pass against loops, and what an entry says of itself."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import naive_scoring as naive
import numpy as np
import pytest
import torch

from memunlearn.scoring.detail_metrics import APPROXIMATE_MATCH, LEVENSHTEIN, LOG_P_Z, MIN_K, MIN_K_PP, ZLIB
from memunlearn.scoring.metric import (
    NATS,
    SHARE,
    TOKENS,
    FromPass,
    FromPassAndBase,
    FromText,
    Metric,
    OfAlternatives,
    OfMean,
    OfOwnText,
    Percentile,
    ShareOfRows,
    percentile,
)
from memunlearn.scoring.metrics import (
    ALTERNATIVE_EM,
    ALTERNATIVE_NLL,
    EM,
    KL,
    METRICS,
    NLL,
    PERPLEXITY,
    SELF_EM,
    metrics_from,
)
from memunlearn.scoring.one_pass import OnePass, token_hits

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
ROWS, C, V = 11, 7, 13


def some_pass(seed=0, with_base=True):
    """Random logits whose hits are a random 70 % of the places."""
    generator = torch.Generator().manual_seed(seed)
    hits = torch.rand(ROWS, C, generator=generator) < 0.7
    logits, base = (torch.randn(ROWS, C, V, generator=generator) for _ in range(2))
    best = logits.argmax(-1)
    return OnePass(logits, torch.where(hits, best, (best + 5) % V), base if with_base else None), hits


def values_of(key, given):
    (metric,) = [metric for metric in METRICS if metric.key == key]
    return metric.source.compute(given)


def test_metrics_of_hits_against_loops_over_rows():
    given, hits = some_pass()
    assert torch.equal(given.hits, hits) and torch.equal(token_hits(given.logits, given.labels), hits)
    em, longest = values_of("em", given), values_of("longest_run", given)
    assert em.tolist() == [next((i for i, hit in enumerate(row) if not hit), C) for row in hits.tolist()]
    assert longest.tolist() == [naive.longest(row) for row in hits.tolist()]
    assert len(set(em.tolist())) > 3 and em.tolist() != longest.tolist()
    assert em.dtype == longest.dtype == torch.int64


def test_metrics_of_probabilities_against_numpy():
    given, _ = some_pass(1)
    exponentials = [np.exp(logits.double().numpy()) for logits in (given.base_logits, given.logits)]
    p, q = (values / values.sum(-1, keepdims=True) for values in exponentials)
    nll = [[-np.log(q[i, j, given.labels[i, j]]) for j in range(C)] for i in range(ROWS)]
    kl = [[sum(p[i, j] * np.log(p[i, j] / q[i, j])) for j in range(C)] for i in range(ROWS)]
    assert values_of("nll", given).tolist() == pytest.approx(np.mean(nll, 1).tolist(), rel=1e-5)
    assert values_of("kl", given).tolist() == pytest.approx(np.mean(kl, 1).tolist(), rel=1e-4)
    assert values_of("kl", given).shape == (ROWS,) and given.token_nll.shape == (ROWS, C)


def test_a_pass_without_a_base_has_no_kl():
    given, _ = some_pass(with_base=False)
    with pytest.raises(ValueError, match="no base model"):
        values_of("kl", given)
    assert values_of("nll", given).shape == (ROWS,)


def test_what_several_metrics_share_is_computed_once(monkeypatch):
    from memunlearn.scoring import one_pass

    calls = []
    softmax = one_pass.log_probabilities
    monkeypatch.setattr(one_pass, "log_probabilities", lambda logits: calls.append(logits) or softmax(logits))
    given, _ = some_pass()
    for key in ("nll", "kl", "min_k", "min_k_pp", "ndcg10", "kl"):
        values_of(key, given)
    assert [logits is given.base_logits for logits in calls] == [False, True]


def test_shares_are_those_of_rows_at_the_two_ends_of_em():
    em = torch.tensor([0, 1, 2, 9, 10, 10])
    of_em = [(metric, share) for metric, share in metrics_from(ShareOfRows) if share.of is EM]
    hits = {metric.key: share.hit(em, 10).tolist() for metric, share in of_em}
    assert hits == {
        "memorized": [False, False, False, False, True, True],
        "non_memorized": [True, True, True, False, False, False],
    }
    alike = torch.tensor([0.0, 0.74, 0.75, 1.0])
    assert APPROXIMATE_MATCH.source.of is LEVENSHTEIN
    assert APPROXIMATE_MATCH.source.hit(alike, 10).tolist() == [False, False, True, True]


def test_percentiles_are_numpys():
    draw = np.random.default_rng(2)
    values = draw.integers(0, 51, 37)
    assert percentile(torch.from_numpy(values), 95) == np.percentile(values, 95)
    assert [(metric.key, of.of, of.q) for metric, of in metrics_from(Percentile)] == [("em_p95", EM, 95)]


def test_limits_are_what_a_row_can_be():
    assert TOKENS.limits(50) == (0.0, 50.0) and TOKENS.limits(None) == (0.0, np.inf)
    assert NATS.limits(50) == (0.0, np.inf) and SHARE.limits(50) == (0.0, 1.0)
    assert MIN_K.unit.limits(50) == (-np.inf, 0.0) and MIN_K.unit.limits(None) == (-np.inf, np.inf)
    assert MIN_K_PP.unit.limits(50) == (-np.inf, np.inf) and PERPLEXITY.unit.limits(50) == (1.0, np.inf)
    assert SELF_EM.source.itself(9) == 9 and KL.source.itself == 0.0


def test_columns_of_paragraphs_parquet_follow_from_the_source():
    assert EM.columns == ("em_before", "em_after") and NLL.columns == ("nll_before", "nll_after")
    assert KL.columns == ("kl",) and SELF_EM.columns == ("self_em",) and ALTERNATIVE_EM.columns == ("alternative_em",)
    assert ALTERNATIVE_NLL.columns == ()
    assert [metric.columns for metric, _ in metrics_from(FromText)] == [
        (f"{key}_before", f"{key}_after") for key in ("longest_common_run", "levenshtein", "distinct")
    ]
    assert LOG_P_Z.columns == ("log_p_z_before", "log_p_z_after") and ZLIB.columns == ("zlib_before", "zlib_after")
    assert {metric.columns for kind in (ShareOfRows, Percentile, OfMean) for metric, _ in metrics_from(kind)} == {()}
    assert dataclasses.replace(EM, in_rows=False).columns == ()


def test_names_in_checks():
    assert EM.check_name("bystander_val") == "bystander_val_em"
    assert ALTERNATIVE_EM.check_name("forget") == "alternative_em"
    assert EM.label_of("retain") == "retain EM" and ALTERNATIVE_NLL.label_of("forget") == "alternative NLL"


def test_a_row_has_one_decimal_fewer_than_a_mean():
    assert (EM.row_digits, NLL.row_digits, KL.row_digits) == (0, 2, 3)
    assert dataclasses.replace(EM, digits=0).row_digits == 0


def test_keys_and_labels_are_told_apart_and_every_source_is_of_a_listed_metric():
    for name in ("key", "label", "definition"):
        assert len({getattr(metric, name) for metric in METRICS}) == len(METRICS), name
    of_pass = [metric for metric, _ in metrics_from(FromPass)]
    for kind in (OfOwnText, OfAlternatives, Percentile, OfMean):
        assert all(source.of in of_pass for _, source in metrics_from(kind))
    assert all(source.of in [EM, LEVENSHTEIN, LOG_P_Z] for _, source in metrics_from(ShareOfRows))
    assert [metric.key for metric, _ in metrics_from(FromPassAndBase)] == ["kl", "top1_agreement", "ndcg10"]
    # A row's own continuation and an edit's alternative are read for what they need only.
    assert not [metric for kind in (OfOwnText, OfAlternatives) for metric, source in metrics_from(kind) if source.of.detail]


def test_the_list_is_read_without_torch():
    """Pages and sweeps are written again in a second."""
    code = "import sys, memunlearn.reporting.sweep_summary, memunlearn.scoring.metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def docs_row(metric: Metric) -> tuple[str, ...]:
    better = (metric.forgotten or "-", metric.kept or "-")
    return (f"`{metric.key}`", metric.label, metric.unit.name, *better, metric.definition)


def test_the_docs_list_every_metric():
    table = DOCS.read_text().partition("| key |")[2].partition("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()[2:]]
    assert rows == [docs_row(metric) for metric in METRICS]
