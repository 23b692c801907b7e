"""What is measured on the base model before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.evaluation.suite import Baseline, measure_base
from memunlearn.models.components import WeightTensor, eligible_weights
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.material import Needs, SideName
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.roles import Roles, roles_of
from memunlearn.paragraphs.splits import ParagraphSets
from memunlearn.scoring.alternatives import Alternatives
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.hidden_states import block_after, hidden_states
from memunlearn.scoring.score import ParagraphScores, score

REPORTED = ("forget", "bystander", "near", "retain", "suspected")
"""Measured before and after a run. Results also tell the two parts of `near` apart."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Everything that a run needs to know of the base model; it is not run again while training.

    baselines: by set name. alternatives: of the forget rows, if the objective edits.
    loss_rows: the rows of the objective's forget term: forget paragraphs, or original prefixes with their alternatives.
    loss_positions: for each loss row its position in the forget set.
    alternative_scores: the base model's scores of the loss rows, if the objective edits.
    directory: where hidden states that are too large for memory lie, or None.
    needs: what the objective needs. block: the path of the block after which it needs hidden states, or None.
    states: the base model's final hidden states by side, forget and original where the objective needs its logits there.
    hidden: the base model's hidden states [N, C, D] after the block, by side (protected rows under "protected"), as it needs.
    """

    baselines: Mapping[str, Baseline]
    alternatives: Alternatives | None
    loss_rows: ParagraphSet
    loss_positions: list[int]
    alternative_scores: ParagraphScores | None
    directory: Path | None = None
    needs: Needs = Needs()
    block: str | None = None
    states: Mapping[SideName, ReferenceStates] = field(default_factory=dict)
    hidden: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def rows_by_side(self) -> dict[str, ParagraphSet]:
        """The rows of each side of the loss; retain and protected apart."""
        baselines = self.baselines
        rows = {"forget": self.loss_rows, "retain": baselines["retain_train"].paragraphs}
        if self.needs.originals:
            rows["original"] = baselines["forget"].paragraphs.select(self.loss_positions)
        return rows | ({"protected": baselines["protected"].paragraphs} if "protected" in baselines else {})

    @property
    def roles(self) -> Roles:
        """Which row plays which role: for the patch."""
        alternatives = None
        if self.alternatives is not None:
            ids = self.alternatives.paragraphs.ids
            alternatives = {i: ids[i] for i in self.alternatives.found.nonzero().flatten().tolist()}
        return roles_of({name: (known.paragraphs, known.clusters) for name, known in self.baselines.items()}, alternatives)


class MeasureBase(Protocol):
    """As `measure_base`."""

    def __call__(
        self,
        model: PreTrainedModel,
        paragraphs: ParagraphSet,
        clusters: Tensor,
        *,
        batch_size: int,
        name: str,
        with_own: bool = ...,
        directory: Path | None = ...,
    ) -> Baseline: ...


class MeasureHidden(Protocol):
    """As `hidden_states`."""

    def __call__(
        self,
        model: PreTrainedModel,
        block: str,
        paragraphs: ParagraphSet,
        batch_size: int,
        *,
        directory: Path | None = ...,
        description: str | None = ...,
    ) -> Tensor: ...


def prepare(
    model: PreTrainedModel,
    sets: ParagraphSets,
    alternatives: Callable[[PreTrainedModel, ParagraphSet], Alternatives] | None = None,
    *,
    needs: Needs | None = None,
    weights: Sequence[WeightTensor] | None = None,
    batch_size: int = 16,
    directory: Path | None = None,
    measure: MeasureBase = measure_base,
    measure_hidden: MeasureHidden = hidden_states,
) -> Preparation:
    """Baselines of every set; with `alternatives`, the forget rows' alternatives (rows without one stay out of the loss).

    needs: the objective's, where they are more than that or, without alternatives, than those of `unlearn`'s default. weights:
        the eligible ones, None for those of a known architecture.
    measure, measure_hidden: `measure_base` and `hidden_states`, or the same with a memory.

    Raises UserError if the forget or retain sets are empty, if no forget paragraph has an alternative, or if the model lacks
    the layer that the objective needs.
    """
    for name in ("forget", "retain_train", "retain_val", "retain"):
        if not len(getattr(sets, name)):
            raise UserError(f"the set {name} is empty: name forget and retain rows (paragraphs.forget=, paragraphs.retain=)")
    needs = needs or (Demote.needs if alternatives is None else Needs(alternatives=True))
    if needs.alternatives and alternatives is None:
        raise UserError("this objective needs alternatives: prepare(model, sets, find_alternatives) with its needs")
    block = None
    if needs.layer is not None:
        block = block_after(eligible_weights(model) if weights is None else weights, needs.layer)
    baselines = {
        name: measure(
            model,
            rows,
            sets.clusters[name],
            batch_size=batch_size,
            name=name,
            with_own=name in REPORTED,
            directory=directory,
        )
        for name, rows in sets.by_name().items()
    }
    loss_rows, positions, found, alternative_scores = sets.forget, list(range(len(sets.forget))), None, None
    states = {"forget": baselines["forget"].states}
    if alternatives is not None:
        found = alternatives(model, sets.forget)
        positions = found.found.nonzero().flatten().tolist()
        if not positions:
            raise UserError(
                "no forget paragraph has an alternative: whatever prefix token is replaced, the model still says more than "
                f"{sets.forget.continuation_length / 5:g} tokens of the original in a row; raise objective.replacements or use "
                "objective=unlearn"
            )
        loss_rows = found.paragraphs.select(positions)
        alternative_scores = score(model, loss_rows, batch_size)
        if "forget" in needs.base_logits:
            clusters = sets.clusters["forget"][positions]
            states["forget"] = measure(
                model, loss_rows, clusters, batch_size=batch_size, name="alternatives", with_own=False, directory=directory
            ).states
        if "original" in needs.base_logits:
            states["original"] = baselines["forget"].states.select(torch.tensor(positions))
    preparation = Preparation(
        baselines=baselines,
        alternatives=found,
        loss_rows=loss_rows,
        loss_positions=positions,
        alternative_scores=alternative_scores,
        directory=directory,
        needs=needs,
        block=block,
        states={side: states[side] for side in needs.base_logits},
    )
    return replace(preparation, hidden=measure_layer(model, preparation, batch_size, measure_hidden))


def measure_layer(
    model: PreTrainedModel, preparation: Preparation, batch_size: int, measure: MeasureHidden = hidden_states
) -> dict[str, Tensor]:
    """The base model's hidden states after the block, on the sides where the objective needs them: `Preparation.hidden`."""
    block = preparation.block
    if block is None:
        return {}
    wanted = set(preparation.needs.base_hidden) | ({"protected"} if "retain" in preparation.needs.base_hidden else set())
    return {
        side: measure(model, block, rows, batch_size, directory=preparation.directory, description=f"hidden states of {side}")
        for side, rows in preparation.rows_by_side.items()
        if side in wanted
    }
