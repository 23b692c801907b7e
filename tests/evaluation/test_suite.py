"""The suite against loops over rows, and the entries of result.json."""

import math

import naive_scoring as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.evaluation.suite import (
    Measurement,
    base_measurement,
    combined,
    em_p95,
    measure,
    measure_base,
    pool,
    summarize,
    summarize_alternatives,
    summarize_common_runs,
)
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.scoring.score import ParagraphScores
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.proportions import clustered_share
from memunlearn.statistics.two_way import mean_over_units

P, C = 7, 9
KEYS = {"n", "clusters", "em", "em_p95", "memorized", "non_memorized", "longest_run", "nll", "kl", "self_em"}
MEANS = KEYS - {"n", "clusters", "em_p95"}


@pytest.fixture
def rows(sets):
    return concatenate([sets.forget, sets.retain])


CLUSTERS = torch.tensor([4, 4, 7, 1, 1, 8, 9, 4, 2])
FEW = "6 clusters, and an interval needs 10"


@pytest.fixture
def baseline(reciting, rows):
    return measure_base(reciting, rows, CLUSTERS, 4, "test")


def test_self_em_is_agreement_of_two_models_that_decode(reciting, half_trained, rows, baseline):
    """On recited rows and on rows that were never recited alike."""
    measured = measure(half_trained, baseline, batch_size=3)
    for row, prefix in enumerate(rows.prefixes):
        base_says, _ = naive.greedy(reciting, prefix, C)
        now_says, _ = naive.greedy(half_trained, prefix, C)
        assert torch.equal(baseline.own.continuations[row], base_says)
        assert int(measured.self_em[row]) == naive.agreement(now_says, base_says)
    differs = (baseline.own.ids != rows.ids).any(1)
    assert differs.tolist() == [False] * 5 + [True] * 4
    assert measured.self_em.dtype == torch.int64 and len(set(measured.self_em.tolist())) > 2


def test_every_number_of_a_measurement(reciting, half_trained, rows, baseline):
    scores = measure(half_trained, baseline, batch_size=2, name="test").scores
    for row, ids in enumerate(rows.ids):
        nll, kl = naive.token_nll(half_trained, ids, P), naive.token_kl(reciting, half_trained, ids, P)
        assert float(scores.nll[row]) == pytest.approx(sum(nll) / C, rel=1e-3)
        assert float(scores.kl[row]) == pytest.approx(sum(kl) / C, rel=1e-3)
        said, _ = naive.greedy(half_trained, ids[:P], C)
        assert int(scores.em[row]) == naive.agreement(said, ids[P:])


def test_the_base_model_against_itself(reciting, baseline):
    """By definition, without a pass; a pass says the same."""
    defined, measured = base_measurement(baseline), measure(reciting, baseline, batch_size=3)
    assert defined.self_em.tolist() == measured.self_em.tolist() == [C] * 9
    assert defined.scores.kl.tolist() == [0.0] * 9 and float(measured.scores.kl.max()) < 1e-5
    assert torch.equal(defined.scores.em, measured.scores.em)


def test_self_em_is_left_out_where_nobody_asks(reciting, sets):
    baseline = measure_base(reciting, sets.retain_val, torch.arange(3), 2, "test", with_own=False)
    assert baseline.own is None
    assert base_measurement(baseline).self_em is None and measure(reciting, baseline, 2).self_em is None


def test_some_rows_of_a_baseline(half_trained, baseline):
    picked = torch.tensor([6, 0, 8])
    whole, part = measure(half_trained, baseline, 16), measure(half_trained, baseline.select(picked), 16)
    assert torch.equal(part.self_em, whole.self_em[picked]) and torch.equal(part.clusters, CLUSTERS[picked])
    assert torch.equal(part.scores.em, whole.scores.em[picked])
    torch.testing.assert_close(part.scores.kl, whole.scores.kl[picked], rtol=1e-4, atol=1e-6)
    assert part.scores.kl[0] != part.scores.kl[1]


