"""How often the intervals cover what they are of, by simulation: at least .92, or there is none.

Clusters of 1 to 10 rows; values that are normal, lognormal or like EM (most 0, some C), by whole clusters or by row within
them. Of the draws that have an interval: a set whose clusters are all the same has none, and says so.
"""

from collections.abc import Callable

import numpy as np
import pytest

from memunlearn.statistics import two_groups
from memunlearn.statistics.estimates import means_with_intervals
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.proportions import clustered_share
from memunlearn.statistics.seeds import mean_interval, two_level_interval
from memunlearn.statistics.two_groups import auroc, mean_difference
from memunlearn.statistics.two_way import mean_over_units

DRAWS = 2000
AT_LEAST = 0.92
C = 50.0
ANY, TOKENS = (-np.inf, np.inf), (0.0, C)

Values = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(draw, shape):
    return draw.normal(size=shape)


def lognormal(draw, shape):
    return draw.lognormal(size=shape)


def em_like(share):
    return lambda draw, shape: C * (draw.random(shape) < share)


def em_with_few_tokens(draw, shape):
    """A tenth are recited whole, three tenths for 1 to 5 tokens."""
    kind = draw.random(shape)
    return np.where(kind < 0.1, C, np.where(kind < 0.4, draw.integers(1, 6, shape), 0))


DISTRIBUTIONS: dict[str, tuple[Values, float, tuple[float, float]]] = {
    "normal": (normal, 0.0, ANY),
    "lognormal": (lognormal, float(np.exp(0.5)), ANY),
    "EM, 1 in 20 whole": (em_like(0.05), 0.05 * C, ANY),
    "EM, 3 in 10 whole": (em_like(0.3), 0.3 * C, ANY),
    "EM, 3 in 10 whole, of 0..C": (em_like(0.3), 0.3 * C, TOKENS),
    "EM with few tokens, of 0..C": (em_with_few_tokens, 0.1 * C + 0.3 * 3, TOKENS),
}


def sizes_of(clusters, draw):
    return draw.integers(1, 11, clusters)


def covered(low, high, truth):
    there = ~np.isnan(low)
    return float(np.mean((low <= truth)[there] & (truth <= high)[there])), float(there.mean())


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [5, 10, 20, 60])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_means(name, clusters):
    values, truth, limits = DISTRIBUTIONS[name]
    draw = np.random.default_rng(clusters)
    sizes = sizes_of(clusters, draw)
    found = means_with_intervals(
        values(draw, (clusters, DRAWS)), np.arange(clusters), sizes=np.tile(sizes[:, None], DRAWS), limits=limits
    )
    coverage, printed = covered(found.low, found.high, truth)
    if clusters < FEWEST_CLUSTERS:
        assert printed == 0
    else:
        assert coverage >= AT_LEAST and printed > (0.3 if "1 in 20" in name else 0.9)
        assert limits == ANY or ((found.low >= 0) | np.isnan(found.low)).all() and not (found.high > C).any()


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [10, 20, 60])
def test_means_of_rows_that_differ_within_their_clusters(clusters):
    draw = np.random.default_rng(clusters)
    labels = np.repeat(np.arange(clusters), sizes_of(clusters, draw))
    level = draw.normal(size=(clusters, DRAWS)) / np.sqrt(2)
    rows = np.exp(level[labels] + draw.normal(size=(len(labels), DRAWS)) / np.sqrt(2))
    found = means_with_intervals(rows, labels)
    assert covered(found.low, found.high, np.exp(0.5))[0] >= AT_LEAST
    recited = C * (draw.random(rows.shape) < draw.beta(0.2, 1.8, (clusters, DRAWS))[labels])
    found = means_with_intervals(recited, labels, limits=TOKENS)
    assert covered(found.low, found.high, 0.1 * C)[0] >= AT_LEAST


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [10, 20, 60])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.95])
def test_shares(share, clusters):
    draw = np.random.default_rng(clusters)
    labels = np.repeat(np.arange(clusters), sizes_of(clusters, draw))
    found = [clustered_share((draw.random(clusters) < share)[labels], labels)[1] for _ in range(DRAWS)]
    assert np.mean([low <= share <= high for low, high in found]) >= AT_LEAST


def group(values, number, scale, draw, first):
    sizes = sizes_of(number, draw)
    return np.repeat(scale * values(draw, (number,)), sizes), np.repeat(first + np.arange(number), sizes)


