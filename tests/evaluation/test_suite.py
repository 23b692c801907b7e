"""The suite against loops over rows."""

import naive_scoring as naive
import pytest
import torch

from memunlearn.evaluation.suite import Measurement, base_measurement, measure, measure_base, pool
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.scoring.metrics import EM, KL, LONGEST_COMMON_RUN, SELF_EM
from memunlearn.scoring.score import ParagraphScores

P, C = 7, 9


@pytest.fixture
def rows(sets):
    return concatenate([sets.forget, sets.retain])


CLUSTERS = torch.tensor([4, 4, 7, 1, 1, 8, 9, 4, 2])
FEW = "6 clusters, and an interval needs 10"


@pytest.fixture
def baseline(reciting, rows):
    return measure_base(reciting, rows, CLUSTERS, batch_size=4, name="test")


def test_self_em_is_agreement_of_two_models_that_decode(reciting, half_trained, rows, baseline):
    """On recited rows and on rows that were never recited alike."""
    measured = measure(half_trained, baseline, batch_size=3)
    for row, prefix in enumerate(rows.prefixes):
        base_says, _ = naive.greedy(reciting, prefix, C)
        now_says, _ = naive.greedy(half_trained, prefix, C)
        assert torch.equal(baseline.own.continuations[row], base_says)
        assert int(measured.own["self_em"][row]) == naive.agreement(now_says, base_says)
    differs = (baseline.own.ids != rows.ids).any(1)
    assert differs.tolist() == [False] * 5 + [True] * 4
    assert measured.own["self_em"].dtype == torch.int64 and len(set(measured.own["self_em"].tolist())) > 2


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
    assert defined.own["self_em"].tolist() == measured.own["self_em"].tolist() == [C] * 9
    assert defined.scores.kl.tolist() == [0.0] * 9 and float(measured.scores.kl.max()) < 1e-5
    assert torch.equal(defined.scores.em, measured.scores.em)


def test_self_em_is_left_out_where_nobody_asks(reciting, sets):
    baseline = measure_base(reciting, sets.retain_val, torch.arange(3), batch_size=2, name="test", with_own=False)
    assert baseline.own is None
    assert base_measurement(baseline).own is None and measure(reciting, baseline, 2).own is None


def test_some_rows_of_a_baseline(half_trained, baseline):
    picked = torch.tensor([6, 0, 8])
    whole, part = measure(half_trained, baseline, 16), measure(half_trained, baseline.select(picked), 16)
    assert torch.equal(part.own["self_em"], whole.own["self_em"][picked]) and torch.equal(part.clusters, CLUSTERS[picked])
    assert torch.equal(part.scores.em, whole.scores.em[picked])
    torch.testing.assert_close(part.scores.kl, whole.scores.kl[picked], rtol=1e-4, atol=1e-6)
    assert part.scores.kl[0] != part.scores.kl[1]


def test_pooling_is_putting_rows_together(half_trained, baseline):
    parts = [torch.tensor([3]), torch.tensor([0, 6]), torch.tensor([1, 8, 2])]
    pooled = pool([measure(half_trained, baseline.select(part), 16) for part in parts], [5, 6, 5])
    whole = measure(half_trained, baseline, 16)
    rows = torch.cat(parts)
    assert pooled.trials.tolist() == [5, 6, 6, 5, 5, 5]
    assert torch.equal(pooled.clusters, CLUSTERS[rows]) and torch.equal(pooled.own["self_em"], whole.own["self_em"][rows])
    assert torch.equal(pooled.scores.em, whole.scores.em[rows])
    assert torch.equal(pooled.scores.longest_run, whole.scores.longest_run[rows])
    torch.testing.assert_close(pooled.scores.token_nll, whole.scores.token_nll[rows], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled.scores.kl, whole.scores.kl[rows], rtol=1e-4, atol=1e-6)


def test_pooling_what_was_not_measured(baseline):
    base = base_measurement(baseline)
    values = {key: base.scores.values[key] for key in ("em", "longest_run", "nll")}
    without = Measurement(base.clusters, ParagraphScores(values, base.scores.token_nll), None)
    pooled = pool([without, without], [1, 2])
    assert pooled.scores.kl is None and pooled.own is None and len(pooled.scores.em) == 18


def test_values_of_a_metric_and_of_some_rows(half_trained, baseline):
    measured = measure(half_trained, baseline, 16)
    assert torch.equal(measured.values(EM), measured.scores.em) and torch.equal(measured.values(KL), measured.scores.kl)
    assert torch.equal(measured.values(SELF_EM), measured.own["self_em"]) and measured.values(LONGEST_COMMON_RUN) is None
    rows = torch.tensor([7, 2, 4])
    part = pool([measured], [3]).select(rows)
    assert part.trials.tolist() == [3, 3, 3] and torch.equal(part.clusters, CLUSTERS[rows])
    for metric in (EM, KL, SELF_EM):
        assert torch.equal(part.values(metric), measured.values(metric)[rows])
    assert measured.select(rows).trials is None