def test_summary_has_the_keys_of_the_contract(half_trained, baseline):
    measured = measure(half_trained, baseline, 16)
    summary = summarize(measured, seed=3)
    assert summary.keys() == KEYS | {f"{name}_ci" for name in MEANS} | {
        "longest_common_run",
        "longest_common_run_n",
        "interval_note",
    }
    assert summary["longest_common_run"] is None and summary["longest_common_run_n"] == 0  # nothing was decoded
    scores, em = measured.scores, measured.scores.em.tolist()
    expected = {
        "em": sum(em) / 9,
        "memorized": sum(value == C for value in em) / 9,
        "non_memorized": sum(value <= C / 5 for value in em) / 9,
        "longest_run": sum(scores.longest_run.tolist()) / 9,
        "nll": sum(scores.nll.tolist()) / 9,
        "kl": sum(scores.kl.tolist()) / 9,
        "self_em": sum(measured.self_em.tolist()) / 9,
    }
    assert expected.keys() == MEANS
    for name, value in expected.items():
        assert summary[name] == pytest.approx(value, rel=1e-5) and summary[f"{name}_ci"] is None
    assert summary["n"] == 9 and summary["clusters"] == 6
    assert 0 < summary["memorized"] < 1
    assert summary["interval_note"] == f"no interval for memorized, non_memorized, em, longest_run, nll, kl, self_em: {FEW}"
    assert summarize(measured, seed=3) == summary


def test_summary_of_what_was_not_measured(reciting, baseline):
    base = base_measurement(baseline)
    without = Measurement(base.clusters, ParagraphScores(base.scores.em, base.scores.longest_run, base.scores.token_nll), None)
    summary = summarize(without)
    assert summary["kl"] is None and summary["self_em"] is None
    assert "kl_ci" not in summary and "self_em_ci" not in summary and summary["em_ci"] is None
    assert "kl" not in summary["interval_note"]


def made(clusters, trials=None, seed=0):
    """Scores of rows that a model recites in part, a few of them whole."""
    draw = np.random.default_rng(seed)
    n = len(clusters)
    em = torch.from_numpy(np.where(draw.random(n) < 0.3, C, draw.integers(0, 4, n)))
    scores = ParagraphScores(em, em.clamp(min=1), torch.from_numpy(draw.random((n, C))), torch.from_numpy(draw.random(n)))
    return Measurement(torch.tensor(clusters), scores, torch.full((n,), C), None if trials is None else torch.tensor(trials))


