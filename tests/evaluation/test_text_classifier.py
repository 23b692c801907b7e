"""The classifier that sees the text alone: it finds a difference that is there, and none that is not."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from memunlearn.evaluation.text_classifier import _counts, _folds, told_by_text


def draw(seed, first, others, shift=0.0, length=30, vocabulary=200):
    """Rows of random tokens of skewed frequency, in clusters of 1 or 2; shift: how much of the first group's tokens are low."""
    random = np.random.default_rng(seed)
    clusters = np.sort(random.integers(0, (first + others) * 3 // 4, first + others))
    chosen = random.permutation(np.unique(clusters))[: int(first * 0.75)]
    is_first = np.isin(clusters, chosen)
    ids = (vocabulary * random.random((len(clusters), length)) ** 3).astype(np.int64)
    moved = is_first[:, None] & (random.random(ids.shape) < shift)
    ids[moved] = random.integers(0, 20, int(moved.sum()))
    return torch.tensor(ids), torch.tensor(is_first), torch.tensor(clusters)


def test_counts_are_of_tokens_and_of_pairs():
    ids = np.array([[3, 1, 3, 1], [1, 1, 1, 2]])
    counts = _counts(ids).toarray()
    # 1, 2, 3; then the pairs (1, 1), (1, 2), (1, 3), (3, 1)
    assert counts.tolist() == [[2, 0, 2, 0, 0, 1, 2], [3, 1, 0, 2, 1, 0, 0]]


def test_a_cluster_is_judged_whole_and_every_fold_has_both_groups():
    _, first, clusters = draw(0, 40, 80)
    folds = _folds(clusters.numpy(), first.numpy(), seed=0)
    for cluster in clusters.unique().tolist():
        assert len(np.unique(folds[clusters.numpy() == cluster])) == 1
    assert len(np.unique(folds)) == 10
    for fold in range(10):
        assert first.numpy()[folds == fold].any() and not first.numpy()[folds == fold].all()


def test_a_difference_of_the_texts_is_found():
    found = told_by_text(*draw(1, 40, 90, shift=0.4))
    assert found.value > 0.9 and found.low > 0.7


def test_scores_are_those_of_a_naive_classifier():
    ids, first, clusters = draw(2, 12, 16, length=8, vocabulary=12)
    is_first, labels = first.numpy(), clusters.numpy()
    folds = _folds(labels, is_first, seed=3)
    grams = [[*row, *zip(row, row[1:], strict=False)] for row in ids.tolist()]
    kinds = {gram for row in grams for gram in row}
    ranks = np.empty(len(labels))
    for fold in np.unique(folds):
        logs = []
        for group in (is_first, ~is_first):
            seen = [gram for row in np.flatnonzero(group & (folds != fold)) for gram in grams[row]]
            logs.append({gram: np.log((seen.count(gram) + 0.5) / (len(seen) + 0.5 * len(kinds))) for gram in kinds})
        judged = np.flatnonzero(folds == fold)
        scores = np.array([sum(logs[0][gram] - logs[1][gram] for gram in grams[row]) for row in judged])
        for row, score in zip(judged, scores, strict=True):
            below, tied = np.sum(scores < score - 1e-9), np.sum(np.abs(scores - score) <= 1e-9)
            ranks[row] = (below + tied / 2) / len(scores)
    pairs = [
        (ranks[i] > ranks[j] + 1e-9) + 0.5 * (abs(ranks[i] - ranks[j]) <= 1e-9)
        for i in np.flatnonzero(is_first)
        for j in np.flatnonzero(~is_first)
    ]
    assert told_by_text(ids, first, clusters, seed=3).value == pytest.approx(np.mean(pairs))


def test_texts_that_are_alike_are_not_told_apart():
    """Mean .5, and an interval that excludes .5 in about 5 % of draws."""
    found = [told_by_text(*draw(seed, 32, 80), seed=seed) for seed in range(250)]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - 0.5) < 4 * values.std() / np.sqrt(len(values))
    excluded = sum(not one.low <= 0.5 <= one.high for one in found)
    assert binomtest(excluded, len(found), 0.07, alternative="greater").pvalue > 0.01, excluded


def test_too_few_rows():
    ids, clusters = torch.randint(0, 9, (4, 6), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3])
    assert told_by_text(ids, torch.tensor([True, False, False, False]), clusters).value is None
    assert told_by_text(ids, torch.tensor([True, True, False, False]), clusters).low is None
