"""Near-duplicates: which rows belong together, so that what is held out is really unseen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet

SHINGLE = 20  # tokens in a row that two near-duplicates share


def clusters_of(paragraphs: ParagraphSet) -> Tensor:
    """Cluster numbers [N] int64: rows of one text are one cluster, and otherwise as `cluster_rows` has it."""
    return cluster_rows(paragraphs.text, texts=paragraphs.texts)


def cluster_rows(ids: Tensor, shingle: int = SHINGLE, *, texts: Sequence[Hashable | None] = ()) -> Tensor:
    """Cluster numbers [N] int64 of rows [N, I], numbered from 0 by the smallest row in each.

    Rows that share any `shingle` consecutive tokens are in one cluster, and so are rows linked through others. Exact: no
    hashing. FILL is like no token, and no other FILL.
    texts: N of them; rows of the same text are in one cluster whatever they share (None: of no text that is known).
    Rows shorter than a shingle are together only if they are identical. Raises ValueError for a shingle below 1.
    """
    if shingle < 1:
        raise ValueError(f"a shingle has at least one token, not {shingle}")
    rows = len(ids)
    if not rows:
        return torch.empty(0, dtype=torch.int64)
    windows = _number_windows(ids.numpy(), min(shingle, ids.shape[1]))
    row_of_window = np.repeat(np.arange(rows), windows.shape[1])
    _, first, inverse = np.unique(windows, return_index=True, return_inverse=True)
    # Linking each row to the first row that has the window is enough: the rest follows along the links.
    links = [row_of_window, row_of_window[first][inverse.ravel()]]
    if any(text is not None for text in texts):
        first_of: dict[Hashable, int] = {}
        same = [(row, first_of.setdefault(text, row)) for row, text in enumerate(texts) if text is not None]
        links = [np.concatenate(sides) for sides in zip(links, np.array(same).T, strict=True)]
    graph = coo_matrix((np.ones(len(links[0]), dtype=bool), tuple(links)), shape=(rows, rows))
    _, component = connected_components(graph, directed=False)
    _, first_row, index = np.unique(component, return_index=True, return_inverse=True)
    return torch.from_numpy(np.argsort(np.argsort(first_row))[index].astype(np.int64))


def repeats(rows: Tensor, others: Tensor, shingle: int = SHINGLE) -> Tensor:
    """[N] bool: whether a row of rows [N, C] shares any `shingle` consecutive tokens with any row of others [M, C].

    Rows shorter than a shingle repeat another only if they are identical to it.
    """
    if not len(rows) or not len(others):
        return torch.zeros(len(rows), dtype=torch.bool)
    windows = _number_windows(torch.cat([rows, others]).numpy(), min(shingle, rows.shape[1]))
    return torch.from_numpy(np.isin(windows[: len(rows)], windows[len(rows) :]).any(1))


def near_duplicates(paragraphs: ParagraphSet, known: ParagraphSet) -> Tensor:
    """[N] bool: the rows that share any SHINGLE consecutive tokens with a known row, prefixes and all."""
    start = min(paragraphs.text_start, known.text_start)  # BOS in front of one of them is like no token of the other's text
    return repeats(paragraphs.ids[:, start:], known.ids[:, start:])


def halves(clusters: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Of clusters [N]: the positions of the rows of half of them (the smaller half of an odd number), drawn with the seed, and
    of the others'. Of one cluster the first half is empty."""
    numbers = clusters.unique()
    order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))
    chosen = torch.isin(clusters, numbers[order[: len(numbers) // 2]])
    return chosen.nonzero().flatten(), (~chosen).nonzero().flatten()


def _number_windows(ids: np.ndarray, width: int) -> np.ndarray:
    """A number for each window of `width` tokens, [N, I - width + 1]: equal exactly where the windows are equal.

    Windows double in length: two windows of n tokens, side by side or overlapping, are one of up to 2n. Each pair of numbers
    is numbered anew, so that numbers stay below N x I and a pair fits an int64.
    """
    filled = ids == FILL
    if filled.any():
        ids = ids.copy()
        ids[filled] = ids.max() + 1 + np.arange(filled.sum())
    numbers = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        pairs = numbers[:, :-step] * (numbers.max() + 1) + numbers[:, step:]
        numbers = np.unique(pairs, return_inverse=True)[1].reshape(pairs.shape)
        covered += step
    return numbers


def cluster_shares(clusters: ArrayLike, sets: ArrayLike | None = None) -> np.ndarray:
    """[n]: one over the number of rows of a row's cluster (in its set), so that a cluster counts once however many rows it has.

    clusters: [n] labels; sets: [n] labels.
    """
    labels = [np.unique(clusters, return_inverse=True)[1]]
    if sets is not None:
        labels.append(np.unique(sets, return_inverse=True)[1])
    _, unit, size = np.unique(np.stack(labels, 1), axis=0, return_inverse=True, return_counts=True)
    return 1 / size[unit.flatten()]
