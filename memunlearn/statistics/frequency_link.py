"""Kendall's tau between anything and the frequency of tokens: frequencies as they are, and shuffled over token types."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Numbers held at a time (fp32): what token types contribute; the signs of the pairs of places, of one list, and of several, few
# enough for a processor's cache.
CONTRIBUTIONS_AT_ONCE = 40_000_000
SIGNS_OF_A_LIST = 16_000_000
SIGNS_AT_ONCE = 500_000


@dataclass(frozen=True, eq=False)
class Link:
    """How values follow frequency: [1 + B, cells] fp64 each, first with the frequencies as they are, then shuffled B times.

    tau: the weighted mean of the lists' tau-b; NaN where no list has one.
    z: tau over a standard error whose units are token types: the jackknife's, the root of the sum over types of the square of
        what tau loses without the pairs of that type. Where a few types make up most of the text, and are the frequent ones,
        tau scatters more than under shuffles, which give those types any frequency; z hardly does (as in DiCiccio and Romano
        2017).
    """

    tau: np.ndarray
    z: np.ndarray


def link(
    values: Tensor,
    types: Tensor,
    frequencies: np.ndarray,
    *,
    weights: Tensor,
    pair_weights: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Link:
    """tau-b between values and the frequency of their tokens in each list of places (a prefix, say), averaged over lists.

    values: [n, cells, P], NaN where there is none. types: [n, P] int64, number of the token type at each place.
    frequencies: [1 + B, U], a row an assignment of frequencies to types (`shuffled_types.shuffles`). weights: [n], of the
    lists; those below 0 make it a difference, of the mean over the others less the mean over them. pair_weights: [P, P],
    symmetric, of the pairs of places (default: all 1). A list without a tau as observed (fewer than two places, or all equal)
    is left out of a cell. Each list's tau is that of `scipy.stats.kendalltau` where pairs weigh the same.
    """
    n, cells, places = values.shape
    assignments, distinct = frequencies.shape
    tau, z = np.full((2, assignments, cells), np.nan)
    if not n or places < 2:
        return Link(tau, z)
    # fp32 would make ties of large frequencies; their ranks are small.
    ranks = torch.from_numpy(np.searchsorted(np.unique(frequencies), frequencies)).to(device, torch.float32)
    pairs = (torch.ones(places, places) if pair_weights is None else pair_weights).float()
    pairs = pairs.to(device)
    shares = _shares(values, types, ranks[:1], weights, pairs)
    at_once = max(1, math.isqrt(min(CONTRIBUTIONS_AT_ONCE // max(1, distinct), (SIGNS_OF_A_LIST // places**2) ** 2)))
    for cell in range(0, cells, at_once):
        for assignment in range(0, assignments, at_once):
            part = slice(assignment, assignment + at_once), slice(cell, cell + at_once)
            of_types = _contributions(values[:, part[1]], types, ranks[part[0]], shares[:, part[1]], pairs)
            sums, squares = of_types.sum(0), of_types.square().sum(0)
            tau[part] = sums.T.cpu().numpy()
            # A pair is in the contributions of both of its types, half in each.
            z[part] = torch.where(squares > 0, sums / (2 * squares.sqrt()), 0.0).T.cpu().numpy()
    nothing = (shares == 0).all(0).cpu().numpy()
    tau[:, nothing] = z[:, nothing] = np.nan
    return Link(tau, z)


def link_across(
    values: Tensor,
    types: Tensor,
    frequencies: np.ndarray,
    clusters: np.ndarray,
    device: torch.device | str = "cpu",
) -> Link:
    """`link` over rows at the same place, averaged over places: what places have in common does not count.

    values: [n, cells, P]; types: [n, P]; clusters: [n] labels. Only rows of different clusters are compared (near-duplicates
    agree in everything), and a pair of clusters weighs as much as any other, however many rows they have.
    """
    _, of_row, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    share = 1 / sizes[of_row]
    pairs = torch.from_numpy(share[:, None] * share * (of_row[:, None] != of_row))
    columns = values.permute(2, 1, 0)
    return link(columns, types.T, frequencies, weights=torch.ones(len(columns)), pair_weights=pairs, device=device)


def _shares(values: Tensor, types: Tensor, ranks: Tensor, weights: Tensor, pairs: Tensor) -> Tensor:
    """[n, cells]: the weight of each list in a cell's mean; the positive ones sum to 1, the negative ones to -1."""
    there = torch.cat([scale[..., 0] > 0 for _, _, _, scale in _signs(values, types, ranks, pairs)])
    each = torch.where(there, weights.float().to(pairs.device)[:, None], 0.0)
    sums = torch.where(each > 0, each.clamp(min=0).sum(0), -each.clamp(max=0).sum(0))
    return torch.where(there & (sums > 0), each / sums, 0.0)


def _contributions(values: Tensor, types: Tensor, ranks: Tensor, shares: Tensor, pairs: Tensor) -> Tensor:
    """[U, cells, R]: what the pairs of each token type add to the mean tau, under R assignments of ranks [R, U]."""
    of_types = torch.zeros(ranks.shape[1], values.shape[1] * len(ranks), device=ranks.device)
    for rows, sign_x, sign_y, scale in _signs(values, types, ranks, pairs):
        share = torch.where(scale > 0, shares[rows].unsqueeze(2) / torch.where(scale > 0, scale, 1.0), 0.0)
        # Of each place i, the sum over the other places j of sign(x_i - x_j) sign(y_i - y_j): [b, P, cells, R].
        agreement = (sign_x.transpose(1, 2) @ sign_y).mul_(share.unsqueeze(1))
        of_types.index_add_(0, types[rows].to(ranks.device).flatten(), agreement.flatten(0, 1).flatten(1))
    return of_types.view(ranks.shape[1], values.shape[1], len(ranks))


def _signs(values: Tensor, types: Tensor, ranks: Tensor, pairs: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Of b lists at a time: their numbers; the signs of their pairs in x, times the pair's weight, 0 where a value is not
    there, [b, cells, P, P], and in y, [b, P, P, R]; the denominators of tau-b, [b, cells, R]."""
    n, cells, places = values.shape
    for rows in torch.arange(n).split(max(1, SIGNS_AT_ONCE // (places**2 * max(cells, len(ranks))))):
        x = values[rows].float().to(ranks.device)
        difference = x.unsqueeze(3) - x.unsqueeze(2)
        there = (~difference.isnan()) * pairs
        sign_x = difference.sign_().nan_to_num_() * pairs
        y = ranks.T[types[rows].to(ranks.device)]  # [b, P, R]
        sign_y = (y.unsqueeze(2) - y.unsqueeze(1)).sign_()
        if bool((there == there[:, :1]).all()):
            there = there[:, :1]
        in_y = there.flatten(2) @ sign_y.abs().flatten(1, 2)
        yield rows, sign_x, sign_y, (sign_x.abs().sum((2, 3)).unsqueeze(2) * in_y).sqrt()
