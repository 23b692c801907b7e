"""Every reported set before and after, where one change was made for all forget paragraphs."""

from __future__ import annotations

import torch

from memunlearn.evaluation.suite import Baseline
from memunlearn.models.components import count_per_component
from memunlearn.scoring.score import score
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.outcome import TEXTS_AT_MOST, AlternativeOutcome, Outcome, SetOutcome, measure_set
from memunlearn.unlearning.preparation import REPORTED
from memunlearn.unlearning.training import Training


def outcome_of(
    given: Ingredients, ended: Training, eligible: int, done: str | None = None, trained: int | None = None
) -> Outcome:
    """What is reported of a change that the model carries. eligible: weights that there were to choose from. done, trained: as
    in `Outcome`."""
    sets, alternatives = _reported(given)
    return Outcome(
        sets=sets,
        alternatives=alternatives,
        patches=[ended.patch],
        k=ended.patch.k,
        eligible=eligible,
        per_component=count_per_component(ended.patch.indices, given.weights),
        steps=ended.steps,
        kept_step=ended.kept_step,
        stopped_because=ended.stopped_because,
        kept_check=ended.kept_check,
        trajectory=ended.trajectory,
        done=done,
        trained=trained,
    )


def _reported(given: Ingredients) -> tuple[dict[str, SetOutcome], AlternativeOutcome | None]:
    """The sets by name, empty ones left out, and the alternatives where the objective edits."""
    preparation, model, rows_at_once = given.preparation, given.model, 2 * given.batch_size
    sets = {
        name: measure_set(
            model,
            baseline,
            torch.arange(len(baseline.paragraphs)),
            batch_size=rows_at_once,
            name=name,
            texts=_texts(name, baseline),
        )
        for name, baseline in preparation.baselines.items()
        if name in REPORTED and len(baseline.paragraphs)
    }
    alternatives = None
    if preparation.alternative_scores is not None:
        after = score(model, preparation.loss_rows, rows_at_once)
        alternatives = AlternativeOutcome(preparation.alternative_scores, after, torch.tensor(preparation.loss_positions))
    return sets, alternatives


def _texts(name: str, baseline: Baseline) -> int:
    return len(baseline.paragraphs) if name == "forget" else TEXTS_AT_MOST
