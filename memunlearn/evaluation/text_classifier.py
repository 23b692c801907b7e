"""Can the forgotten rows be told from others by their text alone, without any model that was trained on them?"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, vstack
from scipy.stats import rankdata
from torch import Tensor

from memunlearn.paragraphs.paragraph_set import FILL
from memunlearn.statistics.two_groups import NOTHING, Comparison, auroc

FOLDS = 10
# Added to the count of every token and pair of tokens in either group.
SMOOTHING = 0.5


def told_by_text(ids: Tensor, first: Tensor, clusters: Tensor, seed: int = 0) -> Comparison:
    """AUROC (`two_groups.auroc`) of the rows that are `first` against the others, by a classifier that sees their tokens only.

    ids: [N, I]; first: [N] bool; clusters: [N]. Multinomial naive Bayes without class weights on the counts of tokens and of
    pairs of neighbours, fitted on other clusters than it judges: whole clusters are dealt into FOLDS folds, those of each group
    evenly. Scores are ranked within a fold, so that what is compared comes from one fit; were the two groups drawn alike, the
    AUROC would be .5 on average. All None where a group has fewer than two clusters.
    """
    is_first, labels = first.numpy(), clusters.numpy()
    folds = _folds(labels, is_first, seed)
    if folds is None:
        return NOTHING
    counts = _counts(ids.numpy())
    ranks = np.empty(len(labels))
    for fold in np.unique(folds):
        judged = folds == fold
        log_shares = []
        for member in (is_first, ~is_first):
            total = np.asarray(counts[member & ~judged].sum(0)).ravel() + SMOOTHING
            log_shares.append(np.log(total / total.sum()))
        scores = counts[judged] @ (log_shares[0] - log_shares[1])
        ranks[judged] = (rankdata(scores) - 0.5) / len(scores)
    return auroc(ranks, is_first, labels)


def _folds(labels: np.ndarray, is_first: np.ndarray, seed: int) -> np.ndarray | None:
    """[N] numbers of folds; a cluster with rows of both groups counts to the first. None for fewer than two clusters of one."""
    of_first = np.unique(labels[is_first])
    groups = [of_first, np.setdiff1d(labels[~is_first], of_first)]
    number = min(FOLDS, *map(len, groups))
    if number < 2:
        return None
    draws = np.random.default_rng(seed)
    fold_of = {cluster: place % number for group in groups for place, cluster in enumerate(draws.permutation(group))}
    return np.array([fold_of[cluster] for cluster in labels])


def _counts(ids: np.ndarray) -> csr_matrix:
    """[N, tokens + pairs that occur]: how often each stands in each row. FILL counts as a token: it sees short prefixes."""
    rows, ids = len(ids), ids - FILL
    size = int(ids.max()) + 1
    parts = []
    for grams in (ids, ids[:, :-1] * size + ids[:, 1:]):
        found, column = np.unique(grams, return_inverse=True)
        place = np.repeat(np.arange(rows), grams.shape[1])
        parts.append(csr_matrix((np.ones(grams.size), (place, column.ravel())), shape=(rows, len(found))).T)
    return csr_matrix(vstack(parts).T)
