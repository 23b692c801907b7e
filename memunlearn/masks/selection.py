"""Choosing exactly K = round(fraction x eligible) weights (published_code.md, 6: no threshold, no coin per weight)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.masks.top import top_positions
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter, passing_positions

EVERYTHING = Filter()


@dataclass(frozen=True, eq=False)
class Mask:
    """The chosen weights.

    indices: per tensor the flat positions (int64, sorted, on the CPU), or None for the whole tensor; only tensors with at
        least one chosen weight appear. counts: how many that is, per tensor of `indices`.
    eligible: number of weights that there were to choose from, after the filter.
    """

    indices: Mapping[str, Tensor | None]
    counts: Mapping[str, int]
    eligible: int

    @property
    def k(self) -> int:
        """K, the number of chosen weights."""
        return sum(self.counts.values())


@dataclass(frozen=True, eq=False)
class _Pool:
    """What there is to choose from: per tensor the passing flat positions (None: all), and how many that are."""

    positions: dict[str, Tensor | None]
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def select_all(weights: Sequence[WeightTensor], filter: Filter = EVERYTHING) -> Mask:
    """Every weight that passes the filter."""
    pool = _pool(weights, filter)
    return Mask(pool.positions, pool.counts, pool.total)


def select_top(
    scores: Mapping[str, Tensor],
    weights: Sequence[WeightTensor],
    fraction: float,
    filter: Filter = EVERYTHING,
    per_tensor: bool = False,
) -> Mask:
    """The K weights with the highest scores, over all tensors or in each (K shared out by size, largest remainder).

    scores: per tensor its own shape, any float type, any device. Equal scores go by the order of `weights`, then by flat
    index, so the mask is the same everywhere. Scores are never gathered or sorted in one piece. Raises UserError for a
    fraction outside (0, 1] or too small for one weight, a tensor without scores, scores of another shape, and NaN.
    """
    pool = _pool(weights, filter)
    k = _how_many(fraction, pool.total)
    shapes = {weight.name: weight.shape for weight in weights}
    candidates = {name: _candidates(name, scores, shapes[name], flat) for name, flat in pool.positions.items()}
    if per_tensor:
        shares = _share_out(k, pool)
        chosen = {name: top_positions([values], shares[name])[0] for name, values in candidates.items()}
    else:
        chosen = dict(zip(candidates, top_positions(list(candidates.values()), k), strict=True))
    return _mask(pool, chosen)


def select_random(
    weights: Sequence[WeightTensor], fraction: float, filter: Filter = EVERYTHING, seed: int = 0, per_tensor: bool = False
) -> Mask:
    """K weights drawn uniformly without replacement, over all tensors or in each (K shared out by size).

    The same seed gives the same mask everywhere. Needs 8 bytes for each eligible weight while it draws over all tensors.
    Raises UserError as `select_top` does for the fraction.
    """
    pool = _pool(weights, filter)
    k = _how_many(fraction, pool.total)
    generator = np.random.default_rng(seed)
    if per_tensor:
        return _draw(pool, _share_out(k, pool), generator)
    drawn = np.sort(generator.choice(pool.total, k, replace=False, shuffle=False))
    chosen, start = {}, 0
    for name, count in pool.counts.items():
        first, last = np.searchsorted(drawn, [start, start + count])
        chosen[name] = torch.from_numpy(drawn[first:last] - start)
        start += count
    return _mask(pool, chosen)


def select_random_matched(mask: Mask, weights: Sequence[WeightTensor], filter: Filter = EVERYTHING, seed: int = 0) -> Mask:
    """As many random weights in each tensor as `mask` has there: what is left of its effect without its choice.

    Raises UserError if the filter leaves a tensor with fewer weights than `mask` has in it.
    """
    pool = _pool(weights, filter)
    for name, count in mask.counts.items():
        passing = pool.counts.get(name, 0)
        if count > passing:
            raise UserError(f"{name}: the mask to match has {count} weights there, but {passing} pass: use the same filter")
    return _draw(pool, mask.counts, np.random.default_rng(seed))


def _pool(weights: Sequence[WeightTensor], filter: Filter) -> _Pool:
    positions = passing_positions(weights, filter)
    sizes = {weight.name: weight.size for weight in weights}
    return _Pool(positions, {name: sizes[name] if flat is None else len(flat) for name, flat in positions.items()})


def check_fraction(fraction: float) -> None:
    """Raises UserError for anything but a number in (0, 1]."""
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise UserError(
            f"mask.fraction={fraction} is not a share of the weights: give a number above 0 and at most 1, such as 0.05"
        )


def _how_many(fraction: float, eligible: int) -> int:
    check_fraction(fraction)
    k = round(fraction * eligible)
    if k == 0:
        raise UserError(
            f"mask.fraction={fraction} of {eligible} eligible weights is not even one: give at least {1 / eligible:.2g}, "
            "or loosen mask.layers, mask.components or mask.heads"
        )
    return k


def _share_out(k: int, pool: _Pool) -> dict[str, int]:
    """K by size, exactly: the whole parts first, then one more for the largest remainders (the first tensors on ties)."""
    shares = {name: k * count // pool.total for name, count in pool.counts.items()}
    by_remainder = sorted(pool.counts, key=lambda name: -(k * pool.counts[name] % pool.total))
    for name in by_remainder[: k - sum(shares.values())]:
        shares[name] += 1
    return shares


def _candidates(name: str, scores: Mapping[str, Tensor], shape: tuple[int, int], flat: Tensor | None) -> Tensor:
    """The scores of the weights of one tensor that pass the filter, fp32 [n]."""
    if name not in scores:
        raise UserError(f"the attribution has no scores for {name}: compute it on this model, with the same model.patterns")
    values = scores[name].detach()
    if tuple(values.shape) != shape:
        raise UserError(f"the attribution has scores {list(values.shape)} for {name} {list(shape)}: compute it on this model")
    values = values.float().flatten()
    values = values if flat is None else values[flat.to(values.device)]
    if bool(values.isnan().any()):
        raise UserError(
            f"the attribution of {name} has NaN in it, so nothing can be ranked: look for NaN in the loss it came from"
        )
    return values


def _draw(pool: _Pool, counts: Mapping[str, int], generator: np.random.Generator) -> Mask:
    """`counts[name]` weights of each tensor, uniformly without replacement."""
    chosen = {}
    for name, count in pool.counts.items():
        drawn = generator.choice(count, counts.get(name, 0), replace=False, shuffle=False)
        chosen[name] = torch.from_numpy(np.sort(drawn))
    return _mask(pool, chosen)


def _mask(pool: _Pool, chosen: Mapping[str, Tensor]) -> Mask:
    """chosen: per tensor of the pool, sorted positions among those that pass."""
    counts = {name: len(picked) for name, picked in chosen.items() if len(picked)}
    indices = {name: _flat(pool.positions[name], chosen[name].cpu(), pool.counts[name]) for name in counts}
    return Mask(indices, counts, pool.total)


def _flat(passing: Tensor | None, picked: Tensor, count: int) -> Tensor | None:
    if len(picked) == count:
        return passing
    return picked if passing is None else passing[picked]
