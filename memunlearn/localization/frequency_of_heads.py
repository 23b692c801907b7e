"""Which heads follow the frequency of tokens. Chance is another assignment of the frequencies to token types.

A head is named on one half of the clusters and judged on the other; under shuffled frequencies it is named anew, since both
halves hold the same frequent types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.localization.labelled import Labelled
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.statistics.frequency_link import Link, link, link_across
from memunlearn.statistics.shuffled_types import linked_p, named_p, shuffles

Named = tuple[int, int]
SETS_OF = {"all": (0, 1, 2), "memorized": (0,), "non-memorized": (1,)}
"""Set 2: rows that are neither."""
GROUPS = tuple(SETS_OF)


@dataclass(frozen=True, eq=False)
class HeadTaus:
    """One group of rows, by layer and head: [L, H] each, NaN where there is nothing.

    tau: Kendall's tau-b along each prefix, averaged over rows; within: over rows at the same position, averaged over
    positions. tau_p, within_p: two-sided, from shuffled frequencies, corrected for all heads.
    """

    tau: np.ndarray
    tau_p: np.ndarray
    within: np.ndarray
    within_p: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class NamedHead:
    """head: (layer, head) with the lowest mean tau in one half of the clusters.

    tested: [n] bool, the rows of the other half. tau: its mean there; p: two-sided, with the head named anew under each
    shuffle; None where there is no other half. in_sets: its mean tau in the tested rows of a set that has some; difference:
    memorized minus non-memorized, difference_p: like p; None without both.
    """

    head: Named
    tested: np.ndarray
    tau: float | None
    p: float | None
    in_sets: Mapping[str, float]
    difference: float | None
    difference_p: float | None


@dataclass(frozen=True, eq=False)
class HeadLinks:
    """groups: by name, those that have rows. named: None where no head has a tau. types: token types among the shuffled."""

    groups: Mapping[str, HeadTaus]
    named: NamedHead | None
    types: int


def halves_of(sets: np.ndarray, clusters: np.ndarray, seed: int) -> np.ndarray:
    """[n] bool: rows of one half of the clusters, whole, drawn with the seed; clusters of each set are shared out alike."""
    distinct, of_row = np.unique(clusters, return_inverse=True)
    kinds = np.zeros(len(distinct), dtype=np.int64)
    np.bitwise_or.at(kinds, of_row, 2**sets)
    order = np.random.default_rng(seed).permutation(len(distinct))
    order = order[np.argsort(kinds[order], kind="stable")]
    first = np.zeros(len(distinct), dtype=bool)
    first[order[::2]] = True
    return first[of_row]


def link_heads(
    found: Labelled,
    prefixes: Tensor,
    frequency: Tensor,
    *,
    sets: np.ndarray,
    clusters: np.ndarray,
    few: np.ndarray,
    permutations: int,
    seed: int,
    device: torch.device | str = "cpu",
    text_start: int = 0,
) -> HeadLinks:
    """found: the attention over prefixes [n, P]; frequency: [V]; sets: [n], 0 memorized, 1 non-memorized, 2 neither.

    clusters: [n]; each weighs once. few: rows that are compared with each other at the same position, those of different
    clusters. Frequencies are shuffled over the token types that stand before the last position of a prefix. text_start: as for
    `attention_heads`.
    """
    layers, heads = found["tau"].shape[1:]
    # Attention to what stands before the text, and the last token's to itself, are not there (NaN).
    attention, tokens = found["attention"][..., text_start:-1].flatten(1, 2), prefixes[:, text_start:-1]
    types, numbers_of = np.unique(tokens.numpy(), return_inverse=True)
    places = torch.from_numpy(numbers_of.reshape(tokens.shape))
    shuffled = shuffles(frequency.double().numpy()[types], permutations, seed)
    weights = torch.from_numpy(cluster_shares(clusters, sets))

    def along(rows: np.ndarray, signs: np.ndarray | None = None) -> Link:
        weight = weights[rows] if signs is None else weights[rows] * torch.from_numpy(signs[rows])
        return link(attention[rows], places[rows], shuffled, weight, device=device)

    def by_head(one: Link) -> tuple[np.ndarray, np.ndarray]:
        return one.tau[0].reshape(layers, heads), linked_p(one.z).reshape(layers, heads)

    groups = {}
    for name, numbers in SETS_OF.items():
        member = np.flatnonzero(np.isin(sets, numbers))
        if len(member):
            some = np.intersect1d(few, member)
            across = link_across(attention[some], places[some], shuffled, clusters[some], device)
            groups[name] = HeadTaus(*by_head(along(member)), *by_head(across))

    first = halves_of(sets, clusters, seed)
    chosen_on = along(np.flatnonzero(first)).tau
    if np.isnan(chosen_on[0]).all():
        return HeadLinks(groups, None, len(types))
    # Under a shuffle, too, the head with the lowest tau is the one that is judged.
    named = np.nan_to_num(chosen_on, nan=np.inf).argmin(1)
    layer, head = divmod(int(named[0]), heads)
    tested = np.flatnonzero(~first)

    def judged(one: Link) -> tuple[float | None, float | None]:
        tau = float(one.tau[0, named[0]])
        return (None, None) if np.isnan(tau) else (tau, named_p(one.z[np.arange(len(named)), named]))

    in_sets = {}
    for name in GROUPS[1:]:
        rows = tested[np.isin(sets[tested], SETS_OF[name])]
        mean = _weighted_mean(found["tau"][rows, layer, head].numpy(), weights[rows].numpy())
        if mean is not None:
            in_sets[name] = mean
    tau, p = judged(along(tested)) if len(tested) else (None, None)
    difference, difference_p = None, None
    if len(in_sets) == 2:
        signs = np.array([1.0, -1.0, 0.0])[sets]
        difference, difference_p = judged(along(tested[sets[tested] < 2], signs))
    named_head = NamedHead(
        head=(layer, head),
        tested=~first,
        tau=tau,
        p=p,
        in_sets=in_sets,
        difference=difference,
        difference_p=difference_p,
    )
    return HeadLinks(groups, named_head, len(types))


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> float | None:
    there = ~np.isnan(values)
    return float(np.average(values[there], weights=weights[there])) if there.any() else None
