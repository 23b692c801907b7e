"""The joint protocol: all forget paragraphs at once, through one mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from memunlearn.unlearning.chosen_mask import chosen_mask
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of
from memunlearn.unlearning.training import unlearn


@dataclass(frozen=True)
class Joint:
    """protocol=joint."""

    def run(self, given: Ingredients) -> Outcome:
        """Chooses the mask, trains, and measures every reported set; the model is left with the kept deltas."""
        mask = chosen_mask(given)
        trained = unlearn(
            given.model,
            mask,
            given.preparation,
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
        return outcome_of(given, trained, mask.eligible)
