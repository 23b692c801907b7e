"""The joint protocol: all forget paragraphs at once, through one mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from memunlearn.evaluation.suite import Baseline
from memunlearn.masks.selection import Mask, select_all
from memunlearn.models.components import count_per_component
from memunlearn.models.filters import Filter
from memunlearn.scoring.score import score
from memunlearn.unlearning.checkpoints import checkpoint_mask, not_readable
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.outcome import TEXTS_AT_MOST, AlternativeOutcome, Outcome, measure_set
from memunlearn.unlearning.preparation import REPORTED
from memunlearn.unlearning.training import unlearn


@dataclass(frozen=True)
class Joint:
    """protocol=joint."""

    def run(self, given: Ingredients) -> Outcome:
        """Chooses the mask, trains, and measures every reported set; the model is left with the kept deltas."""
        preparation, model, rows_at_once = given.preparation, given.model, 2 * given.batch_size
        mask = _mask(given)
        trained = unlearn(
            model,
            mask,
            preparation,
            given.objective,
            given.optimizer,
            stop=given.stop,
            make_trainer=given.make_trainer,
            batch_size=given.batch_size,
            protected_share=given.protected_share,
            seed=given.seed,
            weights=given.weights,
            measure_curvature=given.measure_curvature,
            resume_from=given.resume_from,
            keep_change=partial(given.patch_of, None),
        )
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
        return Outcome(
            sets=sets,
            alternatives=alternatives,
            patches=[trained.patch],
            k=mask.k,
            eligible=mask.eligible,
            per_component=count_per_component(mask.indices, given.weights),
            steps=trained.steps,
            kept_step=trained.kept_step,
            stopped_because=trained.stopped_because,
            kept_check=trained.kept_check,
            trajectory=trained.trajectory,
        )


def _texts(name: str, baseline: Baseline) -> int:
    return len(baseline.paragraphs) if name == "forget" else TEXTS_AT_MOST


def _mask(given: Ingredients) -> Mask:
    if given.resume_from is None:
        return given.mask_for(given.preparation.loss_rows, given.mask_seed)
    indices = checkpoint_mask(given.resume_from)
    sizes = {weight.name: weight.size for weight in given.weights}
    if not all(name in sizes and (flat is None or (flat < sizes[name]).all()) for name, flat in indices.items()):
        raise not_readable(given.resume_from, ValueError())  # of another model
    counts = {name: sizes[name] if flat is None else len(flat) for name, flat in indices.items()}
    strategy = given.strategy
    eligible = select_all(given.weights, Filter(strategy.layers, strategy.components, strategy.heads)).eligible
    return Mask(indices, counts, eligible)
