import itertools
import random

import numpy as np
import pytest

from memunlearn.statistics.seeds import mean_interval, paired_p_value, two_level_interval


def nested(draw, seeds=8, between=3.0, within=4.0, mean=0.0):
    """Rows of several seeds: every seed has its own level, every cluster of it its own; 6 to 12 clusters of 1 to 3 rows."""
    made = []
    for _ in range(seeds):
        level = mean + draw.gauss(0, between)
        values, clusters = [], []
        for cluster in range(draw.randint(6, 12)):
            centre = level + draw.gauss(0, within)
            for _ in range(draw.randint(1, 3)):
                values.append(centre)
                clusters.append(cluster)
        made.append((values, clusters))
    return made


def naive(seeds, resamples):
    """The definition as loops."""
    draw = random.Random(5)
    means = []
    for _ in range(resamples):
        drawn = []
        for values, clusters in draw.choices(seeds, k=len(seeds)):
            members = {}
            for value, cluster in zip(values, clusters, strict=True):
                members.setdefault(cluster, []).append(value)
            pooled = [value for cluster in draw.choices(list(members), k=len(members)) for value in members[cluster]]
            drawn.append(sum(pooled) / len(pooled))
        means.append(sum(drawn) / len(drawn))
    return np.percentile(means, [2.5, 97.5])


def test_two_levels_agree_with_the_loops():
    seeds = nested(random.Random(1))
    mean, (low, high) = two_level_interval(seeds, resamples=4000)
    bootstrap, student = naive(seeds, 4000), mean_interval([np.mean(values) for values, _ in seeds])[1]
    expected_low, expected_high = min(bootstrap[0], student[0]), max(bootstrap[1], student[1])
    assert mean == pytest.approx(np.mean([np.mean(values) for values, _ in seeds]))
    assert low == pytest.approx(expected_low, abs=0.06 * (expected_high - expected_low))
    assert high == pytest.approx(expected_high, abs=0.06 * (expected_high - expected_low))


@pytest.mark.parametrize("within", [0.5, 30.0])
def test_never_narrower_than_students_t_over_seeds(within):
    wider = 0
    for draw in range(20):
        made = nested(random.Random(draw), seeds=5, within=within)
        student = mean_interval([np.mean(values) for values, _ in made])[1]
        low, high = two_level_interval(made, resamples=400)[1]
        assert low <= student[0] + 1e-9 and high >= student[1] - 1e-9
        wider += (low, high) != pytest.approx(student)
    assert (wider > 0) == (within > 1)  # where clusters differ more than seeds, the bootstrap has something to add


def test_both_levels_widen_the_interval():
    nearly_same_level = [([1.0, 5.0, 9.0 + seed / 1000], [0, 1, 2]) for seed in range(6)]
    _, (low, high) = two_level_interval(nearly_same_level)
    assert high - low > 1
    same_clusters = [([float(level)] * 3, [0, 1, 2]) for level in range(6)]
    _, (low, high) = two_level_interval(same_clusters)
    assert high - low > 1
    assert two_level_interval([([1.0, 3.0], [0, 1])] * 6) == (2.0, None)


def test_covers_the_truth_about_as_often_as_it_says():
    draw = random.Random(2)
    trials = [two_level_interval(nested(draw, seeds=10, mean=7.0), resamples=400)[1] for _ in range(200)]
    assert 0.92 < np.mean([low <= 7.0 <= high for low, high in trials])


def test_large_sets_are_drawn_in_parts(monkeypatch):
    seeds = nested(random.Random(3))
    whole = two_level_interval(seeds)
    monkeypatch.setattr("memunlearn.statistics.seeds.DRAWS_AT_ONCE", 700)
    assert two_level_interval(seeds) == whole


def test_an_interval_ends_at_what_a_value_can_be():
    """An EM of 50 is the highest there is, whatever Student's t says."""
    nearly_all = [([50.0] * 11 + [seed], list(range(12))) for seed in (50.0, 50.0, 44.0, 50.0, 38.0)]
    mean, (low, high) = two_level_interval(nearly_all, limits=(0.0, 50.0))
    free_mean, (free_low, free_high) = two_level_interval(nearly_all)
    assert (mean, low) == (free_mean, free_low) and high == 50.0 < free_high
    values = [0.0, 0.0, 0.1, 0.0, 0.3]
    assert mean_interval(values)[1][0] < 0.0 == mean_interval(values, (0.0, 1.0))[1][0]
    assert mean_interval(values)[1][1] == mean_interval(values, (0.0, 1.0))[1][1]


def test_mean_interval_is_students():
    mean, (low, high) = mean_interval([1.0, 2.0, 4.0, 4.0, 9.0])
    assert mean == 4.0
    assert (high - mean) == pytest.approx(mean - low) == pytest.approx(2.7764451 * np.std([1, 2, 4, 4, 9], ddof=1) / 5**0.5)
    assert mean_interval([0.1] * 5) == (pytest.approx(0.1), None) and mean_interval([np.nan] * 5)[1] is None


def test_p_value_counts_sign_flips():
    differences = [0.5, 1.5, -0.2, 2.0, 0.7, 1.1, -0.4]
    flipped = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=7)]
    assert paired_p_value(differences) == pytest.approx(np.mean(np.array(flipped) >= abs(sum(differences)) - 1e-12))
    assert paired_p_value([-d for d in differences]) == paired_p_value(differences)
    assert paired_p_value([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)
    assert paired_p_value([0.0] * 5) == 1.0


@pytest.mark.parametrize("call", [mean_interval, paired_p_value, lambda v: two_level_interval([([x], [0]) for x in v])])
def test_four_seeds_are_too_few(call):
    with pytest.raises(ValueError, match="4 seeds"):
        call([1.0, 2.0, 3.0, 4.0])