def test_intervals_are_over_clusters_and_within_what_there_can_be():
    measured = made([i // 2 for i in range(40)])
    summary, clusters = summarize(measured, seed=3), measured.clusters.numpy()
    em = measured.scores.em.numpy()
    assert summary["em_ci"] == pytest.approx(mean_with_interval(em, clusters, 3, limits=(0, C))[1])
    assert summary["kl_ci"] == pytest.approx(mean_with_interval(measured.scores.kl.numpy(), clusters, 3, limits=(0, np.inf))[1])
    assert summary["memorized_ci"] == pytest.approx(clustered_share(em == C, clusters)[1])
    for name in MEANS - {"self_em"}:
        low, high = summary[f"{name}_ci"]
        assert 0 <= low <= summary[name] <= high and high <= (1 if "memorized" in name else 50)
    assert summary["self_em_ci"] is None and summary["self_em"] == C
    assert summary["interval_note"].startswith("no interval for self_em: the same in every cluster")


def test_all_recited_has_a_bound_on_the_share_and_no_interval_of_the_mean():
    measured = made(list(range(20)))
    measured.scores.em.fill_(C)
    summary = summarize(measured)
    assert (summary["em_ci"], summary["memorized_ci"]) == (None, pytest.approx([0.025 ** (1 / 20), 1.0]))
    assert summary["non_memorized_ci"] == pytest.approx([0.0, 1 - 0.025 ** (1 / 20)])


def test_trials_and_rows_are_both_units():
    trials, rows = (list(part) for part in zip(*((t, r) for t in range(12) for r in range(15)), strict=True))
    measured = made(rows, [500 + t for t in trials])
    summary, alone = summarize(measured, 1), summarize(made(rows), 1)
    em = measured.scores.em.numpy()
    expected = mean_over_units(em, np.array(rows), np.array(trials) + 500, 1, (0, C))[1]
    assert summary["em_ci"] == pytest.approx(expected)
    assert np.ptp(summary["em_ci"]) > np.ptp(alone["em_ci"]) and np.ptp(summary["memorized_ci"]) > np.ptp(alone["memorized_ci"])
    few = summarize(made(rows, [500 + t % 4 for t in trials]))
    assert few["em_ci"] is None and "trials about 4 clusters, and an interval needs 10" in few["interval_note"]


def test_an_empty_set_is_null(reciting, sets):
    baseline = measure_base(reciting, sets.retain.select(torch.zeros(4, dtype=torch.bool)), torch.empty(0).long(), 4, "none")
    assert summarize(base_measurement(baseline)) is None
    assert summarize(measure(reciting, baseline, 4)) is None


def test_a_single_row(reciting, baseline):
    one = measure(reciting, baseline.select(torch.tensor([6])), 4)
    summary = summarize(one)
    assert summary["n"] == summary["clusters"] == 1 and summary["self_em"] == C
    assert summary["em_ci"] is None and "1 cluster, and an interval needs 10" in summary["interval_note"]


def test_pooling_is_putting_rows_together(half_trained, baseline):
    parts = [torch.tensor([3]), torch.tensor([0, 6]), torch.tensor([1, 8, 2])]
    pooled = pool([measure(half_trained, baseline.select(part), 16) for part in parts], [5, 6, 5])
    whole = measure(half_trained, baseline, 16)
    rows = torch.cat(parts)
    assert pooled.trials.tolist() == [5, 6, 6, 5, 5, 5]
    assert torch.equal(pooled.clusters, CLUSTERS[rows]) and torch.equal(pooled.self_em, whole.self_em[rows])
    assert torch.equal(pooled.scores.em, whole.scores.em[rows])
    assert torch.equal(pooled.scores.longest_run, whole.scores.longest_run[rows])
    torch.testing.assert_close(pooled.scores.token_nll, whole.scores.token_nll[rows], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled.scores.kl, whole.scores.kl[rows], rtol=1e-4, atol=1e-6)


def test_pooling_what_was_not_measured(baseline):
    base = base_measurement(baseline)
    without = Measurement(base.clusters, ParagraphScores(base.scores.em, base.scores.longest_run, base.scores.token_nll), None)
    pooled = pool([without, without], [1, 2])
    assert pooled.scores.kl is None and pooled.self_em is None and len(pooled.scores.em) == 18


@settings(max_examples=200, deadline=None)
@given(em=st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_p95_lies_between_the_two_rows_around_it(em):
    value, place = em_p95(torch.tensor(em)), 0.95 * (len(em) - 1)
    below, above = sorted(em)[int(place)], sorted(em)[math.ceil(place - 1e-9)]
    assert value == pytest.approx(below + (place - int(place)) * (above - below))


def test_p95_is_not_the_maximum_of_a_few_rows():
    assert em_p95(torch.tensor([0] * 19 + [50])) == pytest.approx(2.5)
    assert em_p95(torch.tensor([0] * 9 + [50])) == pytest.approx(27.5)
    assert em_p95(torch.tensor([50])) == 50


def test_alternatives_are_summarized():
    generator = torch.Generator().manual_seed(0)
    em, nll = torch.tensor([3, 0, 9]), torch.rand(3, C, generator=generator)
    summary = summarize_alternatives(ParagraphScores(em, em, nll), torch.tensor([0, 1, 1]))
    keys = {"alternatives", "alternative_em", "alternative_em_ci", "alternative_nll", "alternative_nll_ci", "interval_note"}
    assert summary.keys() == keys
    assert summary["alternative_em_ci"] is None and "2 clusters" in summary["interval_note"]
    assert summary["alternatives"] == 3 and summary["alternative_em"] == 4.0
    assert summary["alternative_nll"] == pytest.approx(float(nll.mean()), rel=1e-5)
    both = combined({"em": 1.0, "interval_note": "no interval for em: why"}, summary)
    assert both["interval_note"].startswith("no interval for em: why; no interval for alternative_em") and both["em"] == 1.0
    none = summarize_alternatives(ParagraphScores(em[:0], em[:0], nll[:0]), torch.empty(0).long())
    assert none == {"alternatives": 0, "alternative_em": None, "alternative_nll": None}


def test_longest_common_runs_are_those_of_the_rows_that_were_decoded():
    runs, clusters = torch.tensor([9, 1, 0, 3]), torch.tensor([4, 4, 5, 6])
    summary = summarize_common_runs(runs, clusters, C, seed=2)
    assert summary["longest_common_run"] == 3.25 and summary["longest_common_run_n"] == 4
    assert summary["longest_common_run_ci"] is None and "3 clusters" in summary["interval_note"]
    assert summarize_common_runs(None, clusters, C) == summarize_common_runs(runs[:0], clusters[:0], C)
    many, apart = torch.arange(24) % 10, torch.arange(24) // 2
    _, interval = mean_with_interval(many.double().numpy(), apart.numpy(), 2, limits=(0.0, float(C)))
    assert summarize_common_runs(many, apart, C, seed=2)["longest_common_run_ci"] == list(interval)