def differences(name, numbers, scales, draws):
    """(low, high, p) of mean_difference [draws, 3], and the true difference."""
    values, mean, _ = DISTRIBUTIONS[name]
    draw, found = np.random.default_rng(sum(numbers)), []
    for seed in range(draws):
        groups = [group(values, n, s, draw, place) for n, s, place in zip(numbers, scales, (0, 1000), strict=True)]
        rows, labels = (np.concatenate(part) for part in zip(*groups, strict=True))
        one = mean_difference(rows, labels < 1000, labels, seed=seed, resamples=400)
        found.append([np.nan if x is None else x for x in (one.low, one.high, one.p_value)])
    return np.array(found, dtype=float), mean * (scales[0] - scales[1])


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(10, 10), (10, 60), (20, 20), (60, 60)])
@pytest.mark.parametrize(("name", "scales"), [("normal", (3, 1)), ("lognormal", (1, 1)), ("EM, 3 in 10 whole", (1, 1))])
def test_differences_of_two_groups(name, scales, numbers, monkeypatch):
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 1)
    found, truth = differences(name, numbers, scales, DRAWS)
    assert covered(*found.T[:2], truth)[0] >= AT_LEAST


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(10, 10), (10, 60), (60, 10)])
@pytest.mark.parametrize(("name", "scales"), [("normal", (1, 1)), ("normal", (4, 1)), ("lognormal", (1, 1))])
def test_p_values_and_directions_of_two_groups_keep_their_level(name, scales, numbers, monkeypatch):
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 199)
    (low, high, p), _ = (lambda found: (found[0].T, found[1]))(differences(name, numbers, scales, 600))
    noise = 3 * np.sqrt(0.05 * 0.95 / 600)
    assert np.mean(p <= 0.05) <= 0.05 + noise
    assert np.mean((p <= 0.05) & ((low > 0) | (high < 0))) <= 0.05 + noise


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(10, 10), (10, 60), (60, 60)])
@pytest.mark.parametrize("area", [0.5, 0.8, 0.97])
def test_areas_under_the_roc_curve(area, numbers):
    from scipy.stats import norm

    draw, inside = np.random.default_rng(sum(numbers)), []
    for _ in range(DRAWS):
        groups = [group(normal, n, 1.0, draw, place) for n, place in zip(numbers, (0, 1000), strict=True)]
        rows, labels = (np.concatenate(part) for part in zip(*groups, strict=True))
        found = auroc(rows + (labels < 1000) * norm.ppf(area) * np.sqrt(2), labels < 1000, labels)
        inside.append(found.low <= area <= found.high)
    assert np.mean(inside) >= AT_LEAST


@pytest.mark.slow
@pytest.mark.parametrize(("trials", "rows"), [(10, 10), (20, 20), (20, 60), (10, 5)])
@pytest.mark.parametrize("effects", [(1.0, 0.3, 0.3), (0.3, 1.0, 0.3), (1.0, 1.0, 1.0)])
def test_trials_and_rows_that_are_crossed(effects, trials, rows):
    draw, inside = np.random.default_rng(trials + rows), []
    for seed in range(DRAWS):
        trial, row = np.nonzero(draw.random((trials, rows)) < 0.8)
        of_trial, of_row, noise = (
            size * (draw.lognormal(size=number) - np.exp(0.5) if seed % 2 else draw.normal(size=number))
            for size, number in zip(effects, (trials, rows, len(row)), strict=True)
        )
        interval = mean_over_units(of_trial[trial] + of_row[row] + noise, row, 1000 + trial, seed)[1]
        if interval is not None:
            inside.append(interval[0] <= 0 <= interval[1])
    assert (len(inside) == 0) if rows < FEWEST_CLUSTERS else np.mean(inside) >= AT_LEAST


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize("name", ["normal", "lognormal", "EM, 3 in 10 whole"])
def test_seeds_and_clusters(name, seeds):
    """Every seed has a level of its own, and 8 clusters around it."""
    values, mean, _ = DISTRIBUTIONS[name]
    draw, inside, by_student = np.random.default_rng(seeds), [], []
    spread = {"normal": 1.0, "lognormal": 2.0}.get(name, 20.0)
    for random_seed in range(DRAWS):
        made = []
        for level in spread / 2 * draw.normal(size=seeds):
            rows, labels = group(values, 8, 1.0, draw, 0)
            made.append((level + rows, labels))
        low, high = two_level_interval(made, random_seed, resamples=200)[1]
        student = mean_interval([rows.mean() for rows, _ in made])[1]
        inside.append(low <= mean <= high)
        by_student.append(student[0] <= mean <= student[1])
    assert np.mean(inside) >= max(AT_LEAST, np.mean(by_student))
