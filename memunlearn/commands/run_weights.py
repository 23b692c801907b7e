"""Which weights a run may change, and whether it can."""

from __future__ import annotations

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from memunlearn.commands.run_checks import mask_strategy
from memunlearn.curvature.budget import check_budget, memory_of
from memunlearn.masks.strategies import AllWeights
from memunlearn.models.components import WeightTensor, eligible_weights
from memunlearn.models.filters import Filter, passing_positions
from memunlearn.models.loading import LoadedModel
from memunlearn.unlearning.edits.task_vector import TaskVector
from memunlearn.unlearning.joint import Joint
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.per_paragraph import PerParagraph


def weights_of_run(cfg: DictConfig, loaded: LoadedModel, device: torch.device) -> list[WeightTensor]:
    """The eligible weights.

    Refuses here, not after the corpus was scored, an unknown architecture, a filter on nothing, what the protocol cannot
    change, and curvature that the device has no room for; says how much that needs.
    """
    strategy, protocol = mask_strategy(cfg), instantiate(cfg.protocol)
    weights = eligible_weights(loaded.model, loaded.patterns)
    passing = passing_positions(weights, Filter(strategy.layers, strategy.components, strategy.heads))
    if (check_weights := getattr(protocol, "check_weights", None)) is not None:
        check_weights(strategy, weights)
    optimizer = instantiate(cfg.optimizer)
    if isinstance(optimizer, Kfac) and isinstance(protocol, Joint | PerParagraph | TaskVector):
        chosen = [weight for weight in weights if weight.name in passing]
        partly = any(flat is not None for flat in passing.values())
        of_all = sum(weight.size if (flat := passing[weight.name]) is None else len(flat) for weight in chosen)
        whole = of_all / sum(weight.size for weight in chosen) if partly else 1.0
        share = whole if isinstance(strategy, AllWeights) else getattr(strategy, "fraction", whole)
        again = isinstance(protocol, PerParagraph)
        budget = optimizer.budget(loaded.model, weights, chosen, share, device, again=again)
        check_budget(budget, memory_of(device), device)
        print(budget, flush=True)
    return weights
