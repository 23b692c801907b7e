import itertools
import random

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_average_precision

from memunlearn.statistics.retrieval import Ranking, auprc_by_chance


def naive_auprc(scores, truth):
    """For every threshold that some item has, highest first: precision times the recall that it adds."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [i for i, score in enumerate(scores) if score >= threshold]
        hits = sum(i in truth for i in chosen)
        total += hits / len(chosen) * (hits / len(truth) - recall_before)
        recall_before = hits / len(truth)
    return total


def naive_recall(scores, truth):
    """Mean over all orders of the ties."""
    k, found = len(truth), []
    for order in itertools.permutations(range(len(scores))):
        ranked = sorted(order, key=lambda i: -scores[i])
        if [scores[i] for i in ranked] == sorted(scores, reverse=True):
            found.append(len(set(ranked[:k]) & set(truth)) / k)
    return sum(found) / len(found)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_agrees_with_the_definitions(seed, levels):
    draw = random.Random(seed)
    scores = [draw.randrange(-levels, levels) / 7 for _ in range(7)]
    truth = draw.sample(range(7), 1 + seed % 4)
    found = Ranking(scores).find(truth)
    assert found.auprc == pytest.approx(naive_auprc(scores, truth))
    assert found.recall_at_k == pytest.approx(naive_recall(scores, truth))
    assert (found.k, found.of, found.recall_by_chance) == (len(truth), 7, len(truth) / 7)


@pytest.mark.parametrize("levels", [5, 10**6])
def test_agrees_with_torchmetrics_between_0_and_1(levels):
    draw = np.random.default_rng(1)
    scores = draw.integers(0, levels, 500) / levels
    truth = draw.choice(500, 40, replace=False)
    target = torch.zeros(500, dtype=torch.int64)
    target[torch.from_numpy(truth)] = 1
    expected = float(binary_average_precision(torch.from_numpy(scores), target))
    assert Ranking(scores).find(truth).auprc == pytest.approx(expected, rel=1e-5)


def test_order_of_ties_does_not_matter():
    draw = np.random.default_rng(2)
    scores, truth = draw.integers(0, 4, 200).astype(np.float32), draw.choice(200, 30, replace=False)
    found = Ranking(scores).find(truth)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(200)
        place = np.argsort(order)
        assert Ranking(scores[order]).find(place[truth]) == found


def test_the_truth_itself_scores_1_and_its_opposite_almost_nothing():
    truth = [3, 11, 40]
    scores = np.zeros(1000)
    scores[truth] = 1
    found = Ranking(scores).find(truth)
    assert (found.auprc, found.recall_at_k) == (1.0, 1.0)
    found = Ranking(-scores).find(truth)
    assert found.auprc == pytest.approx(0.003) and found.recall_at_k == 0


def test_equal_scores_and_random_scores_are_at_chance():
    truth = np.arange(0, 20_000, 40)
    equal = Ranking(np.full(20_000, -2.5)).find(truth)
    assert equal.auprc == pytest.approx(500 / 20_000) and equal.recall_at_k == pytest.approx(500 / 20_000)
    found = [Ranking(np.random.default_rng(seed).random(20_000)).find(truth) for seed in range(20)]
    assert np.mean([one.auprc for one in found]) == pytest.approx(equal.auprc_by_chance, rel=0.05)
    assert np.mean([one.recall_at_k for one in found]) == pytest.approx(equal.recall_by_chance, rel=0.2)


@pytest.mark.parametrize("of", [1, 2, 5, 7])
def test_chance_is_the_mean_over_all_rankings(of):
    for k in range(1, of + 1):
        every = [Ranking(np.arange(of)).find(truth).auprc for truth in itertools.combinations(range(of), k)]
        assert auprc_by_chance(k, of) == pytest.approx(np.mean(every))


def test_chance_of_few_items_is_far_above_their_share():
    draw = np.random.default_rng(3)
    for k in (1, 3):
        found = [Ranking(draw.random(2000)).find(np.arange(k)) for _ in range(3000)]
        mean = np.mean([one.auprc for one in found])
        assert mean == pytest.approx(found[0].auprc_by_chance, rel=0.15) and mean > 1.5 * k / 2000


def test_one_ranking_serves_several_truths():
    ranking = Ranking([5.0, 4.0, 3.0, 2.0])
    assert ranking.find([0]).auprc == 1 and ranking.find([3]).auprc == 0.25
    assert ranking.find([1, 2]).recall_at_k == 0.5


@pytest.mark.parametrize("scores, truth", [([], [0]), ([1.0, float("nan")], [0]), ([1.0, 2.0], []), ([1.0, 2.0], [1, 1])])
def test_what_cannot_be_ranked(scores, truth):
    with pytest.raises(ValueError, match="rank|truth"):
        Ranking(scores).find(truth)
