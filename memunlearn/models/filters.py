"""Restricting the eligible weights to some layers, components or heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import WeightTensor


@dataclass(frozen=True)
class Filter:
    """Which of the eligible weights may be chosen; None means all.

    layers: numbers of layers. components: kinds out of q, k, v, out, mlp_in, mlp_out.
    heads: numbers of heads; excludes MLPs. With grouped attention q and out belong to the query head of that number and
        k and v to the kv head of that number.
    """

    layers: Sequence[int] | None = None
    components: Sequence[str] | None = None
    heads: Sequence[int] | None = None


def passing_positions(weights: Sequence[WeightTensor], filter: Filter) -> dict[str, Tensor | None]:
    """Flat indices (int64, sorted) of the weights that pass, per tensor; None where the whole tensor passes.

    Tensors without any are left out. Raises UserError if the filter names a layer, component or head that this model does
    not have, or if nothing passes.
    """
    kinds = {kind for weight in weights for kind in weight.kind_names}
    heads = {head for weight in weights for head in weight.heads.unique().tolist() if head >= 0}
    _check("mask.layers", filter.layers, sorted({weight.layer for weight in weights}))
    _check("mask.components", filter.components, [kind for kind in KINDS if kind in kinds])
    _check("mask.heads", filter.heads, sorted(heads))
    passing: dict[str, Tensor | None] = {}
    for weight in weights:
        keep = _passes(weight, filter)
        if keep.all():
            passing[weight.name] = None
        elif keep.any():
            passing[weight.name] = _flat_indices(weight, keep)
    if not passing:
        heads_only = " (a filter on heads leaves MLPs out)" if filter.heads is not None else ""
        raise UserError(
            f"mask.layers={_shown(filter.layers)}, mask.components={_shown(filter.components)}, "
            f"mask.heads={_shown(filter.heads)} together leave no weight{heads_only}: loosen one of them"
        )
    return passing


def _check(what: str, wanted: Sequence[int] | Sequence[str] | None, existing: Sequence[int] | Sequence[str]) -> None:
    if wanted is None:
        return
    names = ", ".join(str(one) for one in existing)
    if isinstance(wanted, str | int) or not len(wanted):
        raise UserError(f"{what}={wanted} is not a list: write {what}=[...] with some of {names}, or null for all")
    for one in wanted:
        if one not in existing:
            raise UserError(f"{what}: {one} does not exist in this model: choose from {names}")


def _passes(weight: WeightTensor, filter: Filter) -> Tensor:
    """Boolean [shape[axis]]."""
    keep = torch.ones_like(weight.kinds, dtype=torch.bool)
    if filter.layers is not None and weight.layer not in filter.layers:
        keep[:] = False
    if filter.components is not None:
        keep &= torch.isin(weight.kinds.long(), torch.tensor([KINDS.index(kind) for kind in filter.components]))
    if filter.heads is not None:
        keep &= torch.isin(weight.heads, torch.tensor(list(filter.heads)))
    return keep


def _flat_indices(weight: WeightTensor, keep: Tensor) -> Tensor:
    rows, columns = (torch.arange(size) for size in weight.shape)
    if weight.axis == 0:
        rows = keep.nonzero().flatten()
    else:
        columns = keep.nonzero().flatten()
    return (rows[:, None] * weight.shape[1] + columns).flatten()


def _shown(wanted: Sequence[int] | Sequence[str] | None) -> str:
    return "all" if wanted is None else str(list(wanted))
