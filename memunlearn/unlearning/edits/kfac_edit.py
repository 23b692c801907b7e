"""K-FAC edit (Merullo et al., 2025, arXiv 2510.24256): what of the MLPs' weights general text does not need goes, and with it
much of what was memorized; no forget set is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from memunlearn.curvature.factors import EigenFactors, blockwise, in_eigenbasis
from memunlearn.curvature.passes import Positions, Reading
from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask
from memunlearn.masks.strategies import MaskStrategy
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter
from memunlearn.models.sparse_delta import base_parameters
from memunlearn.objectives.material import Objective
from memunlearn.unlearning.edits.balanced_subnet import MLP
from memunlearn.unlearning.edits.carry_out import carry_out
from memunlearn.unlearning.edits.refusals import refuse_stop_rule, whole_matrices
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.optimizers import MakeOptimizer
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of
from memunlearn.unlearning.stopping import StopRule


def kept_entries(values: Tensor, mass: float) -> Tensor:
    """The fewest entries of values [o, in] (>= 0) that hold at least this share of their sum, largest first; bool [o, in]."""
    order = values.flatten().double().argsort(descending=True, stable=True)
    held = values.flatten().double()[order].cumsum(0)
    count = 1 + int((held < mass * held[-1]).sum())
    return (
        torch.zeros(values.numel(), dtype=torch.bool, device=values.device).index_fill(0, order[:count], True).view_as(values)
    )


def edited(weight: Tensor, basis: EigenFactors, mass: float) -> tuple[Tensor, int]:
    """W' = U_G (M * U_G' W U_A) U_A' block by block, M the `kept_entries` of the eigenvalues; and how many were kept."""
    keeps = [kept_entries(block.values, mass) for block in basis.blocks]

    def of_block(number: int, part: Tensor) -> Tensor:
        outputs = basis.blocks[number].outputs
        return outputs @ (keeps[number] * (outputs.T @ part @ basis.inputs)) @ basis.inputs.T

    return blockwise(basis, weight.detach(), of_block), sum(int(keep.sum()) for keep in keeps)


@dataclass(frozen=True, kw_only=True)
class KfacEdit:
    """protocol=kfac_edit: every MLP matrix is rotated into the eigenvectors of its curvature on retain_train, the entries with
    the largest eigenvalues are kept until they hold the share `mass` of all, and the others are dropped.

    eigenvalues: "kronecker", products of the factors' eigenvalues as in the paper, or "corrected" (EK-FAC). positions: whose
    labels are drawn, "all" of a row or those of the "continuation". mask.components, where set, names other matrices than the
    MLPs'; mask.layers some layers.
    """

    mass: float = 0.6
    eigenvalues: Literal["kronecker", "corrected"] = "kronecker"
    positions: Positions = "all"
    chooses_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.mass < 1:
            raise UserError(
                f"protocol.mass={self.mass} must be between 0 and 1: the share of the eigenvalues' sum that is kept"
            )
        for name, value, known in (
            ("eigenvalues", self.eigenvalues, ("kronecker", "corrected")),
            ("positions", self.positions, ("all", "continuation")),
        ):
            if value not in known:
                raise UserError(f"protocol.{name}={value} is not known: use {known[0]} or {known[1]}")

    def check(self, *, objective: Objective, stop: StopRule | None, optimizer: MakeOptimizer) -> None:
        """Raises UserError for settings that it cannot have beside it."""
        refuse_stop_rule("kfac_edit", stop)

    def check_weights(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> None:
        """Raises UserError if only parts of matrices are to be changed."""
        self._matrices(strategy, weights)

    def run(self, given: Ingredients) -> Outcome:
        """Measures the curvature, edits, and measures every reported set; the model is left with the deltas."""
        self.check(objective=given.objective, stop=given.stop, optimizer=given.optimizer)
        mask = self._matrices(given.strategy, given.weights)
        curvature = given.measure_curvature(
            given.model,
            [weight for weight in given.weights if weight.name in mask.indices],
            given.preparation.baselines["retain_train"].paragraphs,
            Reading(positions=self.positions, batch_size=2 * given.batch_size, seed=given.mask_seed),
            eigenvalues=self.eigenvalues == "corrected",
            all_weights=given.weights,
        )
        base, bases = base_parameters(given.model), in_eigenbasis(curvature.factors)
        deltas, kept = {}, 0
        for name in mask.indices:
            weight = base[name].detach()
            after, count = edited(weight, bases[name], self.mass)
            deltas[name] = after - weight
            kept += count
        ended = carry_out(given, mask.indices, deltas)
        done = (
            f"In the eigenbases of the curvature on {curvature.rows} retain rows, {kept:,} of {mask.k:,} entries of "
            f"{len(deltas)} matrices hold {self.mass:g} of the curvature's mass: these were kept, the others dropped, and the "
            "forget set had no part in it"
        )
        return outcome_of(given, ended, mask.eligible, done=done)

    def _matrices(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> Mask:
        return whole_matrices("kfac_edit", weights, Filter(strategy.layers, strategy.components or MLP, strategy.heads))
