import random

import numpy as np
import pytest

from memunlearn.sweeps.differences import SEEDS_AND_CLUSTERS, SEEDS_AND_TRIALS, SEEDS_ONLY, PairedRuns, difference
from memunlearn.sweeps.quantities import FORGET_EM, RETAIN_KL
from memunlearn.sweeps.sentences import sentence


def paired(seed, a, b, differences=(), clusters=()):
    return PairedRuns(seed=seed, a=a, b=b, differences=differences, clusters=clusters)


def pairs(number, shift, rows=6):
    draw = random.Random(number)
    made = []
    for seed in range(number):
        gaps = tuple(shift + draw.gauss(0, 1) for _ in range(rows))
        made.append(paired(str(seed), 10 + sum(gaps) / max(rows, 1), 10, gaps, tuple(i // 2 for i in range(rows))))
    return made


def test_mean_and_sign_are_those_of_the_pairs():
    made = pairs(7, -3.0)
    found = difference(FORGET_EM, "at the end of the runs", made)
    assert found.mean == pytest.approx(np.mean([pair.a - pair.b for pair in made]))
    assert found.mean_a - found.mean_b == pytest.approx(found.mean)
    assert found.interval[0] < found.mean < found.interval[1] < 0
    assert found.p == pytest.approx(2 / 2**7)  # all seven have the same sign
    said = sentence(found, "unlearn", "edit")
    assert said.startswith(f"At the end of the runs, forget EM is {-found.mean:.2f} tokens lower with unlearn than with edit (")
    assert f"95 % interval {found.interval[0]:+.2f} to {found.interval[1]:+.2f}, seeds x clusters; p = 0.016; 7 seeds" in said


def test_an_interval_around_zero_is_said_to_hold_it():
    found = difference(FORGET_EM, "at the end of the runs", pairs(10, 0.0))
    assert found.interval[0] < 0 < found.interval[1] and found.p > 0.05
    assert "which holds 0" in sentence(found, "a", "b")


def test_units_follow_what_was_paired():
    assert difference(FORGET_EM, "m", pairs(5, 1)).unit == SEEDS_AND_CLUSTERS
    assert difference(FORGET_EM, "m", pairs(5, 1), trials=True).unit == SEEDS_AND_TRIALS
    by_seed = [paired(str(i), a, 1.0) for i, a in enumerate((1.5, 2.0, 3.5, 0.5, 4.0))]
    found = difference(RETAIN_KL, "m", by_seed)
    assert found.unit == SEEDS_ONLY
    half = 2.7764451 * np.std([0.5, 1, 2.5, -0.5, 3], ddof=1) / 5**0.5
    assert found.interval == pytest.approx((1.3 - half, 1.3 + half))


def test_four_seeds_have_points_and_no_interval():
    found = difference(FORGET_EM, "m", pairs(4, 1))
    assert found.interval is None and found.p is None and len(found.pairs) == 4
    assert "4 seeds; fewer than 5 seeds: no interval" in sentence(found, "a", "b")


def test_one_seed_has_an_interval_over_its_clusters_only():
    said = sentence(difference(FORGET_EM, "m", pairs(1, 1, rows=24)), "a", "b")
    assert "over clusters, conditional on this run; fewer than 5 seeds: no interval across runs" in said


def test_few_clusters_have_no_interval_within_a_run():
    said = sentence(difference(FORGET_EM, "m", pairs(1, 1)), "a", "b")
    assert "no interval within the run: 3 clusters, and an interval needs 10; fewer than 5 seeds" in said
    same = [paired("0", 3.0, 2.0, (1.0,) * 12, tuple(range(12)))]
    assert "the same difference in every cluster" in sentence(difference(FORGET_EM, "m", same), "a", "b")


@pytest.mark.parametrize(
    "made", [pairs(1, 5.0, rows=24), pairs(4, 5.0), pairs(10, 0.0), [paired(str(i), 3.0, 2.0) for i in range(6)]]
)
def test_no_direction_without_an_interval_that_excludes_0(made):
    """One seed, four seeds, chance, and seeds that all say the same."""
    found = difference(FORGET_EM, "m", made)
    said = sentence(found, "one", "other")
    assert "forget EM with one cannot be told from that with other" in said and not found.is_borne_out
    assert "higher" not in said and "lower" not in said
    assert f"{found.mean_a:.2f} and {found.mean_b:.2f}" in said


def test_direction_under_the_null_is_claimed_as_rarely_as_it_says():
    claims = sum(difference(FORGET_EM, "m", _of_chance(seed)).is_borne_out for seed in range(400))
    assert claims / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def _of_chance(random_seed):
    draw = np.random.default_rng(random_seed)
    made = []
    for seed in range(5):
        gaps = tuple(draw.normal() + draw.normal(size=8))
        made.append(paired(str(seed), sum(gaps) / 8, 0.0, gaps, tuple(range(8))))
    return made


def test_equal_means_and_no_pairs():
    same = [paired(str(i), 2.0, 2.0) for i in range(6)]
    said = sentence(difference(FORGET_EM, "at equal steps", same, "step 4"), "a", "b")
    assert said.startswith("At equal steps (step 4), forget EM is on average the same with a as with b")
    assert "the same difference in every seed: no interval; p = 1.000" in said
    assert difference(FORGET_EM, "m", []) is None


def test_a_pair_that_diverged_is_left_out_and_counted():
    made = pairs(7, 1)
    broken = [*made, paired("7", float("nan"), 10.0, (float("nan"),) * 2, (0, 1))]
    found, without = difference(FORGET_EM, "m", broken, "step 4"), difference(FORGET_EM, "m", made, "step 4")
    assert (found.mean, found.interval, found.p) == (without.mean, without.interval, without.p)
    assert found.note == "step 4; 1 of 8 pairs left out: not a number"
