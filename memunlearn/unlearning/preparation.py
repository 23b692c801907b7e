"""What is measured on the base model before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.evaluation.suite import Baseline, measure_base
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.roles import Roles, roles_of
from memunlearn.paragraphs.splits import ParagraphSets
from memunlearn.scoring.alternatives import Alternatives
from memunlearn.scoring.score import ParagraphScores, score

REPORTED = ("forget", "bystander", "near", "retain")


@dataclass(frozen=True)
class Preparation:
    """Everything that a run needs to know of the base model; it is not run again while training.

    baselines: by set name. alternatives: of the forget rows, if the objective edits.
    loss_rows: the rows of the objective's forget term: forget paragraphs, or original prefixes with their alternatives.
    loss_positions: for each loss row its position in the forget set.
    alternative_scores: the base model's scores of the loss rows, if the objective edits.
    directory: where hidden states that are too large for memory lie, or None.
    """

    baselines: Mapping[str, Baseline]
    alternatives: Alternatives | None
    loss_rows: ParagraphSet
    loss_positions: list[int]
    alternative_scores: ParagraphScores | None
    directory: Path | None = None

    @property
    def roles(self) -> Roles:
        """Which row plays which role: for the patch."""
        alternatives = None
        if self.alternatives is not None:
            ids = self.alternatives.paragraphs.ids
            alternatives = {i: ids[i] for i in self.alternatives.found.nonzero().flatten().tolist()}
        return roles_of({name: (known.paragraphs, known.clusters) for name, known in self.baselines.items()}, alternatives)


def prepare(
    model: PreTrainedModel,
    sets: ParagraphSets,
    alternatives: Callable[[PreTrainedModel, ParagraphSet], Alternatives] | None = None,
    batch_size: int = 16,
    directory: Path | None = None,
    measure: Callable[..., Baseline] = measure_base,
) -> Preparation:
    """Baselines of every set; with `alternatives`, the forget rows' alternatives (rows without one stay out of the loss).

    measure: `measure_base`, or the same with a memory.

    Raises UserError if the forget or retain sets are empty, or if no forget paragraph has an alternative.
    """
    for name in ("forget", "retain_train", "retain_val", "retain"):
        if not len(getattr(sets, name)):
            raise UserError(f"the set {name} is empty: name forget and retain rows (paragraphs.forget=, paragraphs.retain=)")
    baselines = {
        name: measure(model, rows, sets.clusters[name], batch_size, name, name in REPORTED, directory)
        for name, rows in sets.by_name().items()
    }
    if alternatives is None:
        return Preparation(baselines, None, sets.forget, list(range(len(sets.forget))), None, directory)
    found = alternatives(model, sets.forget)
    positions = found.found.nonzero().flatten().tolist()
    if not positions:
        raise UserError(
            "no forget paragraph has an alternative: whatever prefix token is replaced, the model still says more than "
            f"{sets.forget.continuation_length / 5:g} tokens of the original in a row; raise objective.replacements or use "
            "objective=unlearn"
        )
    loss_rows = found.paragraphs.select(positions)
    return Preparation(baselines, found, loss_rows, positions, score(model, loss_rows, batch_size), directory)
