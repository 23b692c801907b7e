"""How far steps go: the learning rate that suits a mask, what optimizer.lr is for Adam and AdamW unless it is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memunlearn.results.old_names import name_today

# More weights have to move less far; few weights, chosen for nothing, have to move far.
SUITING = {
    "memunlearn.masks.AllWeights": 4e-4,
    "memunlearn.masks.TopAttribution": 2e-3,
    "memunlearn.masks.RandomWeights": 8e-3,
}
MATCHED = 2e-3  # random weights that lie where those of mask=gradient do move as far as those
OWN = 2e-3  # of a mask that is not ours


def lr_for_mask(mask: Mapping[str, Any] | None) -> float:
    """Of the config group `mask`: 4e-4 for all, 2e-3 for gradient and random_matched, 8e-3 for random, 2e-3 for any other."""
    if mask is None:
        return OWN
    if mask.get("match") is True:
        return MATCHED
    return SUITING.get(name_today(str(mask.get("_target_"))), OWN)


def length_of_steps(optimizer: Mapping[str, Any]) -> str:
    """The settings of the config group `optimizer` to lower where steps are too long."""
    known = [f"optimizer.{name}" for name in ("lr", "relative_norm", "max_kl") if optimizer.get(name) is not None]
    return ", ".join(known) or "optimizer.lr"
