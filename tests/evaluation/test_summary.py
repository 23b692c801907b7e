"""A set's entry in result.json, against loops over rows and the intervals of its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.evaluation.suite import Measurement
from memunlearn.evaluation.summary import Summary, entry_of, summarize, summarize_alternatives, summarize_texts
from memunlearn.scoring.detail_metrics import LOG_P_Z, ZLIB
from memunlearn.scoring.metric import percentile
from memunlearn.scoring.score import ParagraphScores
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.proportions import clustered_share
from memunlearn.statistics.two_way import mean_over_units

C = 9
KEYS = {"n", "clusters", "em", "em_p95", "memorized", "non_memorized", "longest_run", "nll", "kl", "self_em"}
MEANS = KEYS - {"n", "clusters", "em_p95"}
CLUSTERS = [4, 4, 7, 1, 1, 8, 9, 4, 2]
FEW = "6 clusters, and an interval needs 10"


def made(clusters, trials=None, seed=0):
    """Scores of rows that a model recites in part, a few of them whole."""
    draw = np.random.default_rng(seed)
    n = len(clusters)
    em = torch.from_numpy(np.where(draw.random(n) < 0.3, C, draw.integers(0, 4, n)))
    token_nll, kl = torch.from_numpy(draw.random((n, C))), torch.from_numpy(draw.random(n))
    scores = ParagraphScores({"em": em, "longest_run": em.clamp(min=1), "nll": token_nll.mean(1), "kl": kl}, token_nll)
    own = {"self_em": torch.full((n,), C)}
    return Measurement(torch.tensor(clusters), scores, own, None if trials is None else torch.tensor(trials))


def numbers_of(measured, seed=0):
    return entry_of([summarize(measured, seed)])


def test_an_entry_has_the_keys_of_the_contract_in_their_order():
    measured = made(CLUSTERS)
    nothing_said = summarize_texts(None, measured.clusters, C)
    entry = entry_of([summarize(measured, seed=3), nothing_said])
    means = ("memorized", "non_memorized", "em", "longest_run", "nll", "kl", "self_em")
    with_intervals = [part for key in means for part in (key, f"{key}_ci")]
    said = ("longest_common_run", "levenshtein", "distinct", "approximate_match")
    texts = [part for key in said for part in (key, f"{key}_n")]
    # Nobody asked for these of `made`.
    not_measured = ["extraction_strength", "memorization_accuracy", "min_k", "min_k_pp", "zlib", "top1_agreement", "ndcg10"]
    of_means = ["perplexity", "perplexity_ci"]
    assert list(entry) == ["n", "clusters", "em_p95", *with_intervals, *not_measured, *of_means, "interval_note", *texts]
    assert all(entry[key] is None and entry[f"{key}_n"] == 0 for key in said)
    assert all(entry[key] is None for key in not_measured)
    scores, em = measured.scores, measured.scores.em.tolist()
    expected = {
        "em": sum(em) / 9,
        "memorized": sum(value == C for value in em) / 9,
        "non_memorized": sum(value <= C / 5 for value in em) / 9,
        "longest_run": sum(scores.longest_run.tolist()) / 9,
        "nll": sum(sum(row) / C for row in scores.token_nll.tolist()) / 9,
        "kl": sum(scores.kl.tolist()) / 9,
        "self_em": float(C),
    }
    assert entry["perplexity"] == pytest.approx(math.exp(expected["nll"]), rel=1e-5) and entry["perplexity_ci"] is None
    assert expected.keys() == MEANS
    for name, value in expected.items():
        assert entry[name] == pytest.approx(value, rel=1e-5) and entry[f"{name}_ci"] is None
    assert entry["n"] == 9 and entry["clusters"] == 6 and 0 < entry["memorized"] < 1
    assert (
        entry["interval_note"]
        == f"no interval for memorized, non_memorized, em, longest_run, nll, kl, self_em, perplexity: {FEW}"
    )


def test_what_was_not_measured_is_null_and_has_no_interval():
    measured = made(CLUSTERS)
    values = {key: values for key, values in measured.scores.values.items() if key != "kl"}
    entry = numbers_of(Measurement(measured.clusters, ParagraphScores(values, measured.scores.token_nll), None))
    assert entry["kl"] is None and entry["self_em"] is None
    assert "kl_ci" not in entry and "self_em_ci" not in entry and entry["em_ci"] is None
    assert "kl" not in entry["interval_note"]


def test_intervals_are_over_clusters_and_within_what_there_can_be():
    measured = made([i // 2 for i in range(40)])
    entry, clusters = numbers_of(measured, seed=3), measured.clusters.numpy()
    em = measured.scores.em.numpy()
    assert entry["em_ci"] == pytest.approx(mean_with_interval(em, clusters, 3, limits=(0, C))[1])
    assert entry["kl_ci"] == pytest.approx(mean_with_interval(measured.scores.kl.numpy(), clusters, 3, limits=(0, np.inf))[1])
    assert entry["memorized_ci"] == pytest.approx(clustered_share(em == C, clusters)[1])
    for name in MEANS - {"self_em"}:
        low, high = entry[f"{name}_ci"]
        assert 0 <= low <= entry[name] <= high and high <= (1 if "memorized" in name else 50)
    assert entry["self_em_ci"] is None and entry["self_em"] == C
    assert entry["interval_note"].startswith("no interval for self_em: the same in every cluster")


def test_all_recited_has_a_bound_on_the_share_and_no_interval_of_the_mean():
    measured = made(list(range(20)))
    measured.scores.em.fill_(C)
    summary = numbers_of(measured)
    assert (summary["em_ci"], summary["memorized_ci"]) == (None, pytest.approx([0.025 ** (1 / 20), 1.0]))
    assert summary["non_memorized_ci"] == pytest.approx([0.0, 1 - 0.025 ** (1 / 20)])


def test_trials_and_rows_are_both_units():
    trials, rows = (list(part) for part in zip(*((t, r) for t in range(12) for r in range(15)), strict=True))
    measured = made(rows, [500 + t for t in trials])
    summary, alone = numbers_of(measured, 1), numbers_of(made(rows), 1)
    em = measured.scores.em.numpy()
    expected = mean_over_units(em, np.array(rows), np.array(trials) + 500, 1, (0, C))[1]
    assert summary["em_ci"] == pytest.approx(expected)
    assert np.ptp(summary["em_ci"]) > np.ptp(alone["em_ci"]) and np.ptp(summary["memorized_ci"]) > np.ptp(alone["memorized_ci"])
    few = numbers_of(made(rows, [500 + t % 4 for t in trials]))
    assert few["em_ci"] is None and "trials about 4 clusters, and an interval needs 10" in few["interval_note"]


def test_an_empty_set_is_null():
    empty = made(CLUSTERS).select(torch.zeros(9, dtype=torch.bool))
    assert summarize(empty) is None and entry_of([]) is None and entry_of([None]) is None


def test_a_single_row():
    entry = numbers_of(made([6]))
    assert entry["n"] == entry["clusters"] == 1 and entry["self_em"] == C
    assert entry["em_ci"] is None and "1 cluster, and an interval needs 10" in entry["interval_note"]


@settings(max_examples=200, deadline=None)
@given(em=st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_p95_lies_between_the_two_rows_around_it(em):
    value, place = percentile(torch.tensor(em), 95), 0.95 * (len(em) - 1)
    below, above = sorted(em)[int(place)], sorted(em)[math.ceil(place - 1e-9)]
    assert value == pytest.approx(below + (place - int(place)) * (above - below))


def test_p95_is_not_the_maximum_of_a_few_rows():
    assert percentile(torch.tensor([0] * 19 + [50]), 95) == pytest.approx(2.5)
    assert percentile(torch.tensor([0] * 9 + [50]), 95) == pytest.approx(27.5)
    assert percentile(torch.tensor([50]), 95) == 50


def of_alternatives(em, token_nll):
    return ParagraphScores({"em": em, "longest_run": em, "nll": token_nll.mean(1)}, token_nll)


def test_alternatives_are_summarized():
    generator = torch.Generator().manual_seed(0)
    em, nll = torch.tensor([3, 0, 9]), torch.rand(3, C, generator=generator)
    summary = summarize_alternatives(of_alternatives(em, nll), torch.tensor([0, 1, 1]))
    assert list(summary.numbers) == [
        "alternatives",
        "alternative_em",
        "alternative_em_ci",
        "alternative_nll",
        "alternative_nll_ci",
    ]
    assert summary.numbers["alternative_em_ci"] is None and "2 clusters" in summary.missing["alternative_nll"]
    assert summary.numbers["alternatives"] == 3 and summary.numbers["alternative_em"] == 4.0
    assert summary.numbers["alternative_nll"] == pytest.approx(float(nll.mean()), rel=1e-5)
    none = summarize_alternatives(of_alternatives(em[:0], nll[:0]), torch.empty(0).long())
    assert none == Summary({"alternatives": 0, "alternative_em": None, "alternative_nll": None})


def of_texts(said):
    """Of the numbers those of this metric; nothing else was measured."""
    others = ("levenshtein", "distinct", "approximate_match")
    assert all(said.numbers[key] is None and said.numbers[f"{key}_n"] == 0 for key in others)
    return {key: value for key, value in said.numbers.items() if key.startswith("longest_common_run")}


def test_longest_common_runs_are_those_of_the_rows_that_were_decoded():
    runs, clusters = torch.tensor([9, 1, 0, 3]), torch.tensor([4, 4, 5, 6])
    said = summarize_texts({"longest_common_run": runs}, clusters, C, seed=2)
    assert of_texts(said) == {"longest_common_run": 3.25, "longest_common_run_n": 4, "longest_common_run_ci": None}
    assert said.missing == {"longest_common_run": "3 clusters, and an interval needs 10"}
    nothing = summarize_texts(None, clusters, C)
    assert nothing == summarize_texts({"longest_common_run": runs[:0]}, clusters[:0], C)
    many, apart = torch.arange(24) % 10, torch.arange(24) // 2
    _, interval = mean_with_interval(many.double().numpy(), apart.numpy(), 2, limits=(0.0, float(C)))
    found = summarize_texts({"longest_common_run": many}, apart, C, seed=2).numbers
    assert found["longest_common_run_ci"] == list(interval)


def test_texts_that_are_alike_are_counted():
    alike, clusters = torch.tensor([0.0, 0.5, 0.75, 1.0] * 6, dtype=torch.float64), torch.arange(24)
    found = summarize_texts({"levenshtein": alike}, clusters, C, seed=2).numbers
    assert found["levenshtein"] == 0.5625 and found["approximate_match"] == 0.5
    assert found["levenshtein_n"] == found["approximate_match_n"] == 24
    assert found["approximate_match_ci"] == pytest.approx(clustered_share(alike >= 0.75, clusters)[1])
    assert 0 <= found["levenshtein_ci"][0] < 0.5625 < found["levenshtein_ci"][1] <= 1


def with_more(measured, **values):
    scores = measured.scores
    return replace(measured, scores=replace(scores, values={**scores.values, **values}))


def test_shares_of_extraction_are_over_rows_of_which_log_p_z_is_known():
    log_p_z = torch.tensor([0.0, -0.5, -5.0, -math.inf] * 10, dtype=torch.float64)
    measured = with_more(made(list(range(40))), log_p_z=log_p_z)
    entry = numbers_of(measured)
    # p_z = 1, .607, .0067, 0: at p = .5 it takes 1, 1, 102.5 and infinitely many samples.
    shares = [entry[f"extraction_p50_n{n}"] for n in (1, 10, 1_000, 1_000_000)]
    assert shares == [0.5, 0.5, 0.75, 0.75] and entry["extraction_p90_n1"] == 0.25
    hits = (log_p_z >= -0.6).numpy()
    assert entry["extraction_p50_n1_ci"] == pytest.approx(clustered_share(hits, measured.clusters.numpy())[1])
    assert "log_p_z" not in entry  # never a mean
    assert not [key for key in numbers_of(made(CLUSTERS)) if key.startswith("extraction_p")]
    assert measured.column(LOG_P_Z)[:4] == [0.0, -0.5, -5.0, None] and made(CLUSTERS).column(LOG_P_Z) is None


def test_perplexity_and_its_interval_are_those_of_the_nll():
    entry = numbers_of(made([i // 2 for i in range(40)]), seed=3)
    assert entry["perplexity"] == pytest.approx(math.exp(entry["nll"]))
    assert entry["perplexity_ci"] == pytest.approx([math.exp(bound) for bound in entry["nll_ci"]])


def test_log_probabilities_have_intervals_below_zero():
    values = -torch.arange(40, dtype=torch.float32) / 50
    entry = numbers_of(with_more(made(list(range(40))), min_k=values), seed=1)
    expected = mean_with_interval(values.double().numpy(), np.arange(40), 1, limits=(-np.inf, 0.0))[1]
    assert entry["min_k_ci"] == pytest.approx(expected) and expected[0] < entry["min_k"] < expected[1] < 0


def test_zlib_is_known_where_text_is():
    measured = made(CLUSTERS)
    sized = measured.with_text_bytes(torch.arange(1, 10))
    expected = [sum(row) / (i + 1) for i, row in enumerate(measured.scores.token_nll.double().tolist())]
    assert sized.values(ZLIB).tolist() == pytest.approx(expected)
    assert numbers_of(sized)["zlib"] == pytest.approx(sum(expected) / 9) and measured.values(ZLIB) is None


def test_later_parts_replace_earlier_ones_and_a_reason_is_said_once():
    first = Summary({"em": 1.0, "x": None, "x_n": 0}, {"em": "few", "nll": "alike"})
    entry = entry_of([first, None, Summary({"x": 2.0, "x_ci": None}, {"x": "few"}), Summary({"y": 3.0})])
    assert list(entry) == ["em", "x", "x_n", "interval_note", "x_ci", "y"] and entry["x"] == 2.0
    assert entry["interval_note"] == "no interval for em, x: few; no interval for nll: alike"
    assert "interval_note" not in entry_of([Summary({"em": 1.0})])
