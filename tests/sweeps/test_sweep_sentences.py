"""Differences in words, whole sentences: what is said must follow from the numbers beside it."""

import pytest

from memunlearn.sweeps.comparisons import END, EQUAL_STEPS, ComparedSettings
from memunlearn.sweeps.differences import Difference, PairedRuns, difference
from memunlearn.sweeps.quantities import BYSTANDER_VAL_EM, FORGET_EM, KEPT_STEP, RETAIN_KL, RETAIN_VAL_KL
from memunlearn.sweeps.sentences import TOO_FEW, certainty, headline_sentences, no_interval, points, sentence


def pair(seed, a, b, rows=0, spread=1.0):
    """rows: of each its own cluster, their differences around a - b."""
    gaps = tuple(a - b + spread * (i - (rows - 1) / 2) for i in range(rows))
    return PairedRuns(seed=str(seed), a=a, b=b, differences=gaps, clusters=tuple(range(rows)))


def known(mean=-3.14159, interval=(-4.0, -2.25), p=0.0312, quantity=FORGET_EM, seeds=6, **more):
    pairs = tuple(pair(seed, 10 + mean, 10.0) for seed in range(seeds))
    held = {"moment": END, "unit": "seeds x clusters", "mean_a": 10 + mean, "mean_b": 10.0, **more}
    return Difference(quantity=quantity, pairs=pairs, mean=mean, interval=interval, p=p, **held)


def test_a_difference_that_an_interval_bears_out():
    assert sentence(known(), "unlearn", "edit") == (
        "At the end of the runs, forget EM is 3.14 tokens lower with unlearn than with edit (6.86 and 10.00; 95 % interval "
        "-4.00 to -2.25, seeds x clusters; p = 0.031; 6 seeds)."
    )
    higher = known(mean=0.01234, interval=(0.001, 0.02), p=0.0004, quantity=RETAIN_KL, moment=EQUAL_STEPS, note="step 6 to 8")
    assert sentence(higher, "a", "b") == (
        "At equal steps (step 6 to 8), retain KL is 0.0123 nats per token higher with a than with b (10.0123 and 10.0000; 95 % "
        "interval +0.0010 to +0.0200, seeds x clusters; p < 0.001; 6 seeds)."
    )


def test_a_difference_that_may_be_chance():
    assert sentence(known(interval=(-7.0, 0.5), p=0.2), "a", "b") == (
        "At the end of the runs, forget EM with a cannot be told from that with b (6.86 and 10.00; 95 % interval -7.00 to "
        "+0.50, which holds 0, seeds x clusters; p = 0.200; 6 seeds)."
    )


def test_what_rounds_to_nothing_is_called_the_same():
    same = known(mean=0.004, interval=(0.001, 0.007))
    assert "is on average the same with a as with b (to 2 decimals)" in sentence(same, "a", "b")


def test_certainty_without_an_interval_over_seeds():
    assert certainty(known(interval=None, p=1.0)) == ("the same difference in every seed: no interval; p = 1.000; 6 seeds")
    assert certainty(known(interval=None, p=None, seeds=4)) == "4 seeds; fewer than 5 seeds: no interval"
    assert certainty(known(interval=None, p=None, seeds=1)) == f"1 seed; {TOO_FEW}"  # means only
    assert no_interval(known(p=None)) == TOO_FEW and no_interval(known()) == "the same difference in every seed: no interval"


def test_one_run_has_the_interval_within_it():
    found = difference(FORGET_EM, END, [pair(0, 5.0, 8.0, rows=24, spread=0.25)])
    low, high = found.pairs[0].interval
    assert certainty(found) == (
        f"1 seed; 95 % interval {low:+.2f} to {high:+.2f} over clusters, conditional on this run; {TOO_FEW} across runs"
    )
    few = difference(FORGET_EM, END, [pair(0, 5.0, 8.0, rows=9)])
    assert "no interval within the run: 9 clusters, and an interval needs 10" in certainty(few)
    alike = difference(FORGET_EM, END, [pair(0, 5.0, 8.0, rows=12, spread=0.0)])
    assert "no interval within the run: the same difference in every cluster" in certainty(alike)


def test_the_seeds_own_differences():
    within = pair(3, 5.0, 8.0, rows=24, spread=0.25)
    found = difference(FORGET_EM, END, [pair(0, 2.5, 2.25), pair(1, 2.0, 2.0), within])
    low, high = within.interval
    assert points(found) == f"seed 0: +0.25; seed 1: +0.00; seed 3: -3.00 ({low:+.2f} to {high:+.2f})"


@pytest.mark.parametrize(
    ("reached", "level"), [((6, 6, 5), "At forget EM 10"), ((6, 6, 6), "At forget EM 5"), ((6, 3, 1), "At forget EM 25")]
)
def test_the_headline_has_the_lowest_level_that_most_pairs_reach(reached, level):
    levels = ("at forget EM 25", "at forget EM 10", "at forget EM 5")
    at_levels = [
        known(quantity=RETAIN_VAL_KL, moment=moment, seeds=seeds) for moment, seeds in zip(levels, reached, strict=True)
    ]
    others = [
        known(),
        known(quantity=KEPT_STEP),
        known(moment=EQUAL_STEPS),
        known(moment=EQUAL_STEPS, quantity=BYSTANDER_VAL_EM),
    ]
    comparison = ComparedSettings(
        title="x", a="one", b="other", short="1 - 2", held="", remarks=(), differences=(*others, *at_levels)
    )
    said = headline_sentences(comparison)
    moments = [line.partition(",")[0] for line in said]
    assert moments == ["At the end of the runs", "At equal steps", level]
    assert all("with one than with other" in line for line in said)
