"""The joint protocol: all forget paragraphs at once, through one mask."""

from __future__ import annotations

from dataclasses import dataclass

from memunlearn.unlearning.all_rows import train_all_rows
from memunlearn.unlearning.chosen_mask import chosen_mask
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of


@dataclass(frozen=True)
class Joint:
    """protocol=joint."""

    def run(self, given: Ingredients) -> Outcome:
        """Chooses the mask, trains, and measures every reported set; the model is left with the kept deltas."""
        mask = chosen_mask(given)
        return outcome_of(given, train_all_rows(given, mask), mask.eligible)
