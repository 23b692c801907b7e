"""Trials and rows that are crossed: one interval, against its definition as loops."""

import numpy as np
import pytest

from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.proportions import clustered_share
from memunlearn.statistics.two_way import mean_over_units, share_over_units, why_no_interval


def crossed(trials=12, rows=15, of_trial=1.0, of_row=1.0, noise=0.5, seed=0, kept=0.8):
    """values, cluster of the row, cluster of the trial: some rows are near-duplicates, and not every row is in every trial."""
    draw = np.random.default_rng(seed)
    trial, row = np.nonzero(draw.random((trials, rows)) < kept)
    values = (
        of_trial * draw.normal(size=trials)[trial] + of_row * draw.normal(size=rows)[row] + noise * draw.normal(size=len(row))
    )
    return values, row - (row == 1), 1000 + trial


def test_what_either_reaches_is_added_in_squares():
    values, rows, trials = crossed()
    mean, (low, high) = mean_over_units(values, rows, trials, seed=3)
    of_rows, of_trials = (mean_with_interval(values, labels, 3)[1] for labels in (rows, trials))
    assert mean == pytest.approx(values.mean())
    assert mean - low == pytest.approx(((mean - of_rows[0]) ** 2 + (mean - of_trials[0]) ** 2) ** 0.5)
    assert high - mean == pytest.approx(((of_rows[1] - mean) ** 2 + (of_trials[1] - mean) ** 2) ** 0.5)
    assert mean_over_units(values, rows, None, seed=3) == (mean, of_rows)


def test_shares_are_put_together_in_the_same_way():
    values, rows, trials = crossed(seed=1)
    share, (low, high) = share_over_units(values > 1, rows, trials)
    of_rows, of_trials = (clustered_share(values > 1, labels)[1] for labels in (rows, trials))
    assert share == pytest.approx((values > 1).mean())
    assert low == pytest.approx(max(0, share - ((share - of_rows[0]) ** 2 + (share - of_trials[0]) ** 2) ** 0.5))
    assert high == pytest.approx(share + ((of_rows[1] - share) ** 2 + (of_trials[1] - share) ** 2) ** 0.5)
    everything, (low, high) = share_over_units(np.ones(len(rows)), rows, trials)
    assert (everything, high) == (1.0, 1.0) and 0.5 < low < 0.8


def test_a_row_a_trial_has_one_kind_of_unit():
    values = np.random.default_rng(0).normal(size=16)
    clusters = np.repeat(np.arange(12), [2, 2, 2, 2, *[1] * 8])
    assert mean_over_units(values, clusters, clusters) == mean_with_interval(values, clusters)
    own = np.arange(16)  # each row is its own cluster within a trial
    assert mean_over_units(values, own, clusters) == mean_with_interval(values, clusters)
    assert mean_over_units(values, clusters, own) == mean_with_interval(values, clusters)


def test_a_cluster_that_is_easy_to_break_and_breaks_others_counts_in_both_roles():
    draw = np.random.default_rng(2)
    trial, row = (one.ravel() for one in np.meshgrid(np.arange(14), np.arange(14)))
    keep = trial != row
    trial, row, effect = trial[keep], row[keep], draw.normal(size=14)
    together, apart = effect[trial] + effect[row], effect[trial] - effect[row]
    width = [np.ptp(mean_over_units(values, row, trial)[1]) for values in (together, apart)]
    as_strangers = [np.ptp(mean_over_units(values, row, trial + 100)[1]) for values in (together, apart)]
    assert width[0] > 1.3 * as_strangers[0] and width[1] == pytest.approx(as_strangers[1])


def test_either_alone_decides_where_the_other_adds_nothing():
    values, rows, trials = crossed(of_trial=0, noise=0, kept=1)
    assert mean_over_units(values, rows, trials)[1] == pytest.approx(mean_with_interval(values, rows)[1])
    same = np.full(len(rows), 2.0)
    assert mean_over_units(same, rows, trials) == (2.0, None)


@pytest.mark.parametrize(
    ("trials", "rows", "why"),
    [
        (9, 30, "trials about 9 clusters, and an interval needs 10"),
        (20, 5, "4 clusters, and an interval needs 10"),
        (3, 1, "1 cluster, and an interval needs 10"),
    ],
)
def test_too_few_of_either_have_no_interval(trials, rows, why):
    values, clusters, of_trial = crossed(trials, rows, kept=1)
    assert (
        mean_over_units(values, clusters, of_trial)[1] is None and share_over_units(values > 0, clusters, of_trial)[1] is None
    )
    assert why_no_interval(values, clusters, of_trial) == why


def test_why_there_is_none_is_said():
    assert why_no_interval([1.0] * 20, range(20)).startswith("the same in every cluster")
    assert why_no_interval([1.0, np.nan], [0, 1]) == "not every value is a finite number"
